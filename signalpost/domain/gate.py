"""The gate: the one place that says send, skip or hold, with a reason.

The purpose of a message decides which rules it must pass (``RULES``). What is known about a person
arrives as a ``Standing``, gathered by one query a rule for the whole batch (by
``services.journeys.gate``); the rules are plain functions, in the order in which a person would want
to hear the reason.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from signalpost.domain.local_time import Window, next_open
from signalpost.domain.vocabulary import Channel, Decision, Purpose


@dataclass(frozen=True)
class Cap:
    """At most ``count`` marketing messages on one channel in any ``period`` (rolling)."""

    count: int
    period: timedelta

    def __str__(self) -> str:
        return f"{self.count} in {self.period}"


@dataclass(frozen=True)
class Policy:
    """The house rules of sending."""

    window: Window = field(default_factory=Window)
    caps: tuple[Cap, ...] = (Cap(2, timedelta(days=1)), Cap(6, timedelta(days=7)))
    holdout: float = 0.0  #: share of all customers who get no marketing, to measure it by
    holdout_salt: str = "holdout"


class Address(NamedTuple):
    """A contact point as the gate needs it."""

    address: str
    verified: bool


class Sent(NamedTuple):
    """An earlier marketing message that counts toward the caps."""

    message_id: str
    at: datetime


@dataclass(slots=True)
class Standing:
    """What is known about one person, at the moment of deciding."""

    addresses: Mapping[Channel, Address] = field(default_factory=dict)
    blocks: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    """(channel, address) → scope → reason, of the suppressions in force."""
    consents: Mapping[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    """(channel, topic), either may be ``*`` → the latest status and its time."""
    recent: dict[Channel, list[Sent]] = field(default_factory=dict)
    repeats: dict[str, datetime] = field(default_factory=dict)
    """cause → when this same message was last sent for it."""
    zones: tuple[ZoneInfo, ...] = ()
    zone_source: str = "default"  #: customer | phone | default
    held_out: str | None = None  #: by what: global | campaign | control
    held_back: str | None = None  #: the incident during which marketing waits


@dataclass(frozen=True)
class Proposal:
    """A message that somebody wants to send to one person on one channel."""

    message: str
    purpose: Purpose
    topic: str
    channel: Channel
    quiet_hours: bool = False  #: asked for by the message; marketing always keeps them
    repeat_window: timedelta | None = None
    expires_at: datetime | None = None
    cause: str | None = None  #: the enrolment: its own other channels are no repetition

    @cached_property
    def is_marketing_mail(self) -> bool:
        """Whether it bears a link to unsubscribe (RFC 8058), and its links count clicks."""
        return self.purpose is Purpose.MARKETING and self.channel is Channel.EMAIL

    @cached_property
    def can_wake(self) -> bool:
        """Whether it waits for the morning: a row in an inbox wakes nobody."""
        asked_for = self.quiet_hours or self.purpose is Purpose.MARKETING
        return asked_for and self.channel is not Channel.IN_APP

    @cached_property
    def concerns(self) -> tuple[tuple[str, str], ...]:
        """The (channel, topic) of which a statement of consent counts for it."""
        return tuple(
            (channel, topic) for channel in (str(self.channel), "*") for topic in (self.topic, "*")
        )


_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: By a name of its own: asked for through its class, it takes a tenth of a verdict's time.
SEND = Decision.SEND


class Verdict(NamedTuple):
    """What the gate says, and why. ``detail`` is stored and shown; it holds no address."""

    decision: Decision
    reason: str
    detail: Mapping[str, Any] = _NOTHING
    until: datetime | None = None  #: for HOLD: when to ask again
    address: str | None = None


#: How long a message waits for an incident to end before the gate is asked again.
ASK_AGAIN = timedelta(minutes=30)

Rule = Callable[[Proposal, Standing, Policy, datetime], Verdict | None]


def _skip(reason: str, **detail: Any) -> Verdict:
    return Verdict(Decision.SKIP, reason, detail)


def expiry(proposal: Proposal, standing: Standing, policy: Policy, now: datetime) -> Verdict | None:
    """A message that is no longer worth sending is not sent late."""
    del standing, policy
    if proposal.expires_at is not None and now >= proposal.expires_at:
        return _skip("expired", expired_at=proposal.expires_at.isoformat())
    return None


def reachable(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """There must be an address, and it must be known to be theirs (R-17)."""
    del policy, now
    point = standing.addresses.get(proposal.channel)
    if point is None:
        return _skip("no_contact_point")
    if not point.verified:
        return _skip("unverified_contact_point")
    return None


def suppression(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """STOP and dead addresses hold for every purpose; unsubscribes for marketing only."""
    del policy, now
    address = standing.addresses[proposal.channel].address
    scopes = standing.blocks.get((proposal.channel, address))
    if scopes is None:
        return None
    scope = objection(scopes, purpose=proposal.purpose, topic=proposal.topic)
    return _skip(f"suppressed_{scopes[scope]}", scope=scope) if scope else None


def objection(scopes: Iterable[str], *, purpose: Purpose, topic: str) -> str | None:
    """Give the first of an address's suppressed scopes that a message falls under."""
    mine = ("all", "marketing", topic) if purpose is Purpose.MARKETING else ("all",)
    return next((scope for scope in scopes if scope in mine), None)


_WHEN = itemgetter(1)


def consent(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """Marketing needs a standing yes for this channel and topic; the latest word counts."""
    del policy, now
    said = [found for key in proposal.concerns if (found := standing.consents.get(key)) is not None]
    if not said:
        return _skip("no_consent")
    status, at = max(said, key=_WHEN) if len(said) > 1 else said[0]
    if status == "granted":
        return None
    return _skip(f"consent_{status}", since=at.isoformat())


def holdout(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """People held out get no marketing, so that its effect can be measured.

    The last rule: whoever it stops would have been sent this message at this moment.
    """
    del proposal, policy, now
    return _skip("holdout", by=standing.held_out) if standing.held_out else None


def incident(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """Nobody is sent an offer while we still owe them an apology (SC-30)."""
    del policy
    if standing.held_back is None:
        return None
    until = now + ASK_AGAIN
    if proposal.expires_at is not None and until >= proposal.expires_at:
        return _skip("expires_in_incident", incident=standing.held_back)
    return Verdict(Decision.HOLD, "incident", {"incident": standing.held_back}, until=until)


def repeat(proposal: Proposal, standing: Standing, policy: Policy, now: datetime) -> Verdict | None:
    """The same message does not come again within its repeat window."""
    del policy
    if not standing.repeats:
        return None
    others = [at for cause, at in standing.repeats.items() if cause != proposal.cause]
    last = max(others, default=None)
    if proposal.repeat_window and last and now - last < proposal.repeat_window:
        return _skip("duplicate", last_sent=last.isoformat())
    return None


def frequency_cap(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """No more marketing on a channel than the caps allow, counted over rolling periods."""
    sent = standing.recent.get(proposal.channel)
    if not sent:
        return None
    for cap in policy.caps:
        within = [one.message_id for one in sent if now - one.at < cap.period]
        if len(within) >= cap.count:
            return _skip("frequency_cap", cap=str(cap), used_by=within[: cap.count])
    return None


def quiet_hours(
    proposal: Proposal, standing: Standing, policy: Policy, now: datetime
) -> Verdict | None:
    """Nobody is woken: outside the local window a message is held until it opens.

    47 CFR 64.1200(c)(1): 8:00 to 21:00 at the called person's place.
    """
    if not proposal.can_wake:
        return None
    opens = next_open(now, policy.window, standing.zones)
    if opens <= now:
        return None
    detail = {
        "until": opens.isoformat(),
        "zones": [tz.key for tz in standing.zones],
        "zone_source": standing.zone_source,
    }
    if proposal.expires_at is not None and opens >= proposal.expires_at:
        return _skip("expires_before_morning", **detail)
    return Verdict(Decision.HOLD, "quiet_hours", detail, until=opens)


#: Which rules a purpose must pass, in this order.
RULES: Mapping[Purpose, tuple[Rule, ...]] = {
    Purpose.SECURITY: (expiry, reachable, suppression, repeat),
    Purpose.TRANSACTIONAL: (expiry, reachable, suppression, repeat, quiet_hours),
    Purpose.MARKETING: (
        expiry,
        reachable,
        suppression,
        consent,
        repeat,
        frequency_cap,
        incident,
        quiet_hours,
        holdout,
    ),
}


def judge(proposal: Proposal, standing: Standing, policy: Policy, now: datetime) -> Verdict:
    """Put a proposal through the rules of its purpose; the first objection is the reason."""
    for rule in RULES[proposal.purpose]:
        verdict = rule(proposal, standing, policy, now)
        if verdict is not None:
            return verdict
    address = standing.addresses[proposal.channel].address
    return Verdict(SEND, "allowed", address=address)
