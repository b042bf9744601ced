"""A campaign as it is decided on: frozen values, made from one file of ``deployments/campaigns/``.

``content.campaigns`` reads the file; ``definition`` is what it says as plain JSON, by which a run stays
pinned to the version it was launched with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from signalpost.domain.assignment import share
from signalpost.domain.audience import Rule
from signalpost.domain.gate import Cap
from signalpost.domain.local_time import at_local
from signalpost.domain.vocabulary import Channel, Purpose


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a campaign runs: once ``at`` a wall-clock time, by ``cron`` or ``rrule``, or by hand.

    ``zone``: an IANA name, or ``customer``: the wall-clock time of each customer's own zone.
    """

    at: datetime | None = None  #: wall-clock time, without a zone
    cron: str | None = None
    rrule: str | None = None
    zone: str = "UTC"
    until: date | None = None  #: the last day of a recurring schedule

    @property
    def is_local(self) -> bool:
        """Whether the time is each customer's own."""
        return self.zone == "customer"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One version in an experiment; ``message`` None sends nothing: the control."""

    name: str
    share: float
    message: str | None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What counts as success, for how long after the decision, and when the result may be read.

    ``horizon``: people in each arm that were stated beforehand (a fixed horizon); None: sequential,
    which may be looked at at any moment.
    """

    event: str = "order.placed"
    within: timedelta = timedelta(days=7)
    revenue: str | None = "total"  #: the event's fact that is money; None: count only
    horizon: int | None = None
    alpha: float = 0.05


#: Facts that a promotion gives by its own keys → the key.
PROMOTED: Mapping[str, str] = {"promotion_id": "id", "code": "code", "expires_at": "ends"}


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One offer on every channel; redeemed or ended stops the rest (R-40)."""

    id: str
    code: str
    ends_at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)  #: what else it says, such as percent

    def said(self) -> dict[str, Any]:
        """Give every fact that people are told of it: what stops it is what they were told."""
        own = {"promotion_id": self.id, "code": self.code, "expires_at": self.ends_at.isoformat()}
        return own | {name: value for name, value in self.facts.items() if name not in own}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Above so many people a person has to approve; None: never, 0: always."""

    above: int | None = 1_000


@dataclass(frozen=True)
class Personal:
    """A fact that differs from person to person: from an attribute, or their latest event.

    ``source``: ``attribute`` or ``event``; ``name``: the attribute's or the event's; ``property``: the
    event's fact. ``otherwise``: for who has none; None: the message decides whether it can do without.
    """

    source: str
    name: str
    property: str | None = None
    otherwise: Any = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One message of a series to the same people, such as an incident's first notice."""

    name: str
    message: str
    opens: bool = False  #: its run finds the people, and begins to hold promotions back
    closes: bool = False  #: after it, promotions go again


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """Everything a run needs to know. ``version`` is the hash of ``definition``."""

    name: str
    description: str = ""
    owner: str = ""
    purpose: Purpose
    topic: str
    message: str
    audience: Rule
    via: tuple[tuple[Channel, ...], ...] = ((Channel.EMAIL,),)
    """Chains: each chain sends once, by the first of its channels that the gate allows."""
    preferred: bool = False  #: within a chain, the customer's preferred channel goes first
    schedule: Schedule = field(default_factory=Schedule)
    expires_after: timedelta | None = None  #: from the scheduled moment; None: as the message says
    caps: tuple[Cap, ...] | None = None  #: instead of the house's
    holdout: float = 0.0
    arms: tuple[Arm, ...] = ()
    measure: Measure = field(default_factory=Measure)
    approval: Approval = field(default_factory=Approval)
    pace: Mapping[str, float] = field(default_factory=dict)  #: channel → messages a second
    promotion: Promotion | None = None
    facts: Mapping[str, Any | Personal] = field(default_factory=dict)
    asks: tuple[str, ...] = ()  #: facts that whoever launches it has to give
    stages: tuple[Stage, ...] = ()
    holds_back_marketing: bool = False  #: to its people, between the stages that open and close
    run_on: str | None = None  #: a Prefect work pool for the shards; None: the warm worker
    definition: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    file: str = ""

    def needs_approval(self, people: int) -> bool:
        """Whether a person has to approve a launch to so many."""
        return self.approval.above is not None and people > self.approval.above

    def stage(self, name: str | None) -> Stage | None:
        """Give a stage by its name; None when the campaign has none of that name."""
        return next((one for one in self.stages if one.name == name), None)

    def messages(self) -> list[str]:
        """Name every message that a run may send, each once."""
        named = [one.message for one in self.stages] or [
            self.message, *(arm.message for arm in self.arms if arm.message)
        ]  # fmt: skip
        return list(dict.fromkeys(named))

    def channels(self) -> list[Channel]:
        """Name every channel that a run may use, each once."""
        return list(dict.fromkeys(channel for chain in self.via for channel in chain))

    def order(self, chain: Sequence[Channel], attributes: Mapping[str, Any]) -> Sequence[Channel]:
        """Give a chain's channels in the order in which they are tried for a person."""
        wish = attributes.get("preferred_channel")
        if not self.preferred or wish not in chain:
            return chain
        return sorted(chain, key=lambda one: one != wish)  # stable: the rest keep their order


def release_moment(local_at: datetime, tz: ZoneInfo) -> datetime:
    """Give when the wall-clock time ``local_at`` is in a zone, in UTC (DST as ``at_local`` says)."""
    wall: time = local_at.time()
    return at_local(local_at.date(), wall, tz)


#: Over how long the people of one morning are spread, so that a night's backlog is no burst.
MORNING = timedelta(minutes=30)


def after_quiet_hours(opens: datetime, run_id: str, customer_id: str) -> datetime:
    """Give a person's own moment in the half hour after their window opens; always the same one."""
    return opens + share(run_id, customer_id) * MORNING
