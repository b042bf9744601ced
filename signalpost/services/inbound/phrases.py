"""What we answer to a text message at once, before any journey moves: in five languages.

Each says one thing, sells nothing, and fits in two SMS segments. ``{brand}``, ``{code}``, ``{low}``,
``{high}`` and ``{help}`` are filled in.
"""

from collections.abc import Mapping

from signalpost.content.locales import fallbacks

#: 64.1200(a)(12): one confirmation, no marketing. CTIA: help names who writes.
PHRASES: Mapping[str, Mapping[str, str]] = {
    "stopped": {
        "en": "{brand}: you will get no more messages at this number. Reply START to get them again.",
        "zh-Hant": "{brand}：我們不會再傳訊息到這個號碼。回覆 START 可重新接收。",
        "zh-Hans": "{brand}：我们不会再向此号码发送消息。回复 START 可重新接收。",
        "ru": "{brand}: мы больше не будем писать на этот номер. "
        "Ответьте START, чтобы снова получать сообщения.",
        "th": "{brand}: เราจะไม่ส่งข้อความถึงหมายเลขนี้อีก ตอบ START เพื่อรับข้อความอีกครั้ง",
    },
    "started": {
        "en": "{brand}: you will get messages at this number again. Msg & data rates may apply. "
        "Reply HELP for help, STOP to stop.",
        "zh-Hant": "{brand}：您將再次在這個號碼收到訊息。回覆 HELP 取得協助，回覆 STOP 停止接收。",
        "zh-Hans": "{brand}：您将再次在此号码收到消息。回复 HELP 获取帮助，回复 STOP 停止接收。",
        "ru": "{brand}: мы снова будем писать на этот номер. HELP - помощь, STOP - отказ.",
        "th": "{brand}: คุณจะได้รับข้อความที่หมายเลขนี้อีกครั้ง ตอบ HELP เพื่อขอความช่วยเหลือ ตอบ STOP เพื่อหยุด",
    },
    "help": {
        "en": "{brand}: messages about your orders and your account.{help} Msg & data rates may "
        "apply. Reply STOP to stop.",
        "zh-Hant": "{brand}：有關您的訂單與帳戶的訊息。{help} 回覆 STOP 停止接收。",
        "zh-Hans": "{brand}：有关您的订单和账户的消息。{help} 回复 STOP 停止接收。",
        "ru": "{brand}: сообщения о ваших заказах и счёте.{help} Ответьте STOP, чтобы отказаться.",
        "th": "{brand}: ข้อความเกี่ยวกับคำสั่งซื้อและบัญชีของคุณ{help} ตอบ STOP เพื่อหยุด",
    },
    "closed": {
        "en": "{brand}: the message you replied to is closed, so your reply changed nothing. If "
        "something is wrong, open our app or call us.",
        "zh-Hant": "{brand}：您回覆的訊息已結束，您的回覆沒有變更任何事項。"
        "如有疑問，請開啟我們的應用程式或致電我們。",
        "zh-Hans": "{brand}：您回复的消息已结束，您的回复没有更改任何内容。"
        "如有疑问，请打开我们的应用或致电我们。",
        "ru": "{brand}: сообщение, на которое вы ответили, закрыто; ваш ответ ничего не изменил. "
        "Если что-то не так, откройте наше приложение или позвоните нам.",
        "th": "{brand}: ข้อความที่คุณตอบปิดแล้ว คำตอบของคุณไม่มีผล หากมีปัญหา โปรดเปิดแอปของเราหรือโทรหาเรา",
    },
    "which": {
        "en": "Please reply OK {code} if it was you, or NO {code} if it was not.",
        "zh-Hant": "如果是您本人，請回覆 OK {code}；如果不是，請回覆 NO {code}。",
        "zh-Hans": "如果是您本人，请回复 OK {code}；如果不是，请回复 NO {code}。",
        "ru": "Ответьте OK {code}, если это были вы, или NO {code}, если нет.",
        "th": "โปรดตอบ OK {code} หากเป็นคุณ หรือ NO {code} หากไม่ใช่",
    },
    "which_of_several": {
        "en": "We asked you about more than one payment. Please reply OK or NO with the code of the "
        "one you mean: {code}.",
        "zh-Hant": "我們詢問了您不只一筆付款。請回覆 OK 或 NO，並附上該筆的代碼：{code}。",
        "zh-Hans": "我们询问了您不止一笔付款。请回复 OK 或 NO，并附上该笔的代码：{code}。",
        "ru": "Мы спросили вас о нескольких платежах. Ответьте OK или NO и код нужного: {code}.",
        "th": "เราถามคุณเกี่ยวกับการชำระเงินมากกว่าหนึ่งรายการ โปรดตอบ OK หรือ NO พร้อมรหัสของรายการนั้น: {code}",
    },
    "scale": {
        "en": "Please reply with one number from {low} to {high}.",
        "zh-Hant": "請回覆一個 {low} 到 {high} 的數字。",
        "zh-Hans": "请回复一个 {low} 到 {high} 的数字。",
        "ru": "Ответьте одним числом от {low} до {high}.",
        "th": "โปรดตอบด้วยตัวเลขหนึ่งตัวจาก {low} ถึง {high}",
    },
}


def phrase(name: str, locale: str | None, **values: object) -> str:
    """Give a phrase in the nearest locale that it is written in, else in English."""
    written = PHRASES[name]
    tag = next(tag for tag in fallbacks(locale, "en") if tag in written)
    return written[tag].format(**values)
