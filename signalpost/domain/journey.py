"""The words a journey is written in.

A journey is data: frozen values, compiled (``compile_journey``) into a ``Program`` whose version is
pinned by each enrolment. Its file in ``flows/`` reads like the brief it was made from.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Any

from signalpost.domain.conditions import Condition
from signalpost.domain.program import Node, Program, ProgramError, seal
from signalpost.domain.recall import MEMORIES
from signalpost.domain.vocabulary import Channel, Lane

EMAIL, SMS, IN_APP = Channel.EMAIL, Channel.SMS, Channel.IN_APP
WHATSAPP, MESSENGER = Channel.WHATSAPP, Channel.MESSENGER


def minutes(n: float) -> timedelta:
    """``n`` minutes."""
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    """``n`` hours."""
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    """``n`` times 24 hours."""
    return timedelta(days=n)


@dataclass(frozen=True)
class Chain:
    """Channels of which the first that the gate allows is used."""

    channels: tuple[Channel, ...]
    preferred: bool = False  #: the customer's preferred channel, if among them, goes first


Via = tuple[Chain, ...]  #: one message for each chain


def first(*channels: Channel) -> Via:
    """One message, on the first of these channels that the gate allows."""
    return (Chain(channels),)


def preferred(*channels: Channel) -> Via:
    """One message, on the customer's preferred channel, else the first of these that is allowed."""
    return (Chain(channels, preferred=True),)


def every(*channels: Channel | Via) -> Via:
    """A message on each: ``every(first(SMS, EMAIL), IN_APP)`` is at most two."""
    chains: list[Chain] = []
    for channel in channels:
        chains.extend([Chain((channel,))] if isinstance(channel, Channel) else channel)
    return tuple(chains)


class Step(ABC):
    """One step of a journey."""

    kind: str

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON, without the steps inside it."""

    def inner(self) -> Mapping[str, Sequence["Step"]]:
        """Give the steps inside this one, by the name of the way that leads to them."""
        return {}


def _via(via: Via) -> list[dict[str, Any]]:
    return [{"channels": [*chain.channels], "preferred": chain.preferred} for chain in via]


@dataclass(frozen=True)
class Send(Step):
    """Send a message. ``unless``: not if this event is already known for the same key."""

    kind = "send"
    message: str
    via: Via
    unless: tuple[str, ...] | str = ()

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        unless = [self.unless] if isinstance(self.unless, str) else list(self.unless)
        return {"message": self.message, "via": _via(self.via), "unless": unless}


@dataclass(frozen=True)
class Ask(Step):
    """Send a question and wait for the answer, which may come by any channel.

    Without ``within`` the journey goes on at once; a later ``WaitForAnswer`` picks the answer up.
    Asking again under the same ``question`` keeps the question (and its answer code) open.
    """

    kind = "ask"
    message: str
    via: Via
    within: timedelta | None = None
    question: str | None = None  #: defaults to the message's name
    otherwise: Sequence[Step] = ()

    @property
    def name(self) -> str:
        """The question's name."""
        return self.question or self.message

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"message": self.message, "via": _via(self.via), "unless": [], "question": self.name}


@dataclass(frozen=True)
class WaitForAnswer(Step):
    """Wait on for the answer to a question that was asked before."""

    kind = "wait_for"
    question: str
    within: timedelta
    otherwise: Sequence[Step] = ()

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"wait_for": f"answer:{self.question}", "seconds": self.within.total_seconds()}

    def inner(self) -> Mapping[str, Sequence[Step]]:
        """Give the steps inside this one."""
        return {"otherwise": self.otherwise}


@dataclass(frozen=True)
class WaitFor(Step):
    """Wait until an event with the journey's key is known; it may have come before."""

    kind = "wait_for"
    event: str
    within: timedelta
    otherwise: Sequence[Step] = ()

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"wait_for": f"event:{self.event}", "seconds": self.within.total_seconds()}

    def inner(self) -> Mapping[str, Sequence[Step]]:
        """Give the steps inside this one."""
        return {"otherwise": self.otherwise}


@dataclass(frozen=True)
class Wait(Step):
    """Wait a while, counted from what happened last; with ``at``, until that local time of the day."""

    kind = "wait"
    days: float = 0
    hours: float = 0
    minutes: float = 0
    at: time | None = None
    zone: str = "customer"  #: "customer", or an IANA name

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        length = timedelta(days=self.days, hours=self.hours, minutes=self.minutes)
        return {
            "seconds": length.total_seconds(),
            "at": self.at.strftime("%H:%M") if self.at else None,
            "zone": self.zone,
        }


@dataclass(frozen=True)
class Branch(Step):
    """Go one way when the condition holds, else the other."""

    kind = "branch"
    when: Condition
    then: Sequence[Step]
    otherwise: Sequence[Step] = ()

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"subject": self.when.subject, "op": self.when.op, "value": self.when.value}

    def inner(self) -> Mapping[str, Sequence[Step]]:
        """Give the steps inside this one."""
        return {"then": self.then, "otherwise": self.otherwise}


@dataclass(frozen=True)
class Split(Step):
    """Send shares of the people different ways; the same person always goes the same way."""

    kind = "split"
    name: str
    arms: Mapping[str, tuple[float, Sequence[Step]]]  #: name → (weight, steps)

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"name": self.name, "weights": {arm: w for arm, (w, _) in self.arms.items()}}

    def inner(self) -> Mapping[str, Sequence[Step]]:
        """Give the steps inside this one."""
        return {arm: steps for arm, (_, steps) in self.arms.items()}


@dataclass(frozen=True)
class OpenCase(Step):
    """Open a case that waits for the customer; a later ``HandOff`` gives it to a person."""

    kind = "open_case"
    case: str
    team: str
    reason: str

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"case": self.case, "team": self.team, "reason": self.reason}


@dataclass(frozen=True)
class HandOff(Step):
    """Give the case to a person, with the context, opening it if there is none.

    It goes to the customer's own agent, else to whoever is on call. ``promise_in`` working days are
    written on the case as the promised date, and given to later messages as the fact ``promised_by``.
    ``facts`` names what is written on the case, so that nobody need be asked again.
    """

    kind = "hand_off"
    case: str
    team: str
    reason: str
    priority: str = "normal"
    outcome: str | None = None
    promise_in: int | None = None
    to_on_call: bool = False  #: skip the customer's own agent
    facts: tuple[str, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {
            "case": self.case,
            "team": self.team,
            "reason": self.reason,
            "priority": self.priority,
            "outcome": self.outcome,
            "promise_in": self.promise_in,
            "to_on_call": self.to_on_call,
            **({"facts": list(self.facts)} if self.facts else {}),
        }


@dataclass(frozen=True)
class CloseCase(Step):
    """Close the case with an outcome."""

    kind = "close_case"
    case: str
    outcome: str

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"case": self.case, "outcome": self.outcome}


#: Waits before a webhook out is called again, after Svix's schedule; with a try after half a minute,
#: since somebody with a stolen card waits for the first of them.
CALL_AGAIN = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)


@dataclass(frozen=True)
class Call(Step):
    """Call another system by a signed webhook; ``facts`` names what it is told.

    While it does not answer, it is called again under the same id (``CALL_AGAIN``) for ``within``; then
    the journey goes on with what is known.
    """

    kind = "call"
    hook: str
    facts: tuple[str, ...] = ()
    within: timedelta = timedelta(minutes=7)

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        longer = self.within != Call.within
        within = {"within": int(self.within.total_seconds())} if longer else {}
        return {"hook": self.hook, "facts": list(self.facts), **within}


@dataclass(frozen=True)
class Issue(Step):
    """Issue a promotion: one id, one code and one expiry, for every later message of this enrolment."""

    kind = "issue"
    promotion: str
    percent: int
    valid: timedelta

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {
            "promotion": self.promotion,
            "percent": self.percent,
            "seconds": self.valid.total_seconds(),
        }


@dataclass(frozen=True)
class SetAttribute(Step):
    """Set an attribute of the customer; ``value`` may be an answer: ``"answer:csat"``."""

    kind = "set"
    name: str
    value: Any

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True)
class Recall(Step):
    """Recall what past events add up to, as facts for later steps: see ``domain/recall.py``.

    ``within``: how far to look back. What is recalled takes the place of facts of the same names.

    Raises:
        ProgramError: there is no such thing to recall.
    """

    kind = "recall"
    what: str
    within: timedelta

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        if self.what not in MEMORIES:
            raise ProgramError(f"cannot recall {self.what!r}; use one of: {', '.join(MEMORIES)}")
        return {"what": self.what, "seconds": self.within.total_seconds()}


@dataclass(frozen=True)
class Exit(Step):
    """Leave the journey."""

    kind = "exit"
    reason: str

    def arguments(self) -> dict[str, Any]:
        """Give the step as JSON."""
        return {"reason": self.reason}


@dataclass(frozen=True)
class ExitOn:
    """Leave the journey when this event comes. ``match``: event fact → fact of the enrolment.

    Without ``match`` the journey's own key must be the same.
    """

    event: str
    match: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Journey:
    """A per-customer sequence of steps.

    ``key``: the event fact that tells one entry from another and that later events are matched by;
    without one, every event of the customer since the journey began is matched.
    ``reentry``: ``once`` for each key (without a key: ever), and a second starting event joins the
    first entry; ``after_exit``: again whenever the customer is not inside; or ``anew``: a newer
    starting event ends the entry and begins another, so that only the newest counts.
    ``starts_on``: the event, or each of several, that lets people in.
    """

    name: str
    lane: Lane
    starts_on: str | Sequence[str]
    key: str | None = None
    reentry: str = "once"
    exits_on: Sequence[ExitOn] = ()
    steps: Sequence[Step]


def compile_journey(journey: Journey) -> Program:
    """Compile a journey into the program that enrolments are pinned to.

    Raises:
        ProgramError: the journey is not sound; the message names the step.
    """
    nodes: dict[str, Node] = {}
    entry = _compile(journey.steps, nodes, prefix="", after=None)
    if entry is None:
        raise ProgramError(f"journey {journey.name!r} has no steps")
    starts_on = (journey.starts_on,) if isinstance(journey.starts_on, str) else journey.starts_on
    if not starts_on or not all(starts_on):
        raise ProgramError(f"journey {journey.name!r} starts on no event; name one in starts_on")
    if journey.reentry not in ("once", "after_exit", "anew"):
        raise ProgramError(f"journey {journey.name!r}: reentry is 'once', 'after_exit' or 'anew'")
    return seal(
        journey=journey.name,
        lane=journey.lane,
        starts_on=tuple(starts_on),
        key=journey.key,
        reentry=journey.reentry,
        exits_on=[
            {"event": e.event, "match": dict(e.match), "reason": e.reason or e.event}
            for e in journey.exits_on
        ],
        entry=entry,
        nodes=nodes,
    )


def _compile(
    steps: Sequence[Step], nodes: dict[str, Node], *, prefix: str, after: str | None
) -> str | None:
    """Add the steps to ``nodes``; give the id of the first, or ``after`` when there is none."""
    expanded = list(_expand(steps))
    ids = [f"{prefix}{number}" for number, _ in expanded]
    for position, (number, step) in enumerate(expanded):
        following = ids[position + 1] if position + 1 < len(ids) else after
        ways = {
            way: _compile(inner, nodes, prefix=f"{prefix}{number}.{way}.", after=following)
            for way, inner in step.inner().items()
        }
        nodes[ids[position]] = Node(
            id=ids[position], kind=step.kind, args=step.arguments(), next=following, ways=ways
        )
    return ids[0] if ids else after


def _expand(steps: Sequence[Step]) -> Iterator[tuple[str, Step]]:
    """Number the steps; a question becomes the asking and the waiting for its answer."""
    for number, step in enumerate(steps):
        yield str(number), step
        if isinstance(step, Ask) and step.within is not None:
            yield f"{number}a", WaitForAnswer(step.name, step.within, step.otherwise)
