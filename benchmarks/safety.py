"""What the safety of the send protocol costs: the same campaign with it, and with it taken out.

One sender sends campaigns of 20,000 by email to the null SendGrid, by turns with less and less care
(``_careless_sender.Care``). Gate, decisions, wording, signed links and adapter are the product's in all
of them; SQLite waits for the disk. What is given up:

- *no leases*: claims, their renewal, taking over from the dead, the fence before each request. Two
  senders would send the same shard twice; one that was stopped would send after it was replaced.
- *no ledger* besides: the attempts (``deliveries``) and the transaction that settles them. A message is
  written as sent with its decision. Whether it left, what the provider said and which of its ids it has
  nobody can say; a refused one is lost, and after a crash nobody knows which to ask about.
- *no messages* besides: only the run's counts are kept. No caps that hold, no timeline, no receipts, and
  whoever starts again sends to everybody again.

The bound is on *no ledger*: "the same send without leases and ledger". It still decides the same for the
same people and has a row a message, since gate and timeline read those: without them it is another
product, shown beside.
"""

import itertools
import json
import os
import statistics
import sys
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from benchmarks._careless_sender import Care
from benchmarks._house import WARM_UP, House, house
from benchmarks._postgres import postgres
from benchmarks._processes import Process
from benchmarks.peers.figures import Figures, measured
from signalpost.record.base import metadata
from signalpost.services.campaigns import runs
from signalpost.services.campaigns.runs import Run

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 20_000))  #: fewer for a trial
ROUNDS = len(Care)
#: The turns of the first round; those of the next go one kind on. So each kind follows each other one
#: once: a turn leaves work to the next, as PostgreSQL's vacuum and SQLite's checkpoint (Williams 1949).
_FIRST = (0, 1, 3, 2)
MOST_PERCENT = 25
#: The same send without leases and ledger.
BARE = Care.NO_LEDGER

Row = dict[str, Any]
Turns = dict[Care, list[Figures]]


def _order(round_: int) -> list[Care]:
    kinds = list(Care)
    return [kinds[(place + round_) % len(kinds)] for place in _FIRST]


def _cohort(care: Care, round_: int) -> str:
    return f"{care}-{round_}"


def turns(database: str | None = None, others: Mapping[int, str] | None = None) -> Turns:
    """Send by turns. ``others``: processes that count too, by their ids."""
    found: Turns = {care: [] for care in Care}
    cohorts = {_cohort(*which): PEOPLE for which in itertools.product(Care, range(ROUNDS))}
    command = [sys.executable, "-m", "benchmarks._careless_sender"]
    with (
        house(cohorts, database_url=database) as made,
        made.running("sender", command) as sender,
    ):
        made.processes |= others or {}
        sender.hear("ready")
        _turn(made, sender, WARM_UP, Care.WHOLE)
        for round_ in range(ROUNDS):
            for care in _order(round_):
                found[care].append(_turn(made, sender, _cohort(care, round_), care))
    return found


def _turn(made: House, sender: Process, cohort: str, care: Care) -> Figures:
    run = made.start(made.launch(cohort))
    before = made.sink.count()["messages"]

    def send() -> None:
        sender.tell(care)
        sender.hear("done")

    took = measured(send, messages=run.people or 0, processes=made.processes)
    _check(made, run, care, arrived=made.sink.count()["messages"] - before)
    return took


def _check(made: House, run: Run, care: Care, *, arrived: int) -> None:
    """See that everybody got one message, and that what was to be taken out was not there."""
    messages, deliveries = metadata.tables["messages"], metadata.tables["deliveries"]
    ours = messages.c.campaign_run_id == run.id
    attempts = deliveries.join(messages, messages.c.id == deliveries.c.message_id)
    ended = made.until_over(run)
    with made.app.database.reading() as session:
        written = session.execute(select(func.count()).where(ours)).scalar_one()
        query = select(func.count()).select_from(attempts).where(ours)
        attempted = session.execute(query).scalar_one()
        counted = runs.progress(session, campaign_run_id=run.id, now=run.scheduled_at).counts
    people = ended.people or 0
    kept = (
        0 if care is Care.NO_MESSAGES else people,
        people if care in (Care.WHOLE, Care.NO_LEASES) else 0,
    )
    sent = sum(number for (outcome, *_), number in counted.items() if outcome == "sent")
    if not arrived == people == sent or (written, attempted) != kept:
        raise RuntimeError(
            f"{care}: {people} people, {arrived} arrived, {sent} counted as sent, "
            f"{written} messages and {attempted} attempts on record instead of {kept}"
        )


def _rate(figures: list[Figures]) -> float:
    return max(one.rate for one in figures)


def _cpu_ms(figures: list[Figures]) -> float:
    return min(one.cpu_ms for one in figures)


def lost_percent(found: Turns, care: Care) -> float:
    """Say how much of the throughput that a care has is lost by the whole one; best turns."""
    return round((1 - _rate(found[Care.WHOLE]) / _rate(found[care])) * 100, 1)


def more_cpu_percent(found: Turns, care: Care) -> float:
    """Say the same by CPU: what a machine that does nothing else would send less."""
    return round((1 - _cpu_ms(found[care]) / _cpu_ms(found[Care.WHOLE])) * 100, 1)


def _median_percent(found: Turns, care: Care) -> float:
    pairs = zip(found[Care.WHOLE], found[care], strict=True)
    return round(statistics.median((1 - ours.rate / bare.rate) * 100 for ours, bare in pairs), 1)


def _beside(found: Turns) -> Row:
    told: Row = {}
    for care, figures in found.items():
        told[f"{care}: CPU a message, ms"] = round(_cpu_ms(figures), 4)
        told[f"{care}: messages/s"] = round(_rate(figures))
        told[f"{care}: messages/s, each turn"] = ", ".join(f"{one.rate:.0f}" for one in figures)
        told[f"{care}: CPU a message, ms, each turn"] = ", ".join(
            f"{one.cpu_ms:.3f}" for one in figures
        )
        if care not in (Care.WHOLE, BARE):
            told[f"against {care}: throughput lost, %"] = lost_percent(found, care)
            told[f"against {care}: of the CPU, %"] = more_cpu_percent(found, care)
    told["throughput lost, the median of the rounds, %"] = _median_percent(found, BARE)
    return told


def _rows(where: str, found: Turns) -> list[Row]:
    what = f"cost of the safety, campaign email of {PEOPLE:,}, {where}"
    lost, cpu = lost_percent(found, BARE), more_cpu_percent(found, BARE)
    return [
        {
            "name": name, "value": value, "unit": "%", "bound": f"<= {MOST_PERCENT}",
            "holds": value <= MOST_PERCENT, "peers": beside,
        }
        for name, value, beside in (
            (f"{what}: throughput lost", lost, _beside(found)),
            (f"{what}: of the CPU", cpu, {}),
        )
    ]  # fmt: skip


def run() -> list[Row]:
    """Measure on SQLite, then on PostgreSQL."""
    rows = _rows("SQLite", turns())
    with postgres() as server:
        rows += _rows("PostgreSQL", turns(server.url, {server.pid: "PostgreSQL"}))
    return rows


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(json.dumps(result) + "\n")
