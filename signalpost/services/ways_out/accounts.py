"""A provider made of one account or two, each behind its circuit.

The second account is used when the first one's circuit is open, or when the first one surely did not
take a message. What nobody knows the fate of stays where it is: another account would be a second text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from signalpost.domain import retrying
from signalpost.domain.circuit import Circuit, Row, trouble_of
from signalpost.domain.delivery import CIRCUIT_OPEN, Handover, Letter, Outgoing, Provider
from signalpost.domain.retrying import RetryClass, class_of
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, Purpose
from signalpost.services.ways_out.circuits import Circuits, held_for
from signalpost.services.ways_out.stopping import Stopping

#: Surely not processed there: another account may be asked.
_GOES_ON = (RetryClass.SAFE, RetryClass.OURS)
_ACCEPTED = DeliveryStatus.ACCEPTED  # asked of each: through its class it takes ten times as long
_AFTER_STOP = timedelta(seconds=1)  #: more than none, else the same worker would go on with them


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account of a vendor. ``at_risk``: most messages on their way before an answer is looked at."""

    name: str
    provider: Provider
    channels: frozenset[Channel]
    at_risk: int = 100


class WayOut:
    """A provider whose messages go by the first of its accounts that takes them."""

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        circuits: Circuits,
        clock: Callable[[], datetime],
        stopping: Stopping | None = None,
        quicker_first: bool = False,
    ) -> None:
        """Join accounts, the usual one first; with ``quicker_first`` a slow one comes later."""
        self.accounts = tuple(accounts)
        self.name = accounts[0].provider.name
        self.channels = accounts[0].channels
        self.max_batch = min(one.provider.max_batch for one in accounts)
        self._circuits = circuits
        self._clock = clock
        self._stopping = stopping or Stopping()
        self._quicker_first = quicker_first
        self._rows = {one.name: Row() for one in accounts}

    def __getattr__(self, name: str) -> Any:
        """What else the usual account's provider can do."""
        return getattr(self.accounts[0].provider, name)

    async def close(self) -> None:
        """Release connections."""
        for one in self.accounts:
            await one.provider.close()

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Hand over a letter to some people; one ``Handover`` for each, in the same order."""
        answers: dict[int, Handover] = {}
        left: Sequence[int] = range(len(batch))
        for account in await self._in_order(letter):
            given = await self._by(account, letter, [batch[place] for place in left])
            for place, answer in zip(left, given, strict=True):
                before = answers.get(place)
                answers[place] = _together(before, answer) if before else answer
            left = [place for place in left if _may_go_on(answers[place])]
            if not left:
                break
        return [answers[place] for place in range(len(batch))]

    async def _in_order(self, letter: Letter) -> list[Account]:
        """Give the accounts that carry such a letter: those that work first, then the usual one."""
        places: list[tuple[bool, bool, int, Account]] = []
        for place, one in enumerate(self.accounts):
            if letter.channel in one.channels:
                standing = await self._circuits.of(one.name)
                slow = self._quicker_first and standing.slow_since is not None
                places.append((_holds(standing.circuit, letter.purpose), slow, place, one))
        return [one for *_, one in sorted(places, key=lambda found: found[:3])]

    async def _by(
        self, account: Account, letter: Letter, left: Sequence[Outgoing]
    ) -> list[Handover]:
        """Hand over by one account, some at a time, for as long as its circuit lets them."""
        answers: list[Handover] = []
        while len(answers) < len(left):
            rest = left[len(answers) :]
            if self._stopping.holds(letter.purpose):
                return answers + [_left_undone(account)] * len(rest)
            circuit = (await self._circuits.of(account.name)).circuit
            if not _holds(circuit, letter.purpose) or letter.purpose is Purpose.SECURITY:
                some = rest[: account.at_risk]  # an alert is not held back: it asks by itself
            elif await self._circuits.may_ask(circuit):
                some = rest[:1]
            else:
                now = self._clock()
                return answers + [_held(account, one, circuit, now) for one in rest]
            answers += await self._ask(account, letter, some, circuit)
        return answers

    async def _ask(
        self, account: Account, letter: Letter, some: Sequence[Outgoing], circuit: Circuit
    ) -> list[Handover]:
        given = await self._stopping.answer(account.provider.hand_over(letter, some))
        if given is None:
            return [_left_behind(account)] * len(some)
        several = len(self.accounts) > 1
        answers = [replace(one, account=account.name) for one in given] if several else given
        await self._learn(account, answers, circuit)
        return answers

    async def _learn(self, account: Account, answers: Sequence[Handover], circuit: Circuit) -> None:
        """Open the circuit, hold it open, or close it, by what the account answered."""
        trouble = self._rows[account.name].look_at(answers)
        asked = circuit.is_open and not circuit.marketing_only
        if trouble is None and asked:
            asked_it = [one for one in answers if one.tried]
            failed = [one for one in asked_it if _says_nothing_good(one)]
            if not asked_it:
                return
            if len(failed) < len(asked_it):
                await self._circuits.close(account.name)
                return
            trouble = trouble_of(failed)
        if trouble is not None:
            await self._circuits.open(account.name, trouble)


def _holds(circuit: Circuit, purpose: Purpose) -> bool:
    """Whether a circuit keeps such messages back."""
    return circuit.is_open and (not circuit.marketing_only or purpose is Purpose.MARKETING)


def _says_nothing_good(answer: Handover) -> bool:
    kind = class_of(answer.status, answer.fault)
    return kind in (RetryClass.SAFE, RetryClass.UNKNOWN) or answer.whole_account


def _may_go_on(answer: Handover) -> bool:
    if answer.status is _ACCEPTED:
        return False
    fenced = not answer.tried and answer.code != CIRCUIT_OPEN  # its sender may not send it at all
    return class_of(answer.status, answer.fault) in _GOES_ON and not fenced


def _together(first: Handover, second: Handover) -> Handover:
    """Join what two accounts said: the second's word, unless the first may take it sooner."""
    if class_of(second.status, second.fault) not in _GOES_ON:
        return second
    best = second if second.fault is not FaultClass.OURS else first
    waits = [one.retry_after for one in (first, second) if one.retry_after is not None]
    return replace(best, retry_after=min(waits, default=None), tried=first.tried or second.tried)


def _held(account: Account, one: Outgoing, circuit: Circuit, now: datetime) -> Handover:
    since = f"{circuit.opened_at:%H:%M} UTC" if circuit.opened_at else "now"
    needs_operator = circuit.ours or circuit.marketing_only
    return Handover(
        status=DeliveryStatus.RETRY,
        provider=account.provider.name,
        account=account.name,
        fault=FaultClass.OURS if needs_operator else FaultClass.TRANSIENT,
        code=CIRCUIT_OPEN,
        detail=f"Nothing goes to {account.name} since {since}. {circuit.reason}",
        retry_after=retrying.wait(tries=1, seed=one.message_id, asked=held_for(circuit, now)),
        tried=False,
    )


def _left_undone(account: Account) -> Handover:
    return Handover(
        status=DeliveryStatus.RETRY,
        provider=account.provider.name,
        account=account.name,
        fault=FaultClass.TRANSIENT,
        code="worker_stops",
        detail="The worker was told to stop before this message's turn; nothing was sent.",
        retry_after=_AFTER_STOP,
        tried=False,
    )


def _left_behind(account: Account) -> Handover:
    return Handover(
        status=DeliveryStatus.UNKNOWN,
        provider=account.provider.name,
        account=account.name,
        detail="The worker had to stop before the provider answered.",
    )
