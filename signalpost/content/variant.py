"""One message on one channel in one locale, compiled: the static text, and what fills its slots."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import escape

from signalpost.content import bounds, engine
from signalpost.content.compile import Slots
from signalpost.content.errors import MissingFact, RenderFailed
from signalpost.content.sms import one_line, to_gsm, without_controls
from signalpost.domain.text import Slot, fill, parts_from_json, parts_to_json
from signalpost.domain.vocabulary import Channel
from signalpost.errors import ConfigurationError

_CLEAN: dict[str, Callable[[str], str]] = {
    "html": without_controls,
    "text": without_controls,
    "link": without_controls,
    "sms": without_controls,
    "gsm": lambda text: to_gsm(without_controls(text)),
    "line": one_line,
}


Getter = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class _Group:
    """The slots of one kind of part: plain ones are looked up, the others run as templates."""

    env: ImmutableSandboxedEnvironment
    clean: Callable[[str], str]
    write: Callable[[Any], str]
    plain: list[tuple[str, Getter, Callable[[str], str]]]  #: each with how it is cleaned
    blocks: list[tuple[str, engine.Block]]


class Program:
    """The compiled expressions of one variant, made when the first person needs them."""

    def __init__(self, name: str, slots: Slots) -> None:
        self._name, self._slots = name, slots

    def split(self, changing: frozenset[str]) -> "tuple[Program, Program]":
        """Return the slots that read none of these variables, and the slots that do."""
        fixed: dict[str, dict[str, nodes.Node]] = {}
        moving: dict[str, dict[str, nodes.Node]] = {}
        for kind, bodies in self._slots.by_kind.items():
            for name, node in bodies.items():
                side = moving if engine.reads(node) & changing else fixed
                side.setdefault(kind, {})[name] = node
        return tuple(  # type: ignore[return-value]
            Program(self._name, replace(self._slots, by_kind=side)) for side in (fixed, moving)
        )

    @cached_property
    def _groups(self) -> list[_Group]:
        return [self._group(kind, bodies) for kind, bodies in self._slots.by_kind.items()]

    def _group(self, kind: str, bodies: Mapping[str, nodes.Node]) -> _Group:
        env = engine.HTML if kind == "html" else engine.TEXT
        plain = {name: get for name, node in bodies.items() if (get := engine.getter(node))}
        rest = {name: node for name, node in bodies.items() if name not in plain}
        blocks = engine.compile_blocks(env, rest, self._name) if rest else {}
        write = escape if kind == "html" else str
        cleaned = [(name, get, _cleaner(kind, bodies[name])) for name, get in plain.items()]
        return _Group(env, _CLEAN[kind], write, cleaned, list(blocks.items()))

    def run(self, context: Mapping[str, Any]) -> dict[str, str]:
        """Return the value of every slot."""
        values: dict[str, str] = {}
        name, size = "", 0
        try:
            for group in self._groups:
                write = group.write
                for name, get, clean in group.plain:
                    values[name] = clean(str(write(get(context))))
                if group.blocks:
                    known = {**group.env.globals, **context}
                    scope = bounds.Scope(group.env, known, self._name, {})
                    for name, block in group.blocks:
                        written = engine.run(block, scope)
                        size += len(written)
                        values[name] = group.clean(written)
                    if size > bounds.LARGEST_MESSAGE:
                        bounds.too_large()
        except MissingFact:
            raise
        except Exception as error:
            raise RenderFailed(self._slots.places[name], error) from None
        return values


def _cleaner(kind: str, node: nodes.Node) -> Callable[[str], str]:
    """Say how a slot is cleaned: a link has no control character in it (``catalogue.link_values``)."""
    clean = _CLEAN[kind]
    return str if clean is without_controls and engine.reads(node) == {"links"} else clean


@dataclass(frozen=True)
class Variant:
    """One message on one channel in one locale, compiled to static text and slots."""

    id: str
    message: str
    channel: Channel
    locale: str
    parts: Mapping[str, tuple[str | Slot, ...]]
    _program: Program | None = field(default=None, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        message: str,
        channel: Channel,
        locale: str,
        parts: Mapping[str, tuple[str | Slot, ...]],
        slots: Slots,
    ) -> "Variant":
        """Return the variant; its id is the hash of its text and of its expressions."""
        content = [message, channel, locale, parts_to_json(parts), slots.sources]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
        return cls(digest, message, channel, locale, parts, Program(f"{message}/{channel}", slots))

    def slots(self, context: Mapping[str, Any]) -> dict[str, str]:
        """Return the value of each slot for one person.

        Raises ``MissingFact`` or ``RenderFailed``, which concern that person only.
        """
        if self._program is None:
            raise ConfigurationError(
                f"Message {self.message!r} was read back from the record and can only be filled; "
                "load the catalogue to render it for another person."
            )
        return self._program.run(context)

    def split(self, changing: frozenset[str]) -> "tuple[Program, Program]":
        """Return the slots in two programs: the same for many people, and each person's own."""
        if self._program is None:
            raise ConfigurationError(f"Message {self.message!r} was read back from the record.")
        return self._program.split(changing)

    def fold(self, values: Mapping[str, str]) -> "Variant":
        """Return the variant with these slots filled in for good: it says them to everybody."""
        parts = {part: tuple(_folded(pieces, values)) for part, pieces in self.parts.items()}
        content = json.dumps([self.id, parts_to_json(parts)], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:32]
        return Variant(digest, self.message, self.channel, self.locale, parts)

    def render(self, context: Mapping[str, Any]) -> dict[str, str]:
        """Return the full text of each part for one person; raises as ``slots``."""
        return fill(self.parts, self.slots(context))

    def to_json(self) -> dict[str, Any]:
        """Return what the record keeps: static text and slot names, no values."""
        return {
            "id": self.id,
            "message": self.message,
            "channel": str(self.channel),
            "locale": self.locale,
            "parts": parts_to_json(self.parts),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Variant":
        """Return a variant that can be filled, from what the record kept."""
        return cls(
            kept["id"],
            kept["message"],
            Channel(kept["channel"]),
            kept["locale"],
            parts_from_json(kept["parts"]),
        )


def _folded(pieces: Iterable[str | Slot], values: Mapping[str, str]) -> Iterator[str | Slot]:
    """Yield the pieces with known slots as text, neighbouring texts joined."""
    text = ""
    for piece in pieces:
        value = piece if isinstance(piece, str) else values.get(piece.name)
        if value is not None:
            text += value
            continue
        if text:
            yield text
        text = ""
        yield piece
    if text:
        yield text
