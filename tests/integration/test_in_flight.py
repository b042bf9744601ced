"""What is on its way, as its shard names it: from the intent on, until it is settled or given up."""

from datetime import timedelta

import pytest
from sqlalchemy import event, text, update

from signalpost.record import figures, in_flight, messages, reconciling
from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignShard
from signalpost.record.messages import Delivery, Message
from signalpost.services.campaigns import launching
from signalpost.services.reconciling.stuck import find
from signalpost.services.reconciling.sweeping import sweep
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    LOST,
    audit,
    later,
    launched,
    message_states,
    notice,
    people,
    rows,
    send,
)
from tests.killed import Killed, dies


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as opened:
        people(opened, 30)
        yield opened


def a_run(stage):
    return launched(stage, notice(channels={"every": ["email"]}))


def noted(stage):
    [shard] = rows(stage, CampaignShard)
    return shard.in_flight


def kill_while_sending(stage):
    """Let the sender die at its provider; gives what the shard said then."""
    said = []

    def die(_one):
        said.append(noted(stage))
        raise Killed

    stage.outbox.manner = die
    assert dies(lambda: send(stage))
    stage.outbox.manner = lambda _one: None
    return said[0]


def test_a_shard_names_what_is_on_its_way_until_it_is_settled(stage):
    run_id = a_run(stage)
    assert noted(stage) is None
    said = kill_while_sending(stage)
    assert set(said.split()) == {message.id for message in rows(stage, Message)}
    assert noted(stage) == said
    stage.clock.now += LOST
    send(stage)
    assert message_states(stage, run_id) == {"unknown": 30}
    assert noted(stage) is None
    audit(stage, run_id)


def test_messages_of_an_earlier_round_are_named_too(stage):
    run_id = a_run(stage)
    stage.outbox.manner = later
    send(stage)
    assert message_states(stage, run_id) == {"queued": 30}
    stage.clock.now += timedelta(hours=1)
    kill_while_sending(stage)
    stage.clock.now += LOST
    send(stage)
    assert message_states(stage, run_id) == {"unknown": 30}


def test_what_a_sender_of_an_older_version_left_is_found_though_it_named_nothing(stage):
    """While machines are brought to this version, one that is not yet there may die."""
    run_id = a_run(stage)
    kill_while_sending(stage)
    with stage.database.writing() as session:
        session.execute(update(table_of(CampaignShard)).values(in_flight=None))
    stage.clock.now += LOST
    send(stage)
    assert message_states(stage, run_id) == {"unknown": 30}


def test_a_cancelled_run_s_batch_is_given_up_once_and_then_forgotten(stage):
    run_id = a_run(stage)
    kill_while_sending(stage)
    launching.cancel(stage.desk, campaign_run_id=run_id, by="bob", now=stage.clock())
    assert not sweep(stage.desk, now=stage.clock())  # its sender may still be at the provider
    stage.clock.now += timedelta(minutes=3)
    with stage.database.reading() as session:
        found = find(session, now=stage.clock(), lease=stage.desk.lease)
    [stray] = [one for one in found if one.kind == "stray"]
    assert stray.number == 30
    assert sweep(stage.desk, now=stage.clock()).unknown == 30
    assert message_states(stage, run_id) == {"unknown": 30}
    assert noted(stage) == ""
    stage.clock.now += timedelta(minutes=3)
    assert not sweep(stage.desk, now=stage.clock())


def test_who_settles_late_forgets_only_what_they_sent_off_themselves(stage):
    run_id = a_run(stage)
    [shard] = rows(stage, CampaignShard)
    place = {"campaign_run_id": run_id, "number": shard.number}
    with stage.database.writing() as session:
        in_flight.set_off(session, batch="theirs", **place)
        in_flight.landed(session, batch="ours", **place)
    assert noted(stage) == "theirs"
    with stage.database.writing() as session:
        in_flight.landed(session, batch="theirs", **place)
    assert noted(stage) == ""


def test_settling_a_campaign_s_message_changes_no_index_on_postgresql(stage):
    """Else each would be written into five of them anew: a quarter of what PostgreSQL has to do."""
    if stage.database.is_sqlite:
        pytest.skip("it is PostgreSQL that keeps versions of a row")
    a_run(stage)
    kill_while_sending(stage)
    delivery = rows(stage, Delivery)[0]
    ending = messages.Ending("accepted", "id", None, None, None, None, "handed_over", None)
    with stage.database.writing() as session:
        pair = (delivery.id, delivery.message_id)
        messages.settle(session, endings={ending: [pair]}, now=stage.clock())
        beside = text("SELECT pg_stat_get_xact_tuples_hot_updated('messages'::regclass)")
        assert session.execute(beside).scalar() == 1


def test_what_is_looked_for_every_few_seconds_is_found_by_the_index(stage):
    """A record of a hundred million messages has a handful that somebody has yet to see to."""
    if not stage.database.is_sqlite:
        pytest.skip("PostgreSQL looks through a table of thirty, whatever index there is")
    now, seen = stage.clock(), {}

    def keep(_connection, _cursor, statement, parameters, *_):
        if "pending" in statement:
            seen[statement] = parameters

    event.listen(stage.database.engine, "before_cursor_execute", keep)
    with stage.database.reading() as session:
        overdue = {"overdue": now, "latest": now, "stray": now, "left": now}
        assert not reconciling.anything(session, now=now, **overdue)
        assert not reconciling.unknown(session, limit=10)
        assert not figures.unknown(session)
    event.remove(stage.database.engine, "before_cursor_execute", keep)
    assert len(seen) == 5
    with stage.database.engine.connect() as connection:
        for statement, parameters in seen.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert any("ix_messages_pending" in line[-1] for line in plan), statement
