"""A record full of people who may be written to, in cohorts: who was sent something is capped."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from signalpost.record import bulk
from signalpost.record.base import metadata, new_id
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import migrate

FIRST_NAMES = ("Ann", "Bo", "Chidi", "Dolores", "Émile", "Fatima", "Grażyna", "Hiro")
#: Round the earth, so that somewhere it is day: the gate keeps quiet hours by the wall clock.
ZONES = (
    "Europe/London", "Europe/Istanbul", "Asia/Kolkata", "Asia/Tokyo", "Pacific/Auckland",
    "Pacific/Honolulu", "America/Los_Angeles", "America/Sao_Paulo",
)  # fmt: skip
_TOGETHER = 10_000

Row = dict[str, Any]


def awake_zone(now: datetime) -> str:
    """Name the zone that is the furthest from its night."""
    noon = time(14)

    def away(name: str) -> timedelta:
        there = now.astimezone(ZoneInfo(name))
        return abs(there - there.replace(hour=noon.hour, minute=0))

    return min(ZONES, key=away)


def fill(url: str, cohorts: Mapping[str, int]) -> None:
    """Make the tables at ``url``, and each cohort's people: address, consent, name, zone."""
    now = datetime.now(UTC) - timedelta(days=30)
    engine = open_engine(url, durable=False)  # only while it is filled
    migrate(engine)
    database, zone = Database(engine), awake_zone(datetime.now(UTC))
    people = _people(cohorts)
    while some := list(islice(people, _TOGETHER)):
        _add(database, some, zone=zone, now=now)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    database.close()


def _people(cohorts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for cohort, many in cohorts.items():
        yield from ((cohort, number) for number in range(many))


def _add(database: Database, some: list[tuple[str, int]], *, zone: str, now: datetime) -> None:
    ids = [new_id() for _ in some]
    tables: dict[str, Row] = {
        "customers": {
            "id": ids,
            "root_id": ids,
            "locale": "en",
            "zone": zone,
            "attributes": [
                json.dumps({"first_name": FIRST_NAMES[number % 8], "cohort": cohort})
                for cohort, number in some
            ],
            "updated_at": now,
        },
        "contact_points": {
            "customer_id": ids,
            "channel": "email",
            "address": [f"reader{number}@{cohort}.example.com" for cohort, number in some],
            "verified_at": now,
        },
        "consents": {
            "customer_id": ids,
            "channel": "email",
            "topic": "*",
            "status": "granted",
            "source": "form",
            "at": now,
            "recorded_at": now,
        },
    }
    with database.writing() as session:
        for name, columns in tables.items():
            table = metadata.tables[name]
            made = {"id": [new_id() for _ in some], "created_at": now}
            known = {key: value for key, value in made.items() if key in table.c}
            bulk.insert_columns(session, table, rows=len(some), columns=known | columns)
