"""``message.toml``: what a message is for, which facts it shows, and when it is worth sending."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from signalpost.content.compile import Compiler, Source
from signalpost.content.errors import MissingFact
from signalpost.content.facts import Fact, FactType, Place, read
from signalpost.domain.vocabulary import Channel, Purpose

RESERVED = frozenset({"customer", "brand", "links", "locale", "range", "loop"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DURATION = re.compile(r"(\d{1,4})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_KEYS = {
    "purpose", "topic", "description", "facts", "repeat_window", "expires_after", "quiet_hours",
    "question", "default_locale", "sender", "sms_segments",
}  # fmt: skip
_STREAMS = tuple(str(p) for p in Purpose)


@dataclass(frozen=True)
class Question:
    """What an answer to a message may be: ``confirm`` (OK or NO), or a number on a scale."""

    kind: str
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class MessageSpec:
    """What a message folder declares. ``version`` changes with any file that it is made of."""

    name: str
    purpose: Purpose
    topic: str
    facts: Mapping[str, Fact]
    channels: frozenset[Channel]
    locales: Mapping[Channel, frozenset[str]]
    default_locale: str
    repeat_window: timedelta | None
    expires_after: timedelta | None
    quiet_hours: bool
    question: Question | None
    sender: str
    version: str
    sms_segments: int = 2
    description: str = ""


class SpecReader:
    """Reads one ``message.toml`` and reports everything that is wrong with it, by line."""

    def __init__(self, compiler: Compiler, source: Source, domains: frozenset[str]) -> None:
        self._compiler, self._source, self._domains = compiler, source, domains

    def read(self) -> dict[str, Any] | None:
        """Return the fields of a ``MessageSpec`` that the file declares; None if it is no TOML."""
        table = read_toml(self._compiler, self._source)
        if table is None:
            return None
        self._unknown(table, _KEYS, "")
        purpose = self._choice(table, "purpose", Purpose.TRANSACTIONAL)
        return {
            "purpose": purpose,
            "topic": self._text(table, "topic", required=True),
            "description": self._text(table, "description"),
            "facts": self._facts(self._table(table, "facts")),
            "repeat_window": self._duration(table, "repeat_window"),
            "expires_after": self._duration(table, "expires_after"),
            "quiet_hours": self._quiet(table, purpose),
            "question": self._question(table),
            "sender": self._sender(table, purpose),
            "default_locale": self._text(table, "default_locale") or self._compiler.default_locale,
            "sms_segments": self._whole(table, "sms_segments", 2, low=1, high=10),
        }

    def _report(self, key: str, says: str, remedy: str) -> None:
        line = line_of(self._source.text, key)
        self._compiler.report(self._source.file, line, "message", says, remedy)

    def _unknown(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        for key in table.keys() - known:
            says = f"{key!r} is not a key of {where or 'message.toml'}"
            self._report(key, says, f"use one of: {', '.join(sorted(known))}")

    def _table(self, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = table.get(key, {})
        if isinstance(value, dict):
            return value
        self._report(key, f"{key!r} is not a table", f"write [{key}.<name>] sections")
        return {}

    def _typed(self, table: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
        value = table.get(key, default)
        if type(value) is kind or value is default:
            return value
        words = {str: "text in quotes", bool: "true or false", int: "a whole number"}
        self._report(key, f"{key!r} is not {words[kind]}", "correct its value")
        return default

    def _text(self, table: Mapping[str, Any], key: str, *, required: bool = False) -> str:
        value = self._typed(table, key, str, "").strip()
        if required and not value:
            self._report(key, f"{key!r} is missing", f'add {key} = "..."')
        return value

    def _whole(self, table: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
        value = self._typed(table, key, int, default)
        if low <= value <= high:
            return value
        self._report(key, f"{key!r} is not between {low} and {high}", "correct its value")
        return default

    def _choice(self, table: Mapping[str, Any], key: str, default: Purpose) -> Purpose:
        value = self._text(table, key, required=True)
        try:
            return Purpose(value) if value else default
        except ValueError:
            usable = ", ".join(Purpose)
            self._report(key, f"{key!r} cannot be {value!r}", f"use one of: {usable}")
            return default

    def _duration(self, table: Mapping[str, Any], key: str) -> timedelta | None:
        value = self._text(table, key)
        if not value:
            return None
        found = _DURATION.fullmatch(value)
        if found is None or int(found[1]) == 0:
            self._report(key, f"{key!r} is not a length of time", 'write it as "2h" or "14d"')
            return None
        return timedelta(**{_UNITS[found[2]]: int(found[1])})

    def _quiet(self, table: Mapping[str, Any], purpose: Purpose) -> bool:
        asked = self._typed(table, "quiet_hours", bool, None)
        if purpose is Purpose.MARKETING and asked is False:
            says = "a marketing message always respects quiet hours"
            self._report("quiet_hours", says, "remove quiet_hours = false")
        if purpose is Purpose.SECURITY and asked:
            says = "a security message never waits for quiet hours to end"
            self._report("quiet_hours", says, "remove quiet_hours = true")
        return purpose is Purpose.MARKETING or (bool(asked) and purpose is not Purpose.SECURITY)

    def _sender(self, table: Mapping[str, Any], purpose: Purpose) -> str:
        value = self._text(table, "sender") or str(purpose)
        if value not in _STREAMS:
            remedy = f"use one of: {', '.join(_STREAMS)}"
            self._report("sender", f"there is no sender stream {value!r}", remedy)
        return value

    def _question(self, table: Mapping[str, Any]) -> Question | None:
        if "question" not in table:
            return None
        asked = self._table(table, "question")
        self._unknown(asked, {"kind", "low", "high"}, "[question]")
        kind = self._text(asked, "kind", required=True)
        if kind == "confirm":
            return Question(kind)
        low = self._typed(asked, "low", int, 1)
        high = self._typed(asked, "high", int, 5)
        if kind != "scale" or not 0 <= low < high <= 10:
            says = "[question] is neither a confirm nor a scale from low to high, within 0 to 10"
            self._report("kind", says, 'write kind = "scale", low = 1, high = 5')
            return None
        return Question(kind, low, high)

    def _facts(self, table: Mapping[str, Any]) -> dict[str, Fact]:
        facts = {}
        for name, about in table.items():
            fact = self._fact(name, about)
            if fact is not None:
                facts[name] = fact
        return facts

    def _fact(self, name: str, about: Any) -> Fact | None:
        section = f"facts.{name}"
        if not _NAME.fullmatch(name) or name in RESERVED:
            says = f"{name!r} cannot be the name of a fact"
            self._report(section, says, "use small letters, digits and _; not a reserved word")
            return None
        if not isinstance(about, dict):
            self._report(name, f"[{section}] is not a table", f"write a [{section}] section")
            return None
        self._unknown(about, {"type", "required", "sample", "shown", "low", "high"}, f"[{section}]")
        try:
            kind = FactType(about.get("type", ""))
        except ValueError:
            says, usable = f"[{section}] has no known type", ", ".join(FactType)
            self._report(section, says, f"set type to one of: {usable}")
            return None
        required = self._typed(about, "required", bool, True)
        shown = self._typed(about, "shown", bool, True)
        low, high = self._bounds(about, kind, section)
        fact = Fact(name, kind, required, as_json(about.get("sample")), shown, low, high)
        self._check_sample(fact, section)
        return fact

    def _bounds(
        self, about: Mapping[str, Any], kind: FactType, section: str
    ) -> tuple[int | None, int | None]:
        low, high = (self._typed(about, key, int, None) for key in ("low", "high"))
        if kind is not FactType.INTEGER and (low, high) != (None, None):
            self._report(
                section, f"[{section}] has bounds and is no integer", "remove low and high"
            )
        if low is not None and high is not None and low > high:
            self._report(section, f"[{section}] has its low above its high", "correct one of them")
        return low, high

    def _check_sample(self, fact: Fact, section: str) -> None:
        try:
            read(fact, fact.sample, Place(self._compiler.default_locale, UTC, self._domains))
        except MissingFact:
            says = f"[{section}] has no sample, or one that is no {fact.kind}"
            self._report(section, says, "give a sample that could come with an event")


def read_toml(compiler: Compiler, source: Source) -> dict[str, Any] | None:
    """Return a TOML file's table, or note that it is none."""
    try:
        return tomllib.loads(source.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else 1
        compiler.report(source.file, line, "syntax", f"the file is no TOML ({error})", "correct it")
        return None


def line_of(text: str, key: str) -> int:
    """Return the line that sets a key or opens a section; the first when there is none."""
    start = re.compile(
        rf"\s*(\[\s*{re.escape(key)}\s*\]|{re.escape(key)}\s*=|\"{re.escape(key)}\")"
    )
    lines = text.splitlines()
    return next((n for n, line in enumerate(lines, 1) if start.match(line)), 1)


def as_json(value: Any) -> Any:
    """Return a TOML value as JSON would bring it: dates and times as ISO text."""
    if isinstance(value, dict):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_json(v) for v in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
