"""Reading YAML as people mean it: the line of every key, and nothing that changes what they wrote.

``no``, ``007``, ``10:00`` and ``2026-12-01`` are the text that they look like; only the schema makes
numbers and dates of them. What a campaign file has no use for (anchors, tags, several documents) is
refused, so that no small file can become a large one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from signalpost.content.errors import Problem

LARGEST = 64 * 1024  #: bytes of a file
_MOST, _DEEPEST = 4_000, 24

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

Place = tuple[str | int, ...]  #: the keys that lead to a value: ("audience", "all", 0)

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class Plain(str):
    """Text that was written without quotes, and so may stand for a number, true or false."""

    __slots__ = ()


@dataclass
class Page:
    """What a file says, the line of each key, and what is wrong with it as YAML."""

    file: str
    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, line: int, rule: str, says: str, remedy: str) -> None:
        """Note one thing that is wrong."""
        self.problems.append(Problem(self.file, line, rule, says, remedy))

    def line(self, place: Place) -> int:
        """Give the line of a key; of what holds it, when it is not written."""
        return line_of(self.lines, place)


class _Refused(Exception):  # noqa: N818  not an error of ours: the file's
    """The file is no plain YAML; the page says why."""


def line_of(lines: dict[Place, int], place: Place) -> int:
    """Give the line of the last part of ``place`` that is written, passing over what is not."""
    found: Place = ()
    for part in place:
        if (*found, part) in lines:
            found = (*found, part)
    return lines.get(found, 1)


def read(path: Path, *, file: str) -> Page:
    """Read a file; ``page.data`` is None when it cannot be, and ``page.problems`` says why."""
    page = Page(file)
    try:
        if path.stat().st_size > LARGEST:
            says = f"the file has more than {LARGEST // 1024} KB"
            page.report(
                1, "size", says, "a campaign is a page of text: keep lists of people out of it"
            )
            return page
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        page.report(line, "encoding", "the file is not UTF-8", "save it as UTF-8")
        return page
    except OSError as error:
        says = f"the file cannot be read ({error.strerror or type(error).__name__})"
        page.report(1, "file", says, "make it a file that this user may read")
        return page
    return read_text(text, page)


def read_text(text: str, page: Page) -> Page:
    """Read YAML into ``page``."""
    odd = _CONTROL.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        page.report(line, "character", "a character here cannot be shown", "remove it")
        return page
    try:
        page.data = _Tree(text, page).document()
    except _Refused:
        page.data = None
    except yaml.YAMLError as error:
        _syntax(error, text, page)
        page.data = None
    return page


def _syntax(error: yaml.YAMLError, text: str, page: Page) -> None:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines() or [""]
    line = min(mark.line + 1, len(lines)) if mark else 1  # the end of the text is after the last
    written = lines[line - 1]
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in str(error):
        page.report(line, "syntax", "a tab stands before the text", "use spaces to set text in")
        return
    why = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    remedy = (
        "correct it; text with : or # in it goes in quotes, and a list starts with - and a space"
    )
    page.report(line, "syntax", f"the file is no YAML ({why})", remedy)


class _Tree:
    """One document, built from events: never deeper and never longer than a campaign can be."""

    def __init__(self, text: str, page: Page) -> None:
        self._page = page
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._count = 0

    def document(self) -> Any:
        """Give the one document as dicts, lists and text."""
        data: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    says = "the file holds a second document (---)"
                    self._refuse(event, "syntax", says, "put each campaign into a file of its own")
            elif isinstance(event, yaml.NodeEvent):
                data = self._node(event, ())
        if data is None:
            self._page.report(1, "empty", "the file says nothing", "start with name: and message:")
        return data

    def _refuse(self, event: Any, rule: str, says: str, remedy: str) -> None:
        self._page.report(event.start_mark.line + 1, rule, says, remedy)
        raise _Refused

    def _node(self, event: Any, place: Place) -> Any:
        self._count += 1
        if self._count > _MOST or len(place) > _DEEPEST:
            says = "the file has too many parts, or parts too deep in each other"
            self._refuse(event, "size", says, "make the campaign simpler, or two of it")
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            says = "the file uses an anchor (& or *)"
            self._refuse(event, "anchor", says, "write it out, or put it in quotes when it is text")
        elif event.tag and event.tag != "!":
            says = f"the file uses a tag ({event.tag[:40]})"
            self._refuse(event, "tag", says, "remove it, or put it in quotes when it is text")
        if isinstance(event, yaml.ScalarEvent):
            return self._text(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(place)
        return self._mapping(place)

    def _text(self, event: Any) -> str | None:
        if any(c != "\n" and (c < " " or "\ud800" <= c <= "\udfff") for c in event.value):
            says = "a text holds a character that cannot be shown"
            self._refuse(event, "character", says, "remove it")
        plain = event.style is None or event.style == ""
        if not plain:
            return event.value
        return None if event.value in ("", "~", "null") else Plain(event.value)

    def _list(self, place: Place) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = (*place, len(items))
            self._page.lines[here] = event.start_mark.line + 1
            item = self._node(event, here)
            items.append(item)
            if item is None:
                self._nothing(event, "an item of a list is empty", "give it a value, or remove it")
        return items

    def _mapping(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event)
            if key in found:
                first = self._page.lines[(*place, key)]
                says = f"`{key}` is written twice (first in line {first})"
                self._nothing(event, says, "keep one of the two", rule="twice")
            self._page.lines[(*place, key)] = event.start_mark.line + 1
            value = self._node(next(self._events), (*place, key))
            if value is None:
                says = f"`{key}` has no value"
                self._nothing(event, says, "give it one, or remove the line")
            else:
                found[key] = value
        return found

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
            self._refuse(event, "syntax", "a key is not a word", "write `key: value`")
        return str(self._text(event))

    def _nothing(self, event: Any, says: str, remedy: str, *, rule: str = "empty") -> None:
        self._page.report(event.start_mark.line + 1, rule, says, remedy)
