"""What is different from the last version that was launched, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.content import campaigns as files
from signalpost.domain.audience_words import in_words
from signalpost.domain.campaign import Campaign
from signalpost.errors import SignalpostError

_LABELS = {
    "approval": "the approval rule", "asks": "what the launch asks for",
    "caps": "the frequency caps", "expires": "the expiry", "measure": "the measure",
}  # fmt: skip
_SHARES = ("holdout", "share", "alpha")  #: written as a percentage
_LONGEST = 80


def between(
    old: Mapping[str, Any],
    new: Campaign,
    *,
    old_messages: Mapping[str, str],
    new_messages: Mapping[str, str],
) -> list[str]:
    """Say what changed from an earlier definition, and in the words of the messages it uses."""
    return [
        *_definition(old, new),
        *(
            f"The words of message {name!r} changed."
            for name in sorted(old_messages.keys() & new_messages.keys())
            if old_messages[name] != new_messages[name]
        ),
    ]


def _definition(old: Mapping[str, Any], new: Campaign) -> Iterator[str]:
    try:
        before = files.from_definition(old)
    except (SignalpostError, ValueError):  # made by an older version of the product
        before = None
    for key in sorted(old.keys() | new.definition.keys()):
        if old.get(key) == new.definition.get(key):
            continue
        if before is not None and key in _TOLD:
            yield from _TOLD[key](before, new)
            continue
        label = _LABELS.get(key, f"the {key.replace('_', ' ')}")
        for path, a, b in _leaves(old.get(key), new.definition.get(key), key):
            yield _sentence(label, path, a, b)


def _audience(old: Campaign, new: Campaign) -> Iterator[str]:
    before, after = _clauses(old), _clauses(new)
    gone = [line for line in before if line not in after]
    come = [line for line in after if line not in before]
    yield from (f"The audience no longer says: {line}." for line in gone)
    yield from (f"The audience now says: {line}." for line in come)
    if not gone and not come:
        yield "The clauses of the audience are joined in another way."


def _clauses(campaign: Campaign) -> list[str]:
    lines = [line.strip() for line in in_words(campaign.audience)]
    return [line[2:] for line in lines if line.startswith("- ")]


def _channels(old: Campaign, new: Campaign) -> Iterator[str]:
    yield f"The channels changed from {_via(old)} to {_via(new)}."


def _via(campaign: Campaign) -> str:
    chains = [
        chain[0].value if len(chain) == 1 else f"the first of {', '.join(chain)}"
        for chain in campaign.via
    ]
    wish = ", the preferred one first" if campaign.preferred else ""
    return " and ".join(chains) + wish


def _experiment(old: Campaign, new: Campaign) -> Iterator[str]:
    if old.arms != new.arms:
        yield f"The arms changed from {_arms(old)} to {_arms(new)}."
    if old.measure != new.measure:
        yield "What counts as success, or when the result may be read, changed."


def _arms(campaign: Campaign) -> str:
    said = [
        f"{one.name} {one.share:.0%} ({one.message or 'nothing is sent'})" for one in campaign.arms
    ]
    return ", ".join(said) or "none"


_TOLD = {"audience": _audience, "channels": _channels, "experiment": _experiment}


def _leaves(before: Any, after: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys(), key=str):
            if before.get(key) != after.get(key):
                yield from _leaves(before.get(key), after.get(key), *path, str(key))
    else:
        yield path, before, after


def _sentence(label: str, path: tuple[str, ...], before: Any, after: Any) -> str:
    what = f"{label} ({'.'.join(path[1:])})" if path[1:] else label
    what = what[0].upper() + what[1:]
    share = path[-1] in _SHARES
    if before is None:
        return f"{what} is new: {_short(after, share=share)}."
    if after is None:
        return f"{what} is gone; it was {_short(before, share=share)}."
    return f"{what} changed from {_short(before, share=share)} to {_short(after, share=share)}."


def _short(value: Any, *, share: bool = False) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(_short(one) for one in value)
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key} {_short(one, share=key in _SHARES)}" for key, one in value.items())
    elif isinstance(value, float):
        text = f"{value:.4g}" if not share else f"{100 * value:.4g}%"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
