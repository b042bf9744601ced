"""A campaign by email to 100,000 people, as shipped: CPU a message, and messages a second.

Launched as the command line does it. The marketing worker takes it up, freezes the audience and sends
in a Prefect flow run, a task a shard, through the SendGrid adapter over HTTP. Gate, decisions and
ledger are on, each person's words are rendered, their links signed; the record is SQLite that waits for
the disk, then PostgreSQL as it comes. The floor and the peers are measured in the same run (``peers/``).

The CPU is that of every process, from the end of the launch, which made the plan, to the end on record;
the rate counts from the first decision to that end, and the audience's freezing is beside it.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import peers
from benchmarks._house import WARM_UP, House, house
from benchmarks._postgres import postgres
from benchmarks.peers import BARE_LOOP, Figures, rows
from benchmarks.peers.figures import measured
from signalpost.services.campaigns.runs import Run

USUAL = 100_000
PEOPLE = int(os.environ.get("BENCH_PEOPLE", USUAL))  #: fewer for a trial
COHORTS: dict[str, int] = dict.fromkeys(("first", "second", "third"), PEOPLE)
SQLITE_CPU, POSTGRES_CPU, RATE = 0.10, 0.20, 8_000

Row = dict[str, Any]


@dataclass(frozen=True)
class Turns:
    """The same campaign to some cohorts, one after another. ``seconds``: the whole of each run."""

    figures: list[Figures]
    seconds: list[float]

    @property
    def frugal(self) -> Figures:
        """The one that took the least CPU."""
        return min(self.figures, key=lambda one: one.cpu_ms)

    @property
    def rate(self) -> float:
        """Messages a second in the quickest."""
        return max(one.rate for one in self.figures)

    def details(self) -> Row:
        """Say what the figures are made of."""
        best = self.frugal
        of_each = {
            f"{name}: CPU a message, ms": round(used / best.messages * 1000, 4)
            for name, used in best.cpu.items()
        }
        return of_each | {
            "CPU a message, ms, each turn": _listed(one.cpu_ms for one in self.figures),
            "messages/s, each turn": _listed((one.rate for one in self.figures), 0),
            "messages/s, the freezing of the audience included": round(PEOPLE / min(self.seconds)),
        }


def _listed(values: Any, digits: int = 3) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _turns(made: House, send: Callable[[Run], Run]) -> Turns:
    """``send`` is given a run that was launched, which includes its plan, and gives it ended."""
    figures, seconds = [], []
    for cohort, people in COHORTS.items():
        ended: list[Run] = []
        before = made.sink.count()["messages"]
        launched = made.launch(cohort)
        found = measured(
            lambda launched=launched, ended=ended: ended.append(send(launched)),
            messages=people,
            processes=made.processes,
        )
        [run] = ended
        made.check(run, arrived=made.sink.count()["messages"] - before, people=people)
        figures.append(dataclasses.replace(found, seconds=made.sending_seconds(run)))
        seconds.append(made.running_seconds(run))
    return Turns(figures, seconds)


def through_prefect(database: str | None = None, others: Mapping[int, str] | None = None) -> Turns:
    """Send by the marketing worker, as shipped. ``others``: processes that count too, by their ids."""
    with ExitStack() as stack:
        made = stack.enter_context(house(COHORTS, database_url=database))
        made.processes |= others or {}
        stack.enter_context(made.prefect())
        stack.enter_context(made.worker("marketing"))
        made.send(WARM_UP)
        return _turns(made, made.until_over)


def without_prefect() -> Turns:
    """Send by the sender alone."""
    command = [sys.executable, "-m", "benchmarks._plain_sender"]
    with house(COHORTS) as made, made.running("sender", command) as sender:
        sender.hear("ready")

        def send(launched: Run) -> Run:
            run = made.start(launched)
            sender.tell("send")
            sender.hear("done")
            return made.until_over(run)

        send(made.launch(WARM_UP))
        return _turns(made, send)


def run() -> list[Row]:
    """Measure ours and the peers, one after another."""
    alone = {peer.name: 0 for peer in peers.PEERS} if PEOPLE < USUAL else {}
    found = peers.run_all({**alone, BARE_LOOP: PEOPLE})
    sqlite = through_prefect()
    plain = without_prefect()
    with postgres() as server:
        on_postgres = through_prefect(server.url, {server.pid: "PostgreSQL"})
    shipped = f"campaign email of {PEOPLE:,}, through Prefect"
    beside = rows(found)
    information = {
        "without Prefect: CPU a message, ms": round(plain.frugal.cpu_ms, 4),
        "without Prefect: messages/s": round(plain.rate),
    }
    return [
        _row(
            f"{shipped}, SQLite: CPU a message",
            round(sqlite.frugal.cpu_ms, 4),
            "ms",
            f"<= {SQLITE_CPU}",
            sqlite.frugal.cpu_ms <= SQLITE_CPU,
            sqlite.details() | information | beside,
        ),
        _row(
            f"{shipped}, SQLite",
            round(sqlite.rate),
            "messages/s",
            f">= {RATE:,}",
            sqlite.rate >= RATE,
            {name: value for name, value in beside.items() if not name.endswith("ms")},
        ),
        _row(
            f"{shipped}, PostgreSQL: CPU a message",
            round(on_postgres.frugal.cpu_ms, 4),
            "ms",
            f"<= {POSTGRES_CPU}",
            on_postgres.frugal.cpu_ms <= POSTGRES_CPU,
            {"messages/s": round(on_postgres.rate)} | on_postgres.details(),
        ),
        *_against_the_floor(sqlite.frugal, found[BARE_LOOP]),
    ]


def _against_the_floor(ours: Figures, floor: Figures) -> list[Row]:
    if floor.not_run:
        return []
    return [
        _row(
            "campaign email on SQLite against the bare loop without a record: CPU a message",
            round(ours.cpu_ms / floor.cpu_ms, 2),
            "times",
            "for information",
            True,
            {"ours, ms": round(ours.cpu_ms, 4), f"{BARE_LOOP}, ms": round(floor.cpu_ms, 4)},
        )
    ]


def _row(name: str, value: float, unit: str, bound: str, holds: bool, beside: Row) -> Row:
    return {
        "name": name, "value": value, "unit": unit, "bound": bound, "holds": holds, "peers": beside,
    }  # fmt: skip


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(json.dumps(result) + "\n")
