"""A big record: 10,000,000 events, messages and deliveries each, and 1,000,000 people who wait.

On a real PostgreSQL as it comes from its wheel: one customer's timeline, who is due in a lane, what the
gate has to know of a thousand people before it lets marketing go, and how fast what is old is deleted
while all of that goes on. ``SIGNALPOST_BENCH_CUSTOMERS`` makes it smaller, for a look.
"""

import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any

from sqlalchemy import text

from benchmarks._postgres import postgres
from benchmarks.audiences import CUSTOMERS, NOW, POSTGRES, fill_postgres
from signalpost.content import Catalogue
from signalpost.domain.gate import Policy
from signalpost.record import customers, enrolments, messages
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import migrate
from signalpost.services import retention
from signalpost.services.journeys import gate
from signalpost.services.reading.timeline import timeline
from signalpost.services.retention import Keep

#: Of each figure, so many times; the worst but one in a hundred counts.
TIMES = 200
DUE = 500  #: people of a lane who are due at once, among all who wait
TOGETHER = 1_000
MEASURED_PRUNING = 5.0  #: seconds
LONG_AGO = timedelta(days=300)  #: what is older than this is deleted

_MESSAGES = """
    INSERT INTO messages (id, idempotency_key, customer_id, message, version, channel, address,
                          purpose, topic, locale, status, facts, slots, created_at, updated_at)
    SELECT made_id(3, n), 'bench:' || n, person(who), 'purchase_offer', 'v1', 'email',
           'email' || who || '@example.com', 'marketing', 'offers', 'en', 'delivered',
           '{"percent"\\: 15}', '{"1"\\: "Ann", "2"\\: "https\\://shop.example/u/abcdefghijkl"}', at, at
    FROM (SELECT n, 1 + floor(chance(n, 11) * :customers)::bigint AS who,
                 :now - (1 - CAST(n AS float8) / :events) * interval '365 days' AS at
          FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n OFFSET 0) AS made"""
_DELIVERIES = """
    INSERT INTO deliveries (id, message_id, attempt, provider, status, provider_id, started_at,
                            settled_at)
    SELECT made_id(4, n), made_id(3, n), 1, 'sendgrid', 'accepted', 'sg' || n / 1000, at, at
    FROM (SELECT n, :now - (1 - CAST(n AS float8) / :events) * interval '365 days' AS at
          FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n OFFSET 0) AS made"""
_VERSIONS = """
    INSERT INTO journey_versions (version, journey, program, first_seen_at)
    VALUES ('bench', 'bench', '{}', :now)"""
_ENROLMENTS = f"""
    INSERT INTO enrolments (id, customer_id, journey, version, lane, entry_key, step, status, due_at,
                            attempts, context, started_at, moved_at)
    SELECT made_id(5, n), person(n), 'bench', 'bench', 'service', 'k' || n, '1', 'waiting',
           CASE WHEN n <= {DUE} THEN :now - interval '1 minute'
                ELSE :now + chance(n, 12) * interval '90 days' + interval '1 hour' END,
           0, '{{}}', :now, :now
    FROM generate_series(1, :customers) AS n"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Someone:
    """Somebody whom the gate is asked about."""

    root_id: str
    zone: str | None = None


@contextmanager
def _record() -> Iterator[Database]:
    with postgres() as server:
        database = Database(open_engine(server.url))
        migrate(database.engine)
        more = (_MESSAGES, _DELIVERIES, _VERSIONS, _ENROLMENTS)
        names = ("messages", "deliveries", "journey_versions", "enrolments")
        fill_postgres(database, CUSTOMERS, {**POSTGRES, **dict(zip(names, more, strict=True))})
        yield database
        database.close()


def _people(database: Database, many: int, chosen: random.Random) -> list[str]:
    numbers = chosen.sample(range(1, CUSTOMERS + 1), many)
    query = text(
        "SELECT root_id FROM customers WHERE id IN (SELECT person(n) FROM unnest(:n) AS n)"
    )
    with database.reading() as session:
        return list(session.execute(query, {"n": numbers}).scalars())


def _timed(work: Callable[[], Any], times: int = TIMES) -> list[float]:
    work()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1_000)
    return took


def _read_one(database: Database, people: Iterator[str]) -> None:
    with database.reading() as session:
        assert timeline(session, customer_id=next(people)).entries


def _find_due(database: Database) -> None:
    with database.reading() as session:
        assert len(enrolments.due(session, lane="service", now=NOW, limit=DUE, lock=False)) == DUE


def _check_caps(database: Database, crowds: Iterator[list[str]]) -> None:
    longest = max(cap.period for cap in Policy().caps)
    with database.reading() as session:
        family = customers.families(session, next(crowds))
        assert messages.recent_marketing(session, customers=[*family], since=NOW - longest)


def _ask_gate(database: Database, crowds: Iterator[list[str]], catalogue: Catalogue) -> None:
    with database.reading() as session:
        gate.standings(
            session,
            people=[Someone(root) for root in next(crowds)],
            spec=catalogue["purchase_offer"],
            policy=Policy(),
            default_zone="UTC",
            now=NOW,
        )


def _pruned(database: Database, measure: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Delete what is old for some seconds; gives rows a second, and what is measured meanwhile."""
    over = threading.Event()
    done: list[int] = []

    def prune() -> None:
        keep = Keep(events=LONG_AGO, messages=LONG_AGO)
        gone = retention.prune(database, keep=keep, now=NOW, stop=over.is_set)
        done.append(sum(gone.values()))

    pruning = threading.Thread(target=prune)
    began = time.perf_counter()
    pruning.start()
    measured: list[float] = []
    while time.perf_counter() - began < MEASURED_PRUNING:
        measured += measure()
    over.set()
    pruning.join()
    return done[0] / (time.perf_counter() - began), measured


def run() -> list[Row]:
    """Measure, on PostgreSQL."""
    chosen = random.Random(20)
    catalogue = Catalogue.load("templates")
    with _record() as database:
        someone = cycle(_people(database, min(CUSTOMERS, 5_000), chosen))
        crowds = cycle([_people(database, TOGETHER, chosen) for _ in range(20)])
        reading = _timed(lambda: _read_one(database, someone))
        due = _timed(lambda: _find_due(database))
        caps = _timed(lambda: _check_caps(database, crowds))
        asked = _timed(lambda: _ask_gate(database, crowds, catalogue))
        rate, meanwhile = _pruned(
            database, lambda: _timed(lambda: _read_one(database, someone), times=20)
        )
        size = _bytes(database)
    many = f"{CUSTOMERS * 10:,} events and messages"
    return [
        _row(f"timeline of one customer ({many})", reading, 10, {"while pruning, p99": meanwhile}),
        _row(f"{DUE} people due, found among {CUSTOMERS:,} who wait", due, 10),
        _row(
            f"caps of {TOGETHER:,} people ({many})",
            caps,
            20,
            {"all that the gate has to know of them, p99": asked},
        ),
        {
            "name": f"what is old deleted ({many})",
            "value": round(rate),
            "unit": "rows/s",
            "bound": ">= 1000",
            "holds": rate >= 1_000,
            "peers": {"bytes a message on disk, with its delivery and indexes": round(size)},
        },
    ]


def _bytes(database: Database) -> float:
    query = text(
        "SELECT sum(pg_total_relation_size(t)) FROM unnest(CAST(:tables AS regclass[])) AS t"
    )
    with database.reading() as session:
        tables = {"tables": ["messages", "deliveries"]}
        return float(session.execute(query, tables).scalar_one()) / (CUSTOMERS * 10)


def _p99(took: list[float]) -> float:
    return round(statistics.quantiles(took, n=100, method="inclusive")[-1], 2)


def _row(
    name: str, took: list[float], bound: float, more: dict[str, list[float]] | None = None
) -> Row:
    peers = {"median": round(statistics.median(took), 2)}
    peers |= {what: _p99(values) for what, values in (more or {}).items()}
    worst = _p99(took)
    return {
        "name": name,
        "value": worst,
        "unit": "ms, p99",
        "bound": f"<= {bound}",
        "holds": worst <= bound,
        "peers": peers,
    }


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(f"{result}\n")
