"""Simulating: what would have gone to whom and when, by the same code, with nothing that can leave."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from signalpost.record.copying import Copy, scratch
from signalpost.record.database import Database
from signalpost.services.desk import Desk
from signalpost.services.intake.signals import SignalPolicy
from signalpost.simulation import outcome as reading
from signalpost.simulation import period as recorded
from signalpost.simulation.outcome import Outcome
from signalpost.simulation.period import Cast, Period
from signalpost.simulation.playing import Player
from signalpost.simulation.quiet import quiet
from signalpost.simulation.together import Together
from signalpost.testing import VirtualClock

T = TypeVar("T")
#: Hears how many seconds a part of the work took: copied, played, read.
Told = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a simulation found: what would have gone, and launches that were refused."""

    outcome: Outcome
    refused: Sequence[str] = field(default_factory=list)


def played(
    desk: Desk,
    *,
    cast: Cast,
    since: datetime,
    until: datetime,
    policy: SignalPolicy | None = None,
    told: Told = lambda _what, _seconds: None,
) -> Played:
    """Play a period of the desk's record with this cast. The record itself is only read."""
    with desk.database.reading() as session:
        period = recorded.read(session, cast=cast, since=since, until=until)
    with (
        tempfile.TemporaryDirectory(prefix="signalpost-simulation-") as folder,
        scratch(Path(folder)) as database,
    ):
        return _Simulating(desk, database, period, policy or SignalPolicy(), told).run()


def went(desk: Desk, *, cast: Cast, since: datetime, until: datetime) -> Outcome:
    """Read what really went in the period, by what a simulation with this cast would play."""
    with desk.database.reading() as session:
        period = recorded.read(session, cast=cast, since=since, until=until)
        return reading.read(
            session,
            run_ids=period.run_ids,
            journeys=cast.programs is not None,
            since=since,
            until=until,
        )


@dataclass
class _Simulating:
    desk: Desk
    database: Database
    period: Period
    policy: SignalPolicy
    told: Told

    def run(self) -> Played:
        copy = self._timed("copied", self._copy)
        clock = VirtualClock(self.period.since)
        with self.desk.database.reading() as session:
            answers = recorded.handovers(session, since=self.period.since, until=self.period.until)
        desk = quiet(self.desk, database=self.database, clock=clock, recorded=answers)
        if self.period.cast.programs is not None:
            desk = replace(desk, programs=self.period.cast.programs)
        together = Together(desk, copy, frozenset(customer for customer, *_ in answers))
        player = Player(desk, clock, copy, self.period, self.policy, together)
        self._timed("played", lambda: asyncio.run(player.play()))
        return Played(outcome=self._timed("read", self._read), refused=player.notes)

    def _timed(self, what: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        done = work()
        self.told(what, time.perf_counter() - began)
        return done

    def _copy(self) -> Copy:
        desk, period = self.desk, self.period
        return Copy(
            desk.database.engine,
            self.database,
            since=period.since,
            until=period.until,
            histories=recorded.histories(period, policy=desk.policy, catalogue=desk.catalogue),
        )

    def _read(self) -> Outcome:
        period = self.period
        with self.database.reading() as session:
            return reading.read(
                session,
                run_ids=period.played_ids,
                journeys=period.cast.programs is not None,
                since=period.since,
                until=period.until,
            )
