"""The ways out of a simulation: none. They take everything, keep nothing, and know no network."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from signalpost.domain.delivery import Handover, HookOutcome, Letter, Outgoing
from signalpost.domain.vocabulary import Channel, DeliveryStatus
from signalpost.record.database import Database
from signalpost.services import tokens
from signalpost.services.desk import Desk
from signalpost.services.links import Links
from signalpost.testing import VirtualClock

#: Customer, message and channel → the answers to its attempts.
Recorded = Mapping[tuple[str, str, str], Sequence[Handover]]
_LEASE = timedelta(days=36_500)  #: on a clock that jumps, no lease may run out


class Nobody:
    """A provider that hands nothing on. It answers as the real one did, and accepts what that never saw.

    ``recorded``: by customer, message and channel, how the attempts in the period ended, in order.
    """

    name = "simulation"
    channels = frozenset(Channel)
    max_batch = 1_000

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = {key: deque(answers) for key, answers in recorded.items()}

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Answer as recorded, else accept."""
        accepted = Handover(status=DeliveryStatus.ACCEPTED, provider=self.name)
        if not self._recorded:
            return [accepted] * len(batch)
        message, channel = letter.message, letter.channel.value
        known = [self._recorded.get((one.customer_id, message, channel)) for one in batch]
        return [answers.popleft() if answers else accepted for answers in known]

    async def close(self) -> None:
        """Nothing to let go of."""


class NoHooks:
    """Other systems: none is called, and each call counts as done."""

    async def call(self, *, hook: str, call_id: str, body: Mapping[str, Any]) -> HookOutcome:
        """Say that it is done."""
        del hook, call_id, body
        return HookOutcome(status="done")


class Unsigned(Links):
    """Links that open nothing: a simulation's are never followed, and need no signature.

    They are as long as real ones, for in a text message every letter counts.
    """

    def head(self, customer_id: str, message_id: str, now: datetime) -> bytes:
        """Give as many letters as what only one message's tokens say."""
        del customer_id, message_id, now
        return _ANYBODY

    def sign(self, purpose: str, said: bytes) -> str:
        """Give as many letters as the real token has."""
        del purpose
        return "x" * (len(said) + tokens.SIGNED)


_ANYBODY = tokens.head("", "", datetime(2000, 1, 1, tzinfo=UTC))


def quiet(desk: Desk, *, database: Database, clock: VirtualClock, recorded: Recorded) -> Desk:
    """Give a desk with the same words and rules, on another record, from which nothing can go out."""
    return replace(
        desk,
        database=database,
        providers=dict.fromkeys(Channel, Nobody(recorded)),
        hooks=NoHooks(),
        links=Unsigned(base_url=desk.links.base_url, secrets=desk.links.secrets),
        clock=clock,
        lease=_LEASE,
    )
