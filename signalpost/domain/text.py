"""Text as static pieces and slots, so that what everybody gets is stored and sent once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a text that each person gets their own value for."""

    name: str


def fill(
    parts: Mapping[str, Sequence[str | Slot | Mapping[str, str]]], slots: Mapping[str, str]
) -> dict[str, str]:
    """Return the full text of each part: static pieces as they are, slots by their value.

    Accepts parts as compiled and as kept on the record (``{"slot": "s0"}``).
    A slot without a value raises ``KeyError``: a text with a hole was never sent.
    """
    return {
        part: "".join([p if isinstance(p, str) else slots[_name(p)] for p in pieces])
        for part, pieces in parts.items()
    }


def could_be(pieces: Sequence[str | Slot | Mapping[str, str]], text: str) -> bool:
    """Whether a text may be these pieces with some words in the slots: the static ones, in order."""
    static = [piece for piece in pieces if isinstance(piece, str) and piece]
    ends = bool(pieces) and isinstance(pieces[-1], str)
    place = 0
    for number, piece in enumerate(static):
        first = number == 0 and isinstance(pieces[0], str)
        last = ends and number == len(static) - 1
        found = text.rfind(piece, place) if last else text.find(piece, place)
        if found < 0 or (first and found) or (last and found + len(piece) != len(text)):
            return False
        place = found + len(piece)
    return bool(static) or bool(text)


def _name(piece: Slot | Mapping[str, str]) -> str:
    return piece.name if isinstance(piece, Slot) else piece["slot"]


def parts_to_json(parts: Mapping[str, Sequence[str | Slot]]) -> dict[str, list[Any]]:
    """Return parts as plain JSON, as the record keeps them."""
    return {
        part: [p if isinstance(p, str) else {"slot": p.name} for p in pieces]
        for part, pieces in parts.items()
    }


def parts_from_json(
    parts: Mapping[str, Sequence[str | Mapping[str, str]]],
) -> dict[str, tuple[str | Slot, ...]]:
    """Return parts from the JSON of ``parts_to_json``."""
    return {
        part: tuple(p if isinstance(p, str) else Slot(p["slot"]) for p in pieces)
        for part, pieces in parts.items()
    }
