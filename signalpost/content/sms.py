"""How long an SMS is, and which characters are fit for one (providers.md 1.2, C18)."""

import re

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED = frozenset("\f^{}\\[~]|€")
_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u0060\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\t", " "),
        **dict.fromkeys("\u2022\u00b7", "-"),
        "\u2026": "...",
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", ""),
    }
)
# C0 and C1 controls except the line feed, bidi marks and overrides, line separators, surrogates.
_UNFIT = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def to_gsm(text: str) -> str:
    """Return the text with look-alikes (smart quotes, dashes, odd spaces) in GSM-7 characters."""
    return text.translate(_LOOK_ALIKES)


def is_gsm(text: str) -> bool:
    """Say whether every character is in the GSM-7 alphabet (GSM 03.38)."""
    return all(c in _GSM_BASIC or c in _GSM_EXTENDED for c in text)


def sms_segments(text: str) -> tuple[str, int, int]:
    """Return the encoding (``GSM-7`` or ``UCS-2``), the length in its units, and the segments.

    GSM-7 holds 160 septets, or 153 in each joined segment; UCS-2 holds 70 and 67.
    """
    if is_gsm(text):
        sizes = [2 if c in _GSM_EXTENDED else 1 for c in text]
        return "GSM-7", sum(sizes), _segments(sizes, single=160, joined=153)
    sizes = [2 if ord(c) > 0xFFFF else 1 for c in text]
    return "UCS-2", sum(sizes), _segments(sizes, single=70, joined=67)


def _segments(sizes: list[int], *, single: int, joined: int) -> int:
    if sum(sizes) <= single:
        return 1
    segments, used = 1, 0
    for size in sizes:  # an escaped character or a surrogate pair is never split over two
        if used + size > joined:
            segments, used = segments + 1, 0
        used += size
    return segments


def without_controls(text: str) -> str:
    """Return the text without control characters and bidi overrides; line feeds stay."""
    return text if text.isprintable() else _UNFIT.sub("", text)


def one_line(text: str) -> str:
    """Return the text on one line, single-spaced, without control characters."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(without_controls(" ".join(text.split())).split())
