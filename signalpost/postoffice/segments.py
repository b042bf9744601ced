"""How many segments a text costs, counted as a carrier does (3GPP TS 23.038)."""

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = frozenset("{}[]\\~|^€\f")
_GSM = _GSM_BASIC | _GSM_EXTENSION


def encoding(body: str) -> str:
    """Return ``GSM-7``, or ``UCS-2`` when one character is outside the GSM alphabet."""
    return "GSM-7" if _GSM.issuperset(body) else "UCS-2"


def count_segments(body: str) -> int:
    """Return the number of segments; an escape or surrogate pair is never cut in two."""
    if _GSM_BASIC.issuperset(body) and len(body) <= 160:
        return 1
    if _GSM.issuperset(body):
        return _pack([2 if char in _GSM_EXTENSION else 1 for char in body], 160, 153)
    return _pack([2 if ord(char) > 0xFFFF else 1 for char in body], 70, 67)


def _pack(costs: list[int], single: int, joined: int) -> int:
    if sum(costs) <= single:
        return 1
    segments, room = 1, joined
    for cost in costs:
        if cost > room:
            segments, room = segments + 1, joined
        room -= cost
    return segments
