"""Who a campaign is for: rules as frozen values, which read like the campaign file.

    All((Attribute("tier", "among", ("gold", "vip")), Did("order.placed", within=timedelta(days=365))))

``record.audiences`` compiles a rule to one SQL statement; ``in_words`` says it in plain words. Every
rule is about a root customer: after a merge, the whole person.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

#: How a value is compared. ``known`` takes no value; ``among`` takes a tuple; ``before`` and ``after``
#: take an ISO date or time.
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
    """How long we have known the customer: since the record knows them."""

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

    A path through a list applies when it does for any of its items.
    """

    name: str
    op: str
    value: Any = None


@dataclass(frozen=True)
class Did:
    """An event of this name, so many times, adding up to so much, so long ago.

    ``within``: counted over this length of time before the run; None: over all time. ``times``: at
    least, ``at_most`` times at most. ``sum_of`` with ``total_at_least``/``total_at_most``: a property
    that is a number or money, added up over those events. ``last_before``: the latest of them is at
    least this long ago (recency).
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


def clauses(rule: Rule) -> Iterator[Rule]:
    """Give the rules that hold no other rule, in the order in which they are written."""
    if isinstance(rule, All | AnyOf):
        for inner in rule.rules:
            yield from clauses(inner)
    elif isinstance(rule, Not):
        yield from clauses(rule.rule)
    else:
        yield rule
