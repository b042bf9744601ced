"""What is known of each account, shared by all processes through the record.

A process reads it again at most once a second. When the record is away it goes by what it knew: nothing
can be sent then anyway, since no intent can be written.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from signalpost.domain.circuit import FIRST_PROBE, LONGEST_PROBE, Circuit, Trouble, opened
from signalpost.record import provider_accounts
from signalpost.record.database import Database
from signalpost.record.provider_accounts import Standing

log = structlog.get_logger(__name__)

_FRESH = 1.0  #: seconds that a process goes by what it read


class Circuits:
    """The circuits of all accounts, as this process knows them."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, Standing] = {}
        self._read_at = float("-inf")

    async def of(self, account: str) -> Standing:
        """Give where an account stands."""
        if time.monotonic() - self._read_at > _FRESH:
            self._read_at = time.monotonic()
            await asyncio.to_thread(self._read)
        return self._known.get(account) or Standing(circuit=Circuit(account=account))

    def _read(self) -> None:
        try:
            with self._database.reading() as session:
                self._known = provider_accounts.standings(session)
        except SQLAlchemyError as error:
            log.warning("circuits.not_read", error=type(error).__name__)

    async def may_ask(self, circuit: Circuit) -> bool:
        """Whether one message may go out now, to find out whether the account works again."""
        now = self._clock()
        if circuit.probe_at is None or circuit.probe_at > now:
            return False
        until = now + LONGEST_PROBE
        asks = await asyncio.to_thread(self._take_probe, circuit, until)
        self._put(replace(circuit, probe_at=until if asks else now + FIRST_PROBE))
        return asks

    def _take_probe(self, circuit: Circuit, until: datetime) -> bool:
        with self._database.writing() as session:
            return provider_accounts.take_probe(session, circuit=circuit, until=until)

    async def open(self, account: str, trouble: Trouble) -> None:
        """Open an account's circuit, or hold it open."""
        before = (await self.of(account)).circuit
        circuit = opened(before, trouble, now=self._clock())
        await asyncio.to_thread(self._keep, circuit)
        if not before.is_open:
            log.error("circuit.opened", account=account, code=trouble.code, why=trouble.reason)

    async def close(self, account: str) -> None:
        """Close an account's circuit: it works."""
        if (await self.of(account)).circuit.is_open:
            await asyncio.to_thread(self._keep, Circuit(account=account))
            log.info("circuit.closed", account=account)

    def _keep(self, circuit: Circuit) -> None:
        self._put(circuit)  # first, so that it holds in this process whatever the record does
        try:
            with self._database.writing() as session:
                provider_accounts.keep(session, circuit=circuit, now=self._clock())
        except SQLAlchemyError as error:
            log.warning("circuits.not_kept", error=type(error).__name__)

    def _put(self, circuit: Circuit) -> None:
        before = self._known.get(circuit.account) or Standing(circuit=circuit)
        self._known[circuit.account] = replace(before, circuit=circuit)


def held_for(circuit: Circuit, now: datetime) -> timedelta:
    """How long a message is held that an open circuit kept back: the longer it is open, the longer."""
    until_probe = (circuit.probe_at or now) - now
    a_while = (now - (circuit.opened_at or now)) / 4
    return max(until_probe, min(a_while, LONGEST_PROBE), timedelta(seconds=2))
