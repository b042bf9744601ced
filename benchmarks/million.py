"""A campaign to 1,000,000 people on SQLite: freezing, memory and time a message stay what they were.

As shipped: the marketing worker sends in a Prefect flow run, in a process of its own; its memory is
read while it sends. Time and CPU a message are taken of every tenth of them. A straight line through
the ten says what they are at the 10,000th and at the last, so that anything that grows with the number
sent shows: of two tenths alone, the machine's own moods would show (they move a tenth by a sixth).

``BENCH_PEOPLE=200000`` makes it a quick one.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression
from typing import Any

from benchmarks._house import WARM_UP, House, house
from benchmarks._processes import Process, cpu_seconds
from signalpost.services.campaigns.runs import Run

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "1000000"))
COHORT = "everybody"
FREEZE, MEMORY, FLAT, SAME = 20.0, 300.0, 1.15, 1.25
EARLY = 10_000
MARKS = (EARLY, min(100_000, PEOPLE), PEOPLE)  #: sent, when memory is compared
TENTHS = 10
_EVERY = 0.5

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """How it stood at a moment. ``cpu``: seconds of all processes; memory of the worker in MB."""

    sent: int
    at: float
    cpu: float
    resident: float
    peak: float


def _memory(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if line.startswith("Vm"))
    return {name: int(value.split()[0]) / 1024 for name, value in fields.items()}


def _sample(made: House, worker: Process, before: int) -> Sample:
    memory = _memory(worker.pid)
    return Sample(
        sent=made.sink.count()["messages"] - before,
        at=time.perf_counter(),
        cpu=sum(cpu_seconds(made.processes).values()),
        resident=memory["VmRSS"],
        peak=memory["VmHWM"],
    )


def _watched(made: House, worker: Process, run: Run, before: int) -> list[Sample]:
    """Take samples until everybody is sent to."""
    samples = [_sample(made, worker, before)]
    while samples[-1].sent < PEOPLE:
        if worker.ended():
            raise RuntimeError(f"the worker ended: {worker.last_words()}")
        if made.run(run).status != "running" and samples[-1].sent < PEOPLE:
            samples.append(_sample(made, worker, before))
            break
        time.sleep(_EVERY)
        samples.append(_sample(made, worker, before))
    return samples


def _at(samples: Sequence[Sample], sent: int) -> Sample:
    """Give the first sample by which so many were sent."""
    return next(one for one in samples if one.sent >= sent)


def _between(samples: Sequence[Sample], start: int, end: int) -> tuple[float, float]:
    """Give the milliseconds of time and of CPU a message between two numbers sent."""
    first, last = _at(samples, start), _at(samples, end)
    many = max(last.sent - first.sent, 1)
    return (last.at - first.at) / many * 1000, (last.cpu - first.cpu) / many * 1000


def run() -> list[Row]:
    """Measure one run."""
    with ExitStack() as stack:
        made = stack.enter_context(house({COHORT: PEOPLE}))
        stack.enter_context(made.prefect())
        worker = stack.enter_context(made.worker("marketing"))
        made.send(WARM_UP)
        began = time.perf_counter()
        launched = made.launch(COHORT)
        planned = time.perf_counter() - began
        before = made.sink.count()["messages"]
        began = time.perf_counter()
        going = made.start(launched)
        froze = time.perf_counter() - began
        samples = _watched(made, worker, going, before)
        over = made.until_over(going)
        made.check(over, arrived=made.sink.count()["messages"] - before, people=PEOPLE)
        rate = PEOPLE / made.sending_seconds(over)
    return [_frozen(froze, planned), *_memories(samples), *_times(samples, rate)]


def _frozen(seconds: float, planned: float) -> Row:
    return _row(
        f"audience of {PEOPLE:,} frozen, SQLite", seconds, "s", FREEZE, {"planned, s": planned}
    )


def _memories(samples: Sequence[Sample]) -> list[Row]:
    at = {mark: _at(samples, mark).resident for mark in MARKS}
    beside = {f"at {mark:,} sent, MB": resident for mark, resident in at.items()}
    peak = samples[-1].peak
    grown = max(at.values()) / at[EARLY]
    return [
        _row(
            f"memory of the marketing worker at its peak, {PEOPLE:,} sent", peak, "MB", MEMORY, {}
        ),
        _row(
            f"its memory until {PEOPLE:,} against that at {EARLY:,}", grown, "times", FLAT, beside
        ),
    ]


def _times(samples: Sequence[Sample], rate: float) -> list[Row]:
    step = (PEOPLE - EARLY) / TENTHS
    marks = [round(EARLY + number * step) for number in range(TENTHS + 1)]
    middles = [(start + end) / 2 for start, end in pairwise(marks)]
    tenths = [_between(samples, start, end) for start, end in pairwise(marks)]
    rows = []
    for what, each in zip(("time", "CPU"), zip(*tenths, strict=True), strict=True):
        line = linear_regression(middles, each)
        early, late = (line.intercept + line.slope * sent for sent in (EARLY, PEOPLE))
        beside = {"early, ms": early, "late, ms": late, "messages/s, in all": rate}
        beside["each tenth, ms"] = ", ".join(f"{one:.3f}" for one in each)
        name = f"{what} a message at {PEOPLE:,} against that at {EARLY:,}"
        rows.append(_row(name, late / early, "times", SAME, beside))
    return rows


def _row(name: str, value: float, unit: str, bound: float, beside: Row) -> Row:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "bound": f"<= {bound:g}",
        "holds": value <= bound,
        "peers": {
            key: round(one, 4) if isinstance(one, float) else one for key, one in beside.items()
        },
    }


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(json.dumps(result) + "\n")
