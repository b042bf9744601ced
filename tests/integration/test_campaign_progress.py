"""How fast a run goes and when it will be done: by the time in which it could go."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignPerson, CampaignRun, CampaignShard
from signalpost.record.customers import Customer
from signalpost.services.campaigns import launching, runs, sending
from signalpost.services.reconciling import stuck
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    campaign,
    launched,
    notice,
    people,
    refuses,
    rows,
    send,
)

BY_EMAIL = {"every": ["email"]}
PACE = {"email": 20 / 60}  #: a message every three seconds
AWAY = "Pacific/Auckland"  #: where it is night


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as opened:
        opened.clock.now = opened.clock.now.replace(hour=10)
        yield opened


def how_far(stage, run_id):
    with stage.database.reading() as session:
        return runs.progress(session, campaign_run_id=run_id, now=stage.clock.now)


def send_some(stage, batches=1_000):
    """Send at most so many batches of one person each, three seconds apart."""
    asks = 0

    def stop():
        nonlocal asks
        stage.clock.now += timedelta(seconds=3)
        asks += 1
        return asks > batches

    [claim] = sending.claim_shards(stage.desk, now=stage.clock(), limit=1)
    asyncio.run(sending.send_shard(stage.desk, claim=claim, run_id=None, stop=stop))


def due_at(stage, moment, who=None):
    """Let people be due at one moment: the house spreads its mornings over some minutes."""
    person, shard = table_of(CampaignPerson), table_of(CampaignShard)
    late = update(person).where(person.c.outcome.is_(None)).values(due_at=moment)
    with stage.database.writing() as session:
        session.execute(late.where(person.c.customer_id.in_(who)) if who else late)
        if not who:
            session.execute(update(shard).values(due_at=moment))


def test_a_pause_does_not_make_the_rate_slower(stage):
    """Twenty a minute before it, so twenty a minute after it, however long it was."""
    people(stage, 60)
    run_id = launched(stage, notice(channels=BY_EMAIL, pace=PACE))
    send_some(stage, 20)
    before = how_far(stage, run_id)
    assert before.decided == 20
    assert before.per_second == pytest.approx(20 / 60, rel=0.1)
    launching.pause(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    stage.clock.now += timedelta(hours=1)
    assert how_far(stage, run_id).per_second == pytest.approx(20 / 60, rel=0.1)
    launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    after = how_far(stage, run_id)
    assert after.per_second == pytest.approx(20 / 60, rel=0.1)
    assert (after.eta - stage.clock.now).total_seconds() == pytest.approx(120, rel=0.1)


def test_a_night_does_not_make_the_rate_slower(stage):
    """Ten have it in the evening; the others wait for their morning, and then it goes as it goes."""
    people(stage, 10, zone="UTC")
    people(stage, 40, zone=AWAY, first=10)
    run_id = launched(stage, campaign(channels=BY_EMAIL, pace=PACE))
    send_some(stage)
    waits = how_far(stage, run_id)
    assert (waits.decided, waits.eta) == (10, None)
    assert waits.next_due > stage.clock.now + timedelta(hours=5)
    stage.clock.now = waits.next_due
    due_at(stage, stage.clock.now)
    send_some(stage, 10)
    morning = how_far(stage, run_id)
    assert morning.decided == 20
    assert morning.per_second == pytest.approx(20 / 60, rel=0.15)
    assert (morning.eta - stage.clock.now).total_seconds() == pytest.approx(90, rel=0.15)


def test_a_pause_in_the_morning_counts_for_nothing_either(stage):
    people(stage, 50, zone=AWAY)
    run_id = launched(stage, campaign(channels=BY_EMAIL, pace=PACE))
    send(stage)
    stage.clock.now = how_far(stage, run_id).next_due
    due_at(stage, stage.clock.now)
    send_some(stage, 10)
    launching.pause(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    stage.clock.now += timedelta(minutes=30)
    launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    assert how_far(stage, run_id).per_second == pytest.approx(20 / 60, rel=0.15)


def test_the_end_is_not_before_those_are_due_who_are_due_last(stage):
    people(stage, 60)
    run_id = launched(stage, notice(channels=BY_EMAIL, pace=PACE))
    later = stage.clock.now + timedelta(hours=10)
    due_at(stage, later, [one.id for one in rows(stage, Customer)][:30])
    send_some(stage, 5)
    found = how_far(stage, run_id)
    assert found.decided == 5
    assert found.eta == later


def test_who_is_set_aside_in_a_campaign_is_among_what_is_stuck(stage):
    people(stage, 4)
    stage.outbox.manner = lambda one: refuses(one)
    run_id = launched(stage, notice(channels=BY_EMAIL))
    send(stage)
    [campaign_name] = {row.campaign for row in rows(stage, CampaignRun, id=run_id)}
    with stage.database.reading() as session:
        found = stuck.find(session, now=stage.clock(), lease=stage.desk.lease)
    [aside] = [one for one in found if one.kind == "set_aside"]
    assert aside.number == 4
    assert f"in the campaign {campaign_name}" in aside.says
    assert aside.helps == f"signalpost redrive --all-set-aside {campaign_name}"
