"""What a template's fixed words may not say, in the languages that we write (R-30, C10, C12, C23).

These are nets for mistakes, not a judge of style: each pattern is kept small enough to read.
"""

import re
from collections.abc import Iterator

_JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
_MARKUP = re.compile(r"<[^<>]*>")
_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:\n(?!\s*\n)[^.!?。！？\n]+)*")

_SECRET = re.compile(
    r"(card|account) (number|details)|\bPIN\b|password|passcode|passphrase|\bCV[VC]2?\b"
    r"|security code|one[- ]time (code|password)|\bOTP\b|verification code|expiry date"
    r"|卡號|卡号|密碼|密码|驗證碼|验证码|安全碼|安全码"
    r"|номер\w* (вашей )?карты|пин-?код|парол|код\w* подтверждения|одноразов\w+ код"
    r"|หมายเลขบัตร|เลขบัตร|รหัสผ่าน|รหัสลับ|รหัสยืนยัน|พิน",
    re.IGNORECASE,
)
_ASK = re.compile(
    r"\b(send|reply|enter|give|confirm|tell|provide|share|type|text|verify|update|submit|quote)\b"
    r"|提供|輸入|输入|回覆|回复|告訴|告诉|發送|发送|傳送|填寫|填写|確認|确认"
    r"|отправ|сообщ|введ|укаж|пришл|назов|ответ|подтверд|предостав"
    r"|ส่ง|แจ้ง|กรอก|ใส่|ตอบ|บอก|ระบุ|ยืนยัน",
    re.IGNORECASE,
)
_NEVER = re.compile(
    r"\bnever\b|\b(do|does|will|would|must|should|can) ?n[o'’]t\b|\bwon['’]t\b"
    r"|不會|不会|不要|絕不|绝不|請勿|请勿|切勿"
    r"|никогда|\bне (спраш|запраш|прос|попрос|сообщ|отправ|ввод|назыв|указыв)"
    r"|ไม่(?!ใช่)|อย่า|ห้าม",
    re.IGNORECASE,
)
_URGENT = re.compile(
    r"\b(immediately|urgent(ly)?|at once|right now|asap|act now|hurry|without delay|final notice"
    r"|within \d+ (minutes?|hours?))\b"
    r"|立即|立刻|馬上|马上|緊急|紧急|盡快|尽快|срочно|немедленно|ด่วน|ทันที",
    re.IGNORECASE,
)
_SELLING = re.compile(
    r"\b(offer|discount|sale|save|deal|free|win|reward|promo\w*|exclusive|bonus|voucher|coupon"
    r"|% off)\b"
    r"|優惠|优惠|折扣|免費|免费|獎|奖|скидк|акци[яию]|бесплатн|подар|ส่วนลด|โปรโมชั่น|ฟรี|รางวัล",
    re.IGNORECASE,
)
_CALL = re.compile(r"\+?\(?\d[\d ()./-]{5,}\d|\b(call|phone|ring) (us|the|our)\b", re.IGNORECASE)
_COLLIDES = re.compile(r"\b(YES|START|UNSTOP)\b")
_URL = re.compile(
    r"\b(?:https?://|www\.)([^\s/\"'<>)?#]*)|\b((?:[a-z0-9-]+\.)+[a-z]{2,})/[\w-]", re.I
)
_SHORTENERS = frozenset(
    {
        *("bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd", "buff.ly", "rebrand.ly"),
        *(
            "cutt.ly",
            "rb.gy",
            "t.ly",
            "shorturl.at",
            "tiny.cc",
            "bl.ink",
            "s.id",
            "v.gd",
            "lnkd.in",
        ),
        *("clck.ru", "vk.cc", "url.cn", "t.cn", "dwz.cn", "reurl.cc"),
    }
)
_LITERAL = re.compile(
    r"(?:US\$|HK\$|[$£€¥฿₽])\s?\d[\d.,]*|\d+(?:[.,]\d+)?\s?%|\b\d[\d.,]*\s?(?:USD|EUR|GBP|RUB|THB)\b"
    r"|\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*(?: \d{4})?\b"
    r"|\b\d{4}-\d\d-\d\d\b|\d{4}年\d{1,2}月\d{1,2}日|\b[A-Z]{1,6}-\d{3,}\b"
)

Hit = tuple[int, str]  # line, the words that were found


def fixed(source: str, *, markup: bool = False) -> str:
    """Return a template's fixed words, with everything else blanked out and lines kept."""
    plain = _JINJA.sub(_blank, source)
    return plain if markup else _MARKUP.sub(_blank, plain)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _hits(pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
    for found in pattern.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[0].strip()


def asks_for_secrets(text: str) -> Iterator[Hit]:
    """Yield sentences that ask for card data, a PIN, a password or a one-time code (R-30)."""
    for sentence in _SENTENCE.finditer(text):
        secret = _SECRET.search(sentence[0])
        if not secret or _NEVER.search(sentence[0], 0, secret.start()):
            continue  # "never" counts only before what it forbids: "if not, reply with your PIN"
        if _ASK.search(sentence[0]):
            yield text.count("\n", 0, sentence.start() + secret.start()) + 1, secret[0]


def urgent(text: str) -> Iterator[Hit]:
    """Yield words that press for time, as phishing does (C23)."""
    return _hits(_URGENT, text)


def selling(text: str) -> Iterator[Hit]:
    """Yield words of advertising, which a fraud text may not hold (C10)."""
    return _hits(_SELLING, text)


def call_back(text: str) -> Iterator[Hit]:
    """Yield telephone numbers and requests to call (C23)."""
    return _hits(_CALL, text)


def colliding(text: str) -> Iterator[Hit]:
    """Yield answer words that carriers take for an opt-in (providers.md 1.2)."""
    return _hits(_COLLIDES, text)


def urls(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, host and text of each address, also without a scheme."""
    for found in _URL.finditer(text):
        host = (found[1] if found[1] is not None else found[2]).lower()
        yield text.count("\n", 0, found.start()) + 1, host.split("@")[-1].split(":")[0], found[0]


def is_shortener(host: str) -> bool:
    """Say whether a host is a public link shortener (C12)."""
    return host.removeprefix("www.") in _SHORTENERS


def literals(text: str) -> dict[str, int]:
    """Return amounts, percentages, dates and order numbers written into the text, by line."""
    return {" ".join(what.split()): line for line, what in reversed(list(_hits(_LITERAL, text)))}
