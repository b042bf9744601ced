"""How a campaign file compares a value: an attribute of somebody, or a property of an event."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from signalpost.content.campaigns.part import Part
from signalpost.content.campaigns.values import MomentText, Number, Text, Yes, plain, wrong
from signalpost.domain import audience as rules
from signalpost.domain.audience_values import checked

_FACT = r"[a-z][a-z0-9_]{0,39}"
Comparison = tuple[str, Any]  #: an operator of ``rules.OPERATORS`` and what it compares with


def _single(value: Any) -> Any:
    told = plain(value)
    if (
        isinstance(told, dict)
        and set(told) == {"given"}
        and re.fullmatch(_FACT, str(told["given"]))
    ):
        return rules.Given(told["given"])
    if isinstance(told, list | dict):
        remedy = "write `among: [gold, vip]` to allow several, or `{given: store}` to ask at launch"
        raise wrong("one value is expected here", remedy)
    return told


def _several(value: Any) -> Any:
    told = plain(value)
    if not isinstance(told, list) or not told or any(isinstance(v, list | dict) for v in told):
        raise wrong("a list of values is expected here", "write it like [gold, vip]")
    return told


def _as_written(value: Any) -> Any:
    return {"given": value.name} if isinstance(value, rules.Given) else value


Single = Annotated[Any, BeforeValidator(_single), PlainSerializer(_as_written)]
Several = Annotated[list[Any], BeforeValidator(_several)]


#: A lower and an upper bound, and whether a value may be both when they are the same.
_BOUNDS = (
    ("at_least", "at_most", True),
    ("at_least", "less_than", False),
    ("more_than", "at_most", False),
    ("more_than", "less_than", False),
    ("after", "before", False),
)


def _in_words(op: str, value: Any) -> str:
    return f"{op.replace('_', ' ')} {value}"


class Comparisons(Part):
    """How a value is compared; several have to hold together."""

    is_: Single = Field(default=None, alias="is")
    is_not: Single = None
    among: Several | None = None
    not_among: Several | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    more_than: Number | None = None
    less_than: Number | None = None
    contains: Text | None = None
    before: MomentText | None = None
    after: MomentText | None = None
    known: Yes | None = None

    def impossible(self) -> str | None:
        """Say which two of the comparisons no single value passes; None: there are none."""
        for low, high, both in _BOUNDS:
            least, most = getattr(self, low), getattr(self, high)
            if least is None or most is None:
                continue
            bounds = checked(low, least), checked(high, most)
            if bounds[0] > bounds[1] or (bounds[0] == bounds[1] and not both):
                return f"nothing is {_in_words(low, least)} and {_in_words(high, most)}"
        return None

    @model_validator(mode="after")
    def _compares(self) -> Self:
        if not any(True for _ in self.comparisons()) and self.known is None:
            says = "nothing says what to compare with"
            raise wrong(says, f"add one of: {', '.join(rules.OPERATORS)}")
        return self

    def comparisons(self) -> Iterator[Comparison]:
        """Give each operator with its value; ``known`` is left out."""
        for op in rules.OPERATORS:
            value = getattr(self, "is_" if op == "is" else op)
            if op != "known" and value is not None:
                yield op, tuple(value) if isinstance(value, list) else value


class Condition(Comparisons):
    """A comparison of one property of an event."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        asked = isinstance(value, dict) and set(value) == {"given"}
        return value if isinstance(value, dict) and not asked else {"is": value}

    @model_validator(mode="after")
    def _known_is_true(self) -> Self:
        if self.known is False:
            says = "`known: false` cannot be said of a property"
            raise wrong(says, "say did_not: with `known: true`", at="known")
        return self
