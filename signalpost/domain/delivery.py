"""What passes between us and a provider, in our words only.

The send protocol (docs/decisions/0003-send-protocol.md): an intent is committed, then the provider is
called with a ``Letter`` and the ``Outgoing`` messages that carry it, then each ``Handover`` is settled.
What the provider says later comes back as a ``Receipt`` or an ``Inbound`` reply.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, Purpose, ReceiptKind

FENCED = "fenced"  #: the code of an attempt whose sender held the person no more
STOPPED = "stopped"  #: of one whose address was suppressed after the message was decided on
CIRCUIT_OPEN = "circuit_open"  #: of one that was not made since nothing goes to the account now


def _nobody(_attempts: Collection[str]) -> Collection[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What all messages of one call share: the wording, what it is for, and whether it may still leave.

    ``parts`` holds the static text with slots; each message has its own words for them, and
    ``domain.text.fill`` joins the two. Whoever sends has a sender for each ``purpose``.
    """

    channel: Channel
    message: str  #: the message folder's name
    purpose: Purpose
    parts: Mapping[str, tuple[Any, ...]]
    valid_for: timedelta | None = None  #: how long the provider may keep trying
    kept_back: Callable[[Collection[str]], Collection[str]] = _nobody
    """Asked by the adapter right before each request leaves, with the attempts in it (their delivery
    ids): gives those that may not leave any more. They end as ``withheld``."""


class Outgoing(Protocol):
    """One message for one customer, ready to be handed to a provider with its ``Letter``."""

    delivery_id: str  #: of the attempt that is about to be made
    message_id: str
    address: str
    unsubscribe_url: str | None  #: set on marketing email: RFC 8058 one-click

    @property
    def customer_id(self) -> str:
        """The customer it is for, as a root."""
        ...

    @property
    def slots(self) -> Mapping[str, str]:
        """This person's own words."""
        ...


# Not frozen, as all else here is: that would make each three times as dear.
@dataclass(slots=True, kw_only=True)
class Handover:
    """How an attempt to hand over ended. Nobody changes it: many that ended alike share one."""

    status: DeliveryStatus
    provider: str
    provider_id: str | None = None
    fault: FaultClass | None = None
    code: str | None = None  #: the provider's own code, kept raw
    detail: str | None = None  #: a sentence without personal data
    retry_after: timedelta | None = None
    suppress: str | None = None  #: a suppression reason the provider told us: "stop", "bad_address"
    whole_account: bool = False  #: every message on this account would end like this one
    account: str | None = None  #: which account of the provider it was, when there are several
    tried: bool = True  #: False: no request was made, so it costs the message none of its tries


_WITHHELD = {
    FENCED: "The sender's claim was over, so nothing was sent; whoever holds them now goes on.",
    STOPPED: "They said no after this was decided, so nothing was sent; the gate is asked again.",
}


def withheld(provider: str, *, code: str = FENCED) -> Handover:
    """Say of an attempt that it was not made before its request left. ``code``: fenced, or stopped."""
    return Handover(
        status=DeliveryStatus.RETRY,
        provider=provider,
        code=code,
        detail=_WITHHELD[code],
        tried=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a provider says about an earlier delivery. ``keys``: any one seen before means a repeat."""

    provider: str
    keys: tuple[str, ...]
    kind: ReceiptKind
    at: datetime
    message_id: str | None = None  #: from our custom args or the callback's query
    provider_id: str | None = None
    address: str | None = None
    code: str | None = None
    machine: bool = False  #: an opening or click that a scanner made, not a person
    suppress: str | None = None  #: as in ``Handover``: "stop", "bad_address", "complaint"
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A message that a customer sent to us."""

    provider: str
    provider_id: str
    channel: Channel
    sender: str  #: the customer's address, normalised
    recipient: str
    body: str
    at: datetime
    answered_by_provider: str | None = (
        None  #: STOP | START | HELP when the provider has replied itself
    )
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A delivery of which we want to know what became of it, and what it can be told by."""

    delivery_id: str
    message_id: str
    channel: Channel
    address: str
    parts: Mapping[str, tuple[Any, ...]]
    slots: Mapping[str, str]
    since: datetime  #: when the attempt began
    provider_id: str | None = None  #: the vendor's own id, when its answer came
    until: datetime | None = None  #: lost in a restore: any in this wording from ``since`` to then


@dataclass(frozen=True, kw_only=True)
class HookOutcome:
    """How a webhook out ended: ``done``, ``retry`` (surely not processed), ``failed``, ``unknown``."""

    status: str
    detail: str | None = None


class HookCaller(Protocol):
    """Calls another system of ours by a signed webhook."""

    async def call(self, *, hook: str, call_id: str, body: Mapping[str, Any]) -> HookOutcome:
        """Post ``body``; the id is the same on every attempt, so that the receiver can tell."""
        ...


class Provider(Protocol):
    """A vendor that carries messages. ``docs/adding-a-provider.md`` walks through one."""

    name: str
    channels: frozenset[Channel]
    max_batch: int  #: most messages of one letter in one call of ``hand_over``

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Hand over a letter to some people; one ``Handover`` for each, in the same order.

        Never raises for what the vendor answers: that is what ``Handover.status`` says.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Tracer(Protocol):
    """What a vendor may be able to do besides: say later what it took, and what it was sent for us.

    Without one, an outcome that nobody knows stays unknown until a receipt comes.
    """

    name: str  #: the provider's
    is_forgetful: (
        bool  #: it soon stops repeating a receipt that we missed, so silence is asked about
    )

    async def trace(self, sought: Sought, *, now: datetime) -> Sequence[Receipt] | None:
        """Give what may be this delivery, likeliest first, each with the vendor's id for it.

        None: the vendor could not be asked. A receipt that names the message is surely about it; of
        the others the caller leaves out those that belong to other deliveries.
        """
        ...

    async def received(self, *, since: datetime) -> Sequence[Inbound] | None:
        """Give what customers wrote to us since then; None: it could not be asked, or keeps no list."""
        ...
