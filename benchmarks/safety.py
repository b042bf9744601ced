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

A shared machine runs at half its speed for minutes, so turns are compared in pairs that follow each
other at once; the median of the pairs counts. The other two kinds are measured less often.
"""

import json
import os
import statistics
import sys
from collections.abc import Iterable, Mapping
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
ROUNDS = 12
OTHERS_EVERY = 4  #: rounds between turns of the kinds that are shown beside
MOST_PERCENT = 25
#: The same send without leases and ledger.
BARE = Care.NO_LEDGER

Row = dict[str, Any]
Turns = dict[Care, list[Figures]]


def _order(round_: int) -> list[Care]:
    """Say who goes in a round. The pair turns round each time: a turn leaves work to the next."""
    pair = [Care.WHOLE, BARE] if round_ % 2 else [BARE, Care.WHOLE]
    others = [care for care in Care if care not in pair]
    return pair if round_ % OTHERS_EVERY else [*pair, *others]


def _cohort(care: Care, round_: int) -> str:
    return f"{care}-{round_}"


def turns(database: str | None = None, others: Mapping[int, str] | None = None) -> Turns:
    """Send by turns. ``others``: processes that count too, by their ids."""
    found: Turns = {care: [] for care in Care}
    cohorts = {_cohort(care, n): PEOPLE for n in range(ROUNDS) for care in _order(n)}
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
    """Say how much of the throughput that a care has is lost by the whole one."""
    return _median(1 - ours.rate / bare.rate for ours, bare in _pairs(found, care))


def more_cpu_percent(found: Turns, care: Care) -> float:
    """Say the same by CPU: what a machine that does nothing else would send less."""
    return _median(1 - bare.cpu_ms / ours.cpu_ms for ours, bare in _pairs(found, care))


def _pairs(found: Turns, care: Care) -> list[tuple[Figures, Figures]]:
    """Put the turns of the same rounds beside each other: whole, and with this care."""
    whole = found[Care.WHOLE]
    every = len(whole) // len(found[care])
    return list(zip(whole[::every], found[care], strict=True))


def _median(shares: Iterable[float]) -> float:
    return round(statistics.median(shares) * 100, 1)


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
    best = 1 - _rate(found[Care.WHOLE]) / _rate(found[BARE])
    told["throughput lost, by the best turns, %"] = round(best * 100, 1)
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
