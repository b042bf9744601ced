"""Who a campaign is for: rules as frozen values, which read like the campaign file.

    All((Attribute("tier", "among", ("gold", "vip")), Did("order.placed", within=timedelta(days=365))))

``record.audiences`` compiles a rule to one SQL statement; ``in_words`` says it in plain words. Every
rule is about a root customer: after a merge, the whole person.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

#: How a value is compared. ``known`` takes no value; ``among`` takes a tuple; ``before`` and ``after``
#: take an ISO date or time; ``contains`` finds a text within a text, whatever its capitals.
OPERATORS = (
    "is", "is_not", "among", "not_among", "at_least", "at_most", "more_than", "less_than",
    "contains", "before", "after", "known",
)  # fmt: skip


@dataclass(frozen=True)
class Everyone:
    """Every customer."""


@dataclass(frozen=True)
class All:
    """Those to whom every rule applies."""

    rules: tuple["Rule", ...]


@dataclass(frozen=True)
class AnyOf:
    """Those to whom at least one rule applies."""

    rules: tuple["Rule", ...]


@dataclass(frozen=True)
class Not:
    """Those to whom the rule does not apply."""

    rule: "Rule"


@dataclass(frozen=True)
class Attribute:
    """An attribute of the customer, or ``locale`` or ``zone``; a missing one applies to no operator."""

    name: str
    op: str
    value: Any = None


@dataclass(frozen=True)
class Tenure:
    """How long we have known the customer: since they are on record, or since an older event."""

    at_least: timedelta | None = None
    less_than: timedelta | None = None


@dataclass(frozen=True)
class Consent:
    """A standing yes to marketing on this channel and topic, as the gate reads it."""

    channel: str
    topic: str


@dataclass(frozen=True)
class Reachable:
    """A verified address on the channel, and no block on it for everything."""

    channel: str


@dataclass(frozen=True)
class Where:
    """A condition on a property of an event. ``name``: a fact, or a path such as ``lines.sku``.

    A path through a list applies when it does for any of its items. ``is_not`` and ``not_among`` are
    the opposite: something is there, and none of the items is it.
    """

    name: str
    op: str
    value: Any = None


@dataclass(frozen=True)
class Unless:
    """Which events put an end to another one: a pickup, to an order that is ready.

    ``events``: of these names, by the same person, before or after it, since systems tell things out of
    order. ``same``: the property that both have alike, and that is one order's or cart's alone, such as
    ``order_id``; an event without it is ended by nothing. ``where``: what else is so of the events.
    """

    events: tuple[str, ...]
    same: str
    where: tuple[Where, ...] = ()


@dataclass(frozen=True)
class Did:
    """An event of this name, so many times, adding up to so much, so long ago.

    ``within``: counted over this length of time before the run; None: over all time. ``times``: at
    least, ``at_most`` times at most. ``sum_of`` with ``total_at_least``/``total_at_most``: a property
    that is a number or money, added up over those events. ``last_before``: the latest of them is at
    least this long ago (recency). ``unless``: which of them do not count.
    """

    event: str
    where: tuple[Where, ...] = ()
    within: timedelta | None = None
    times: int = 1
    at_most: int | None = None
    sum_of: str | None = None
    total_at_least: float | None = None
    total_at_most: float | None = None
    last_before: timedelta | None = None
    unless: Unless | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every event that it looks at."""
        return (self.event, *(self.unless.events if self.unless else ()))

    @property
    def wheres(self) -> tuple[Where, ...]:
        """Every condition on a property."""
        return self.where + (self.unless.where if self.unless else ())

    def properties(self) -> Iterator[tuple[str, str]]:
        """Give each property that it asks for, after the event's name."""
        yield from ((self.event, one.name) for one in self.where)
        if self.sum_of:
            yield self.event, self.sum_of
        if self.unless:
            asked = [self.unless.same, *(one.name for one in self.unless.where)]
            yield self.event, self.unless.same
            yield from ((event, name) for event in self.unless.events for name in asked)


@dataclass(frozen=True)
class InCampaign:
    """Somebody whom another campaign decided on. ``outcome``: sent, held_out, skipped, or any.

    ``series`` narrows it to one incident or other series of runs.
    """

    campaign: str
    outcome: str = "sent"
    within: timedelta | None = None
    series: str | None = None


@dataclass(frozen=True)
class Sample:
    """A share of all customers, drawn by a salted hash: the same people for the same seed.

    The place of a person is ``assignment.share(seed, customer id)``.
    """

    share: float
    seed: str


Rule = (
    Everyone
    | All
    | AnyOf
    | Not
    | Attribute
    | Tenure
    | Consent
    | Reachable
    | Did
    | InCampaign
    | Sample
)


class Given(str):
    """The name of a fact that whoever launches the campaign gives: the store that is closed.

    Until it is given it is a text that no value equals, so a rule with it applies to nobody.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> "Given":
        """Name the fact."""
        return super().__new__(cls, f"(the {name} given at the launch)")

    @property
    def name(self) -> str:
        """The fact's name."""
        return self[len("(the ") : -len(" given at the launch)")]


def givens(rule: Rule) -> list[str]:
    """Name the facts that a rule waits for, each once."""
    held = [
        value
        for clause in clauses(rule)
        for one in (clause.wheres if isinstance(clause, Did) else (clause,))
        for value in _values(getattr(one, "value", None))
    ]
    return list(dict.fromkeys(value.name for value in held if isinstance(value, Given)))


def _values(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def filled(rule: Rule, facts: Mapping[str, Any]) -> Rule:
    """Give the rule with the facts of a launch in their places; one that is not there stays open."""
    if isinstance(rule, All | AnyOf):
        return type(rule)(tuple(filled(inner, facts) for inner in rule.rules))
    if isinstance(rule, Not):
        return Not(filled(rule.rule, facts))
    if isinstance(rule, Did):
        unless = rule.unless and replace(rule.unless, where=_all_filled(rule.unless.where, facts))
        return replace(rule, where=_all_filled(rule.where, facts), unless=unless)
    if isinstance(rule, Attribute):
        return replace(rule, value=_filled(rule.value, facts))
    return rule


def _all_filled(wheres: tuple[Where, ...], facts: Mapping[str, Any]) -> tuple[Where, ...]:
    return tuple(replace(one, value=_filled(one.value, facts)) for one in wheres)


def _filled(value: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_filled(one, facts) for one in value)
    return facts.get(value.name, value) if isinstance(value, Given) else value


def clauses(rule: Rule) -> Iterator[Rule]:
    """Give the rules that hold no other rule, in the order in which they are written."""
    if isinstance(rule, All | AnyOf):
        for inner in rule.rules:
            yield from clauses(inner)
    elif isinstance(rule, Not):
        yield from clauses(rule.rule)
    else:
        yield rule
