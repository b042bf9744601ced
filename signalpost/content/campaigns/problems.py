"""From pydantic's errors to sentences with a line and a remedy."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from signalpost.content.campaigns import people, schema
from signalpost.content.campaigns.page import Page, Place
from signalpost.content.campaigns.part import Part, choose, nearest
from signalpost.content.errors import Problem

_TAGS: Mapping[str, type[Part]] = {
    part.__name__: part for part in (*people.KINDS.values(), schema.FromAttribute, schema.FromEvent)
}
_SHAPES = {
    "list_type": ("is no list", "write it like [one, two]"),
    "dict_type": ("is no group of keys", "write its keys below it, set in by two spaces"),
    "model_type": ("is no group of keys", "write its keys below it, set in by two spaces"),
    "model_attributes_type": (
        "is no group of keys",
        "write its keys below it, set in by two spaces",
    ),
    "too_short": ("is empty", "name at least one"),
    "union_tag_not_found": ("is no rule", f"begin it with one of: {', '.join(people.KINDS)}"),
}
_EXAMPLES = {
    "name": "the file's name, without .yaml",
    "message": "the name of a folder in templates/",
    "audience": "who it is for; for all customers, everyone: true",
    "channels": "such as `first: [sms, email]` or `every: [email, in_app]`",
    "event": "such as order.placed",
    "fact": "the event's fact, such as product",
    "share": "such as 50%",
    "ends": "such as 2026-12-31 23:59",
    "topic": "such as offers",
    "seed": "any word; the same word draws the same people",
}


def report(error: ValidationError, page: Page) -> None:
    """Note on ``page`` everything that an error of the schema holds."""
    found = error.errors(include_url=False)
    slips = {one["loc"][:-1]: _meant(one) for one in found if one["type"] == "extra_forbidden"}
    for one in found:
        missing = one["type"] == "missing" and slips.get(one["loc"][:-1]) == one["loc"][-1]
        if not missing:  # its misspelt key says it
            page.problems.append(_problem(one, page))


def _meant(one: Any) -> str | None:
    """Give the key that a misspelt one stands for, when that is clear."""
    return nearest(str(one["loc"][-1]), _part_of(one["loc"][:-1]).known_keys())


def _problem(one: Any, page: Page) -> Any:
    place = tuple(part for part in one["loc"] if part != "[key]")
    says, remedy = _sentence(one, place)
    at = (one.get("ctx") or {}).get("at")
    line = page.line((*place, at) if at else place)
    rule = "key" if one["type"] == "extra_forbidden" else _rule(place)
    return Problem(page.file, line, rule, says, remedy)


def _rule(place: Place) -> str:
    """Name the problem by the part of the file that it is in."""
    return str(place[0]) if place and isinstance(place[0], str) else "campaign"


def _sentence(one: Any, place: Place) -> tuple[str, str]:
    kind, key = one["type"], _last_word(place)
    if kind == "wrong":
        return one["ctx"]["says"], one["ctx"]["remedy"]
    if kind == "missing":
        return f"`{key}` is missing", f"add `{key}:` and {_EXAMPLES.get(key, 'its value')}"
    if kind == "extra_forbidden":
        known = list(_part_of(place[:-1]).known_keys())
        return f"`{key}` is not a key here", choose(key, known)
    told = _SHAPES.get(kind)
    if told:
        return f"`{key}` {told[0]}", told[1]
    return f"`{key}` cannot be this ({str(one['msg']).lower().rstrip('.')})", "correct its value"


def _last_word(place: Place) -> str:
    words = [part for part in place if isinstance(part, str) and part not in _TAGS]
    return words[-1] if words else "the file"


def _part_of(place: Place) -> type[Part]:
    """Give the part of the schema that a place is in, to name the keys that it has."""
    part: type[Part] = schema.CampaignFile
    for word in place:
        if isinstance(word, int):
            continue
        if word in _TAGS:
            part = _TAGS[word]
            continue
        part = next(_parts_in(part.known_keys().get(word)), part)
    return part


def _parts_in(kind: Any) -> Iterator[type[Part]]:
    if isinstance(kind, type) and issubclass(kind, Part):
        yield kind
    for inner in get_args(kind):
        yield from _parts_in(inner)
