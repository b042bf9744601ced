"""A virtual clock and a stage for journeys, in plain pytest: no Prefect, no network, no waiting.

    with Stage(journeys=JOURNEYS, templates=Path("templates"), folder=tmp_path) as stage:
        stage.signal("order.ready_for_pickup", user_id="ann", phone="+12065550100", order_id="5004")
        stage.run_for(days=3)
        assert "ready" in stage.sent[0].text

The stage runs the real services on a real database; only the providers are stand-ins, which keep what
they are handed (``Sent``), and the clock stands still until it is told to go on.
"""

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from signalpost import bootstrap, settings
from signalpost.content import Catalogue
from signalpost.domain.campaign import Campaign
from signalpost.domain.delivery import Handover, HookOutcome, Inbound, Letter, Outgoing
from signalpost.domain.journey import Journey
from signalpost.domain.text import fill
from signalpost.domain.vocabulary import Channel, DeliveryStatus, Lane
from signalpost.record.base import new_id
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import whole_metadata
from signalpost.services.desk import Desk
from signalpost.services.inbound import replies
from signalpost.services.intake import signals
from signalpost.services.journeys.advance import Direct, Report, advance
from signalpost.services.journeys.claims import claim_due, next_due
from signalpost.services.journeys.enrolling import Journeys

EPOCH = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  #: a Monday morning


class VirtualClock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime = EPOCH) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Give the time."""
        return self.now


@dataclass(frozen=True)
class Sent:
    """One message that a provider took."""

    channel: str
    to: str
    message: str
    parts: Mapping[str, str]
    at: datetime
    message_id: str

    @property
    def text(self) -> str:
        """The body, as the customer reads it."""
        return self.parts.get("text") or self.parts.get("body", "")


@dataclass(slots=True, kw_only=True)
class Post:
    """A message to hand to a provider with its letter, for tests of the provider."""

    delivery_id: str
    message_id: str
    customer_id: str
    address: str
    slots: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unsubscribe_url: str | None = None


class Handed(NamedTuple):
    """A message that a stand-in was handed, for whoever decides how it answers."""

    channel: Channel
    message: str
    address: str
    message_id: str
    delivery_id: str


#: Decides how a stand-in provider answers; None means that it accepts.
Manner = Callable[[Handed], Handover | None]


class Outbox:
    """A provider that keeps what it is handed; ``manner`` makes it refuse, or fall silent."""

    max_batch = 1000

    def __init__(self, channels: Sequence[Channel], clock: Callable[[], datetime]) -> None:
        self.name = "outbox"
        self.channels = frozenset(channels)
        self.sent: list[Sent] = []
        self.manner: Manner = lambda _handed: None
        self._clock = clock

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Take a batch."""
        handed = [
            Handed(letter.channel, letter.message, one.address, one.message_id, one.delivery_id)
            for one in batch
        ]
        return [
            self.manner(what) or self._take(letter, one)
            for what, one in zip(handed, batch, strict=True)
        ]

    async def close(self) -> None:
        """Nothing to let go of."""

    def _take(self, letter: Letter, one: Outgoing) -> Handover:
        parts = fill(letter.parts, one.slots)
        at = self._clock()
        self.sent.append(
            Sent(letter.channel.value, one.address, letter.message, parts, at, one.message_id)
        )
        return Handover(
            status=DeliveryStatus.ACCEPTED,
            provider=self.name,
            provider_id=f"out-{one.delivery_id}",
        )


class HookLog:
    """The other systems: keeps each call; ``outcomes`` are given in turn, then ``done``."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []
        self.outcomes: list[HookOutcome] = []

    async def call(self, *, hook: str, call_id: str, body: Mapping[str, Any]) -> HookOutcome:
        """Take a call."""
        self.calls.append((hook, call_id, body))
        return self.outcomes.pop(0) if self.outcomes else HookOutcome(status="done")


@lru_cache(maxsize=8)
def _catalogue(folder: Path) -> Catalogue:
    """Load the message folders once; compiling them is most of what opening a stage costs."""
    return Catalogue.load(folder)


class Stage:
    """The product on a virtual clock."""

    def __init__(
        self,
        *,
        folder: Path,
        journeys: Sequence[Journey] = (),
        campaigns: Mapping[str, Campaign] | None = None,
        templates: Path = Path("templates"),
        start: datetime = EPOCH,
        database_url: str | None = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock(start)
        self.outbox = Outbox(tuple(Channel), self.clock)
        self.hooks = HookLog()
        self.reports: list[Report] = []
        self._folder, self._templates, self._options = folder, templates, options
        self._url = database_url or f"sqlite:///{folder / 'stage.db'}"
        self._journeys = tuple(journeys)
        self._campaigns = campaigns or {}
        self._numbers = 0
        self._loop = asyncio.new_event_loop()
        self._open()
        whole_metadata().create_all(self.database.engine)

    def _open(self) -> None:
        given = settings.load(home=self._folder, templates=self._templates, database_url=self._url)
        built = bootstrap.build(
            given,
            clock=self.clock,
            journeys=self._journeys,
            catalogue=_catalogue(self._templates),
            campaigns=self._campaigns,
        )
        built.database.close()  # the stage's own need not wait for the disk
        self.database = Database(open_engine(self._url, durable=False))
        desk = dataclasses.replace(
            built.desk,
            database=self.database,
            providers=dict.fromkeys(Channel, self.outbox),
            hooks=self.hooks,
        )
        self.desk: Desk = dataclasses.replace(desk, **self._options)
        self.react = Journeys(self.desk.programs).react
        self.policy = signals.SignalPolicy(fingerprints=self.desk.forgetting.fingerprints)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
        self._loop.close()

    def restart(self, journeys: Sequence[Journey] | None = None) -> None:
        """Forget everything that is not on the record, as a new process would; journeys may change."""
        self._journeys = tuple(journeys) if journeys is not None else self._journeys
        self.database.close()
        self._open()

    # -- what comes in -------------------------------------------------------------------------

    def signal(
        self,
        name: str,
        *,
        at: datetime | None = None,
        message_id: str | None = None,
        traits: Mapping[str, Any] | None = None,
        **known: Any,
    ) -> signals.Accepted:
        """Let an event come in. Identities (``user_id``, ``phone`` …) are told from facts by name."""
        self._numbers += 1
        given = {key: str(known.pop(key)) for key in _IDENTITIES if key in known}
        if "order_id" in known:
            given["order_id"] = str(known["order_id"])
        body = repr((name, given, traits, sorted(known.items(), key=str)))
        signal = signals.Signal(
            message_id=message_id or f"stage:{self._numbers}",
            source="stage",
            name=name,
            occurred_at=at or self.clock(),
            body_hash=hashlib.sha256(body.encode()).hexdigest(),
            identities=given,
            traits=dict(traits or {}),
            properties=known,
            payload={"properties": known},
        )
        with self.database.writing() as session:
            [accepted] = signals.accept(
                session, signals=[signal], now=self.clock(), react=self.react, policy=self.policy
            )
        return accepted

    def reply(self, sender: str, body: str, *, channel: Channel = Channel.SMS) -> str | None:
        """Let a customer write to us; gives what we wrote back at once, if anything."""
        inbound = Inbound(
            provider="outbox",
            provider_id=new_id(),
            channel=channel,
            sender=sender,
            recipient="+15005550006",
            body=body,
            at=self.clock(),
        )
        with self.database.writing() as session:
            took = replies.take(session, inbound=inbound, desk=self.desk, now=self.clock())
        return took.answer

    # -- time ----------------------------------------------------------------------------------

    def run_due(self) -> None:
        """Do all that is due now, and what that makes due."""
        self._loop.run_until_complete(self._run_due())

    async def _run_due(self) -> None:
        busy = True
        while busy:
            busy = False
            for lane in Lane:
                for claim in claim_due(self.desk, lane=lane, now=self.clock()):
                    busy = True
                    report = await advance(
                        self.desk, claim_id=claim.id, units=Direct(self.desk), run_id=None
                    )
                    self.reports.append(report)

    def run_until(self, moment: datetime) -> None:
        """Let time pass until ``moment``, stopping wherever something is due."""
        self.run_due()
        while (due := self._next_due()) is not None and due <= moment:
            if due < self.clock.now:
                raise RuntimeError(
                    "somebody is due and cannot be claimed; the clock would stand still"
                )
            self.clock.now = due
            self.run_due()
        self.clock.now = moment

    def run_for(self, length: timedelta | None = None, **units: float) -> None:
        """Let a while pass: ``run_for(days=3)``."""
        self.run_until(self.clock.now + (length or timedelta(**units)))

    def _next_due(self) -> datetime | None:
        found = [due for lane in Lane if (due := next_due(self.desk, lane=lane))]
        return min(found, default=None)

    # -- what came out -------------------------------------------------------------------------

    @property
    def sent(self) -> list[Sent]:
        """Every message a provider took, in order."""
        return self.outbox.sent

    def messages(self) -> list[tuple[str, str]]:
        """Give ``(message, channel)`` of everything sent, in order."""
        return [(one.message, one.channel) for one in self.sent]


_IDENTITIES = (
    "user_id", "anonymous_id", "email", "phone", "device_id", "charge_id", "payment_id",
)  # fmt: skip
