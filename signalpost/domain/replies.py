"""What a customer's message means: stop, an answer to our question, or just text.

A doubtful message is ``ambiguous`` and goes to a person. A wrong "no" blocks a card and a wrong "yes"
clears a fraud, so an answer counts only when the *whole* message says it. Opting out is never hindered:
STOP is STOP inside any dialogue.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from signalpost.domain import reply_words as words

LONGEST = 1600  # characters that are read; an SMS holds no more


class Meaning(StrEnum):
    """What a message means."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    YES = "yes"
    NO = "no"
    SCORE = "score"
    AMBIGUOUS = "ambiguous"  #: it may be an answer; a person has to read it
    TEXT = "text"  #: it answers no question of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A customer's message, understood."""

    meaning: Meaning
    value: int | None = None  #: the score
    code: str | None = None  #: the answer code in the message, ours or not
    wrong_code: bool = False  #: the code belongs to no open case: it must never answer another one
    comment: str = ""  #: what was said beside a score


def classify(
    body: str,
    *,
    locale: str | None = None,
    open_codes: Sequence[str] = (),
    expects: Literal["confirm", "scale"] | None = None,
    scale: tuple[int, int] = (1, 5),
) -> Reply:
    """Say what ``body`` means, given the questions that are open for this customer.

    ``open_codes`` are the answer codes of the open cases; ``locale`` is the customer's, and decides in
    which languages besides English a bare yes or no counts (``None``: in all that we know).
    """
    text = _plain(body[:LONGEST])
    line = _words(text)
    bare = _without_politeness(line)
    if bare in _STOP or _all_stop(bare) or _opts_out(text):
        return Reply(meaning=Meaning.STOP)
    if bare in _HELP:
        return Reply(meaning=Meaning.HELP)
    if bare in _START:
        return Reply(meaning=Meaning.START)
    confirming = expects == "confirm" or bool(open_codes)
    answer = _confirmation(text, _languages(locale), open_codes, asked=confirming)
    if expects == "scale" and not answer.code:
        scored = _score(text, scale)
        if scored.meaning is Meaning.SCORE or answer.meaning is Meaning.TEXT:
            return scored
    return answer


# --- one plain form for their words and ours ---


def _plain(text: str) -> str:
    """Compatibility forms folded, lower case, ASCII digits, no apostrophes or invisible marks."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
    return "".join(_character(c) for c in folded)


def _character(c: str) -> str:
    if c in "'’‘`´ʼ\u20e3" or unicodedata.category(c) in ("Cf", "Sk") or "\ufe00" <= c <= "\ufe0f":
        return ""
    digit = unicodedata.decimal(c, None)
    return c if digit is None else str(digit)


def _words(text: str) -> str:
    """Letters, their marks and digits; everything else is a space."""
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return " ".join(kept.split())


def _list(text: str) -> list[str]:
    return [_words(_plain(w)) for line in text.split("\n") for w in line.split("|") if w.strip()]


_STOP, _START, _HELP = (frozenset(_list(t)) for t in (words.STOP, words.START, words.HELP))
_POLITE = "|".join(sorted(_list(words.POLITE), key=len, reverse=True))
_ENDINGS = "|".join(_list(words.ENDINGS))
_POLITE_START = re.compile(rf"(?:(?:{_POLITE})(?= |$)|{_ENDINGS}) ?")
_POLITE_END = re.compile(rf" ?(?:(?<![^ ])(?:{_POLITE})|{_ENDINGS})$")
_OPT_OUT = re.compile(words.LEAD + "(?:" + "|".join(_plain(p) for p in words.OPT_OUT) + ")")
_SENTENCE_END = re.compile(r"[.!?,;:\n…。！？，、；()\"“”–—]+|\s-+\s")


def _without_politeness(line: str) -> str:
    while line:
        shorter = _POLITE_START.sub("", line, count=1) if _POLITE_START.match(line) else line
        shorter = _POLITE_END.sub("", shorter).strip()
        if shorter == line:
            break
        line = shorter
    return line


# --- opting out ---


def _all_stop(bare: str) -> bool:
    """``STOP STOP`` and ``S.T.O.P.``."""
    parts = bare.split()
    spelled = all(len(part) == 1 for part in parts) and "".join(parts) in _STOP
    return bool(parts) and (spelled or all(part in _STOP for part in parts))


def _opts_out(text: str) -> bool:
    sentences = (_without_politeness(_words(s)) for s in _SENTENCE_END.split(text))
    return any(_OPT_OUT.fullmatch(sentence) for sentence in sentences if sentence)


# --- "was this you?" ---


@dataclass(frozen=True, slots=True)
class _Answers:
    yes: re.Pattern[str]
    no: re.Pattern[str]


# A space, or nothing after a script that writes none: "noon" is not "noo n".
_JOIN = "(?: |(?<=[\u0e00-\u9fff]))"


def _answers(languages: Iterable[str]) -> _Answers:
    chosen = list(languages)

    def whole(heads: dict[str, str], tails: dict[str, str]) -> re.Pattern[str]:
        head = _plain("|".join(heads[lang] for lang in chosen))
        tail = _plain("|".join(tails[lang] for lang in chosen))
        return re.compile(rf"(?:{head})(?:{_JOIN}(?:{head}))*(?:{_JOIN}(?:{tail}))?|{tail}")

    return _Answers(whole(words.YES_HEADS, words.YES_TAILS), whole(words.NO_HEADS, words.NO_TAILS))


_ANSWERS = {language: _answers(dict.fromkeys(["en", language])) for language in words.YES_HEADS} | {
    None: _answers(words.YES_HEADS)
}
_SIGNAL = re.compile(
    rf"\b(?:{'|'.join(words.SIGNALS.values())})\b|{_plain(words.SIGNS)}"
    rf"|[{words.YES_EMOJI}{words.NO_EMOJI}]"
)
_QUESTION = re.compile(_plain(words.QUESTIONS))
_DIGITS = re.compile(r"\d+")
_CODE_LENGTHS = range(3, 9)


def _languages(locale: str | None) -> _Answers:
    if not locale:
        return _ANSWERS[None]
    return _ANSWERS.get(re.split("[-_]", locale.lower())[0], _ANSWERS["en"])


def _confirmation(text: str, answers: _Answers, open_codes: Sequence[str], *, asked: bool) -> Reply:
    codes = _codes(text, open_codes)
    wrong = [code for code in codes if code not in open_codes]
    code = next(iter(wrong or codes), None)
    polarity = _polarity(text, answers, with_code=code is not None)
    if not asked:
        # An answer to a case that is closed: nobody may take it for another one.
        stray = code is not None and polarity in (Meaning.YES, Meaning.NO)
        meaning = Meaning.AMBIGUOUS if stray else Meaning.TEXT
        return Reply(meaning=meaning, code=code if stray else None, wrong_code=stray)
    one_case = not wrong and (len(codes) == 1 or (not codes and len(open_codes) <= 1))
    if polarity in (Meaning.YES, Meaning.NO) and one_case:
        return Reply(meaning=polarity, code=code or next(iter(open_codes), None))
    talk = polarity is Meaning.TEXT and code is None
    meaning = Meaning.TEXT if talk else Meaning.AMBIGUOUS
    return Reply(meaning=meaning, code=code, wrong_code=bool(wrong))


def _codes(text: str, open_codes: Sequence[str]) -> list[str]:
    """The different codes in the text, open or not; ``48 21`` is one."""
    runs = _DIGITS.findall(text)
    lengths = {len(code) for code in open_codes} or _CODE_LENGTHS
    found = dict.fromkeys(run for run in runs if len(run) in lengths)
    whole = "".join(runs)
    return list(found) or ([whole] if len(whole) in lengths else [])


def _polarity(text: str, answers: _Answers, *, with_code: bool) -> Meaning:
    """Whether the whole text is a yes, a no, something doubtful, or talk."""
    if _QUESTION.search(text):
        doubtful = _SIGNAL.search(text) or with_code
        return Meaning.AMBIGUOUS if doubtful else Meaning.TEXT
    marked = re.sub(f"[{words.YES_EMOJI}]", " yes ", text)
    marked = re.sub(f"[{words.NO_EMOJI}]", " no ", marked)
    line = _words(_DIGITS.sub(" ", marked) if with_code else marked)
    bare = _without_politeness(line)
    if bare != line and not with_code and bare in _SHORT:
        return Meaning.AMBIGUOUS
    if answers.yes.fullmatch(bare):
        return Meaning.YES
    if answers.no.fullmatch(bare):
        return Meaning.NO
    return Meaning.AMBIGUOUS if _SIGNAL.search(text) else Meaning.TEXT


_SHORT = frozenset({"ok", "okay", "okey", "oki", "no", "nope", "nah", "ок", "окей", "нет"})
"""With "thanks" these are a courtesy ("OK thanks", "no thanks") as easily as an answer."""


# --- "how was it, 1 to 5?" ---

_OF_TOTAL = re.compile(rf"(\d+) ?{words.OUT_OF} ?(\d+)")
_STARS = re.compile(r"\s*([⭐★🌟]+)☆*\s*")
_NUMBER_WORD = re.compile(
    r"\b(?:" + "|".join(w for w in words.NUMBERS if w.isalpha() and w < "\u0e00") + r")\b"
)
_UNSPACED = {_plain(w): n for w, n in words.NUMBERS.items() if w >= "\u0e00"}
_RATED = re.compile(rf"(\d+) ?{_plain(words.UNIT)}")
_UNIT = re.compile(rf"^{_plain(words.UNIT)} ?")
_LED = re.compile(rf"{_plain(words.RATING_LEAD)}(\d+)\b ?(.*)")
_NOT_RATED = re.compile(rf"{_plain(words.NOT_RATED)}\b|{_plain('分鐘|分钟|小時|小时')}")
_NOT_WHOLE = re.compile(r"-\s*\d|\d\s*[.,]\s*\d|\d\s*[+%]|[$€£¥฿]\s*\d|\d\s*[-–~]\s*\d")
_DENIED = re.compile(r"\b(?:not|no|never|(?:do|did|was|is|would|ca|wo)nt|не)\b")


def _score(text: str, scale: tuple[int, int]) -> Reply:
    """The score in the text; several numbers, or one that is no score, are for a person."""
    stars = _STARS.fullmatch(text)
    if stars:
        return _in_scale(len(stars[1]), scale, "")
    numbered = _with_digits(text)
    reduced = _OF_TOTAL.sub(lambda m: m[1] if int(m[2][:9]) == scale[1] else m[0], numbered)
    numbers = _DIGITS.findall(reduced)
    if not numbers:
        return Reply(meaning=Meaning.TEXT)
    rated = _RATED.search(reduced)
    led = _LED.fullmatch(_words(reduced))
    doubtful = len(numbers) > 1 or _NOT_WHOLE.search(reduced) or _QUESTION.search(reduced)
    if doubtful or _denied(reduced) or not (rated or led):
        return Reply(meaning=Meaning.AMBIGUOUS)
    comment = _UNIT.sub("", led[2] if led else "")
    spelled_out = not _DIGITS.search(text)
    in_passing = spelled_out and (comment or not led)  # "the one I ordered", "at one point"
    if in_passing or (not rated and _NOT_RATED.match(comment)):
        return Reply(meaning=Meaning.AMBIGUOUS)
    return _in_scale(int(numbers[0][:9]), scale, comment)


def _in_scale(number: int, scale: tuple[int, int], comment: str) -> Reply:
    if not scale[0] <= number <= scale[1]:
        return Reply(meaning=Meaning.AMBIGUOUS)
    return Reply(meaning=Meaning.SCORE, value=number, comment=comment.strip())


def _with_digits(text: str) -> str:
    """Number words as digits: between spaces, or alone or before a unit where none are written."""
    text = _NUMBER_WORD.sub(lambda m: str(words.NUMBERS[m[0]]), text)
    for word, number in _UNSPACED.items():
        unit = rf"(?=\W*$|{_plain(words.UNIT)})"
        text = re.sub(rf"(?<![^\W\d])(?:{_plain('給|给|打|ให้')})?{word}{unit}", f" {number} ", text)
    return text


def _denied(text: str) -> bool:
    """A denial that comes before the number, as in "not a 5"."""
    return bool(_DENIED.search(_DIGITS.split(text)[0]))
