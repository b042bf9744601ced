"""Simulating: what would have gone to whom and when, by the same code, with nothing that can leave."""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from sqlalchemy import func, select

from signalpost import bootstrap
from signalpost.errors import TransientError
from signalpost.record.base import table_of
from signalpost.record.copying import Copy, scratch
from signalpost.record.customers import Customer
from signalpost.record.database import Database
from signalpost.services.desk import Desk
from signalpost.services.intake.signals import SignalPolicy
from signalpost.simulation import outcome as reading
from signalpost.simulation import period as recorded
from signalpost.simulation.outcome import Outcome, Refusal
from signalpost.simulation.period import Cast, Part, Period
from signalpost.simulation.playing import Player
from signalpost.simulation.quiet import quiet
from signalpost.simulation.together import Together
from signalpost.testing import VirtualClock

T = TypeVar("T")
MANY = 10_000  #: people from whom on parts are worth a process each
_MOST_PARTS = 8
#: Hears how many seconds a part of the work took: copied, played, read.
Told = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a simulation found: what would have gone, and launches that were refused."""

    outcome: Outcome
    refused: Sequence[Refusal] = field(default_factory=list)
    launches: int = 0  #: how many the period has: recorded ones, and those of the schedule


def played(
    desk: Desk,
    *,
    cast: Cast,
    since: datetime,
    until: datetime,
    policy: SignalPolicy | None = None,
    told: Told = lambda _what, _seconds: None,
    processes: int | None = None,
) -> Played:
    """Play a period of the desk's record with this cast. The record itself is only read.

    People are played in parts, each by a process of its own, where nobody's part depends on another's:
    in so many ``processes``; when left out, as many as there are cores if the people are many. Where a
    part refuses a launch, everybody is played again in one piece.
    """
    with desk.database.reading() as session:
        period = recorded.read(session, cast=cast, since=since, until=until)
        people = session.execute(select(func.count()).select_from(table_of(Customer))).scalar_one()
    found = _played(desk, period, people, policy, told, processes)
    return replace(found, launches=len(period.played_ids))


def _played(
    desk: Desk,
    period: Period,
    people: int,
    policy: SignalPolicy | None,
    told: Told,
    processes: int | None,
) -> Played:
    rules = policy or SignalPolicy(fingerprints=None)
    if processes is None:
        processes = (os.cpu_count() or 1) if people >= MANY else 1
    if processes > 1 and period.can_be_parted and hasattr(os, "fork"):
        found = _in_parts(desk, period, rules, told, min(processes, _MOST_PARTS))
        if not found.refused:
            return found
        # A part may just have nobody in an audience, and says how many people it is of. Whether the
        # launch is refused, and in which words, is known from everybody together.
    with _alone(desk, period, rules, told, None) as found:
        return found


@contextmanager
def _alone(
    desk: Desk, period: Period, policy: SignalPolicy, told: Told, part: Part | None
) -> Iterator[Played]:
    """Play on a copy of the record, and give what was found before the copy is cleared away."""
    with (
        tempfile.TemporaryDirectory(prefix="signalpost-simulation-") as folder,
        scratch(Path(folder)) as database,
    ):
        yield _Simulating(desk, database, period, policy, told, part).run()


def _in_parts(desk: Desk, period: Period, policy: SignalPolicy, told: Told, number: int) -> Played:
    """Play each part in a process of its own: messages are compiled already, so they start at once."""
    bootstrap.spare_the_collector()  # here, so that the parts need not, and what they tell is taken in
    forking = multiprocessing.get_context("fork")
    calls = []
    for index in range(number):
        mine, theirs = forking.Pipe(duplex=False)
        work = forking.Process(
            target=_part, args=(theirs, desk, period, policy, Part(index, number)), daemon=True
        )
        work.start()
        theirs.close()
        calls.append((work, mine))
    parts: list[tuple[Played, dict[str, float]]] = []
    for _, mine in calls:
        try:
            by_column, refused, took = mine.recv()
            parts.append((Played(outcome=Outcome.of_columns(by_column), refused=refused), took))
        except EOFError:
            raise TransientError("A part of the simulation ended early; simulate again.") from None
    for what in parts[0][1]:
        told(what, max(took[what] for _, took in parts))
    found = _joined([found for found, _ in parts])
    for work, _ in calls:  # they clear their copies away meanwhile
        work.join()
    return found


def _part(answer: Connection, desk: Desk, period: Period, policy: SignalPolicy, part: Part) -> None:
    desk.database.engine.dispose(close=False)  # its connections are the parent's
    took: dict[str, float] = {}
    with _alone(desk, period, policy, took.__setitem__, part) as found:
        answer.send((found.outcome.columns(), found.refused, took))
    answer.close()


def _joined(parts: Sequence[Played]) -> Played:
    """Put parts together; ``refused``: what any of them refused, each in the words of that part."""
    whole, refused = Outcome(), []
    for one in parts:
        whole.sendings += one.outcome.sendings
        whole.decided += one.outcome.decided
        refused += one.refused
    whole.sendings.sort(key=lambda one: (one.at, one[:4]))
    return Played(outcome=whole, refused=refused)


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
    part: Part | None

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
        return Played(outcome=self._timed("read", self._read), refused=player.refused)

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
            histories=recorded.histories(
                period, policy=desk.policy, catalogue=desk.catalogue, part=self.part
            ),
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
