"""What is different from the last version that was launched, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.content import campaigns as files
from signalpost.domain.audience_words import in_words
from signalpost.errors import SignalpostError

_LABELS = {
    "channels": "the channels", "expires": "the expiry",
    "caps": "the frequency caps", "holdout": "the holdout", "experiment": "the experiment",
    "approval": "the approval rule", "pace": "the pace", "promotion": "the promotion",
    "schedule": "the schedule", "message": "the message", "topic": "the topic",
    "purpose": "the purpose", "asks": "what the launch asks for", "facts": "the facts",
    "stages": "the stages", "description": "the description", "owner": "the owner",
}  # fmt: skip
_LONGEST = 60


def between(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    old_messages: Mapping[str, str],
    new_messages: Mapping[str, str],
) -> list[str]:
    """Say what changed between two definitions, and between the versions of the messages they use."""
    return [
        *_definition(old, new),
        *(
            f"The words of message {name!r} changed."
            for name in sorted(old_messages.keys() & new_messages.keys())
            if old_messages[name] != new_messages[name]
        ),
    ]


def _definition(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if key == "audience":
            yield from _audience(old, new)
        else:
            label = _LABELS.get(key, f"{key!r}")
            yield from (_sentence(label, path, a, b) for path, a, b in _leaves(before, after))


def _audience(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    try:
        before = [line.strip() for line in in_words(files.from_definition(old).audience)]
    except (SignalpostError, LookupError, TypeError, ValueError):  # a form of long ago
        yield "The audience changed."
        return
    after = [line.strip() for line in in_words(files.from_definition(new).audience)]
    gone = [line for line in before if line not in after]
    come = [line for line in after if line not in before]
    yield from (f"The audience no longer says: {line}." for line in gone)
    yield from (f"The audience now says: {line}." for line in come)
    if not gone and not come:
        yield "The clauses of the audience stand in another order."


def _leaves(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys(), key=str):
            if before.get(key) != after.get(key):
                inner = f"{path}.{key}" if path else str(key)
                yield from _leaves(before.get(key), after.get(key), inner)
    else:
        yield path, before, after


def _sentence(label: str, path: str, before: Any, after: Any) -> str:
    what = f"{label} ({path})" if path else label
    what = what[0].upper() + what[1:]
    if before is None:
        return f"{what} is new: {_short(after)}."
    if after is None:
        return f"{what} is gone; it was {_short(before)}."
    return f"{what} changed from {_short(before)} to {_short(after)}."


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(_short(one) for one in value)
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key} {_short(one)}" for key, one in value.items())
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
