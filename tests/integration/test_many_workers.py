"""Eight workers at once, on one record: everybody is claimed, and nobody by two."""

import dataclasses
import threading
from collections import Counter
from contextlib import closing

import pytest

from flows import JOURNEYS
from signalpost.record import enrolments
from signalpost.record.base import metadata, new_id
from signalpost.record.bulk import insert_columns
from signalpost.record.database import Database, open_engine
from signalpost.services.campaigns.sending import claim_shards
from signalpost.services.journeys.claims import claim_due
from signalpost.testing import Stage
from tests.integration.campaign_engine import campaign, launched, people

WORKERS = 8
DUE = 1_500


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def together(stage, work):
    """Have each of eight workers, with connections of its own, do ``work(desk)`` at the same time."""
    start, found, errors = threading.Barrier(WORKERS), [], []

    def run():
        with closing(Database(open_engine(stage._url, durable=False))) as database:
            desk = dataclasses.replace(stage.desk, database=database)
            start.wait(30)
            try:
                found.extend(work(desk))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert errors == []
    return found


def waiting(stage):
    """Many people of one journey who are due now."""
    stage.signal(
        "order.ready_for_pickup",
        user_id="ann",
        phone="+12065550100",
        email="ann@example.com",
        order_id="1",
    )
    with stage.database.reading() as session:
        [first] = enrolments.due(session, lane="service", now=stage.clock(), limit=1, lock=False)
        table = metadata.tables["enrolments"]
        row = session.execute(table.select().where(table.c.id == first["id"])).mappings().one()
    numbers = range(DUE - 1)
    same = {key: value for key, value in row.items() if key not in ("id", "entry_key")}
    columns = {
        **{key: value for key, value in same.items() if value is not None},
        "context": [row["context"]] * len(numbers),
        "id": [new_id() for _ in numbers],
        "entry_key": [f"order_id:{number + 2}" for number in numbers],
    }
    with stage.database.writing() as session:
        insert_columns(session, table, rows=len(numbers), columns=columns)


def test_everybody_who_is_due_is_claimed_by_one_of_eight_workers(stage):
    waiting(stage)

    def work(desk):
        claimed = []
        while claims := claim_due(desk, lane="service", now=stage.clock(), limit=100):
            for claim in claims:
                with desk.database.reading() as session:
                    rows = enrolments.of_claim(session, claim_id=claim.id)
                assert len(rows) == claim.size
                claimed += [row["id"] for row in rows]
        return claimed

    times = Counter(together(stage, work))
    assert len(times) == DUE
    assert set(times.values()) == {1}


def test_every_shard_is_claimed_by_one_of_eight_senders(stage):
    people(stage, 3)
    run_id = launched(stage, campaign())
    more = [{"campaign_run_id": run_id, "number": n, "due_at": stage.clock()} for n in range(1, 30)]
    with stage.database.writing() as session:
        session.execute(
            metadata.tables["campaign_shards"].insert(), [m | {"counts": {}} for m in more]
        )

    def work(desk):
        claimed = []
        while claims := claim_shards(desk, now=stage.clock(), limit=2):
            claimed += [claim.shard for claim in claims]
        return claimed

    times = Counter(together(stage, work))
    assert len(times) == 30
    assert set(times.values()) == {1}
