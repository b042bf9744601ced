"""A sender dies wherever it can, and another goes on: nobody is lost, nobody is sent to twice."""

import asyncio
import shutil
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from signalpost.domain.vocabulary import DeliveryStatus
from signalpost.errors import ConflictError
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import Delivery, Message
from signalpost.services.campaigns import launching, sending
from signalpost.services.campaigns.deciding import decide
from signalpost.services.campaigns.people import Job
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    LOST,
    adds_up,
    audit,
    campaign,
    later,
    launched,
    message_states,
    notice,
    outcomes,
    people,
    refuses,
    rows,
    send,
    sender,
    the_run,
)
from tests.killed import Killed, dies

BOTH = {"channels": {"every": ["email", "in_app"]}}


class Dying:
    """A provider during whose call the sender dies: before it took the batch, or after."""

    max_batch = 1_000
    name = "outbox"

    def __init__(self, outbox, *, took):
        self.outbox, self.took = outbox, took

    async def hand_over(self, letter, batch):
        if self.took:
            await self.outbox.hand_over(letter, batch)
        raise Killed


@pytest.fixture
def stage(tmp_path):
    with Stage(folder=tmp_path) as opened:
        yield opened


def with_provider(stage, provider):
    return replace(stage.desk, providers=dict.fromkeys(stage.desk.providers, provider))


@pytest.mark.parametrize("took", [False, True], ids=["before-it-took-them", "after-it-took-them"])
def test_what_was_on_its_way_when_the_sender_died_is_unknown_and_the_others_are_sent(
    tmp_path, database_url, took
):
    with Stage(folder=tmp_path, database_url=database_url) as stage:
        people(stage, 1_300)
        run_id = launched(stage, notice(channels={"every": ["email"]}))
        assert dies(lambda: send(stage, desk=with_provider(stage, Dying(stage.outbox, took=took))))
        assert message_states(stage, run_id) == {"sending": 1_000}
        send(stage)  # the lease still holds: nobody may go on
        assert len(stage.sent) == (1_000 if took else 0)
        stage.clock.now += LOST
        send(stage)
        assert message_states(stage, run_id) == {"unknown": 1_000, "handed_over": 300}
        assert Counter(d.status for d in rows(stage, Delivery)) == {
            "unknown": 1_000,
            "accepted": 300,
        }
        assert len(stage.sent) == (1_300 if took else 300)
        assert the_run(stage, run_id).status == "done"
        audit(stage, run_id)


def test_a_sender_that_dies_between_two_batches_leaves_exactly_the_rest(stage):
    people(stage, 1_300)
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    looks = iter((False, Killed))

    def stop():
        if next(looks) is Killed:
            raise Killed
        return False

    assert dies(lambda: send(stage, stop=stop))
    assert message_states(stage, run_id) == {"handed_over": 1_000}
    stage.clock.now += LOST
    send(stage)
    assert message_states(stage, run_id) == {"handed_over": 1_300}
    audit(stage, run_id)


class Guillotine:
    """Kills whoever sends the n-th statement to the database."""

    def __init__(self, engine, at):
        self.left, self.engine = at, engine
        event.listen(engine, "before_cursor_execute", self)
        event.listen(engine, "commit", self.commit)

    def __call__(self, *_):
        self.commit()

    def commit(self, *_):
        self.left -= 1
        if self.left == 0:
            raise Killed

    def remove(self):
        event.remove(self.engine, "before_cursor_execute", self)
        event.remove(self.engine, "commit", self.commit)


def every_point(tmp_path, act, *, step=1):
    """Play a story on a copy of the same house again and again, dying one statement later each time."""
    home = tmp_path / "house"
    home.mkdir()
    with Stage(folder=home) as stage:
        people(stage, 9)
        prepared = act.prepare(stage)
    at = 0
    while True:
        at += step
        place = tmp_path / f"at-{at}"
        shutil.copytree(home, place)
        with Stage(folder=place) as stage:
            blade = Guillotine(stage.database.engine, at)
            dead = dies(lambda: act.run(stage, prepared))
            blade.remove()
            stage.clock.now += LOST
            yield at, dead, stage, prepared
        shutil.rmtree(place)
        if not dead:
            return


class Sending:
    @staticmethod
    def prepare(stage):
        return launched(stage, campaign(**BOTH))

    @staticmethod
    def run(stage, run_id):
        refused = "u3@example.com"
        stage.outbox.manner = lambda one: refuses(one) if one.address == refused else None
        send(stage)


def test_a_sender_may_die_at_any_statement(tmp_path):
    """18 messages to 9 people, one of them refused: at every statement and every commit."""
    deaths = 0
    for at, dead, stage, run_id in every_point(tmp_path, Sending, step=2):
        deaths += dead
        send(stage)
        stage.clock.now += LOST
        send(stage)
        audit(stage, run_id)
        states = message_states(stage, run_id)
        assert set(states) <= {"handed_over", "delivered", "rejected", "unknown"}, at
        assert sum(states.values()) == 18, at
        assert the_run(stage, run_id).status == "done", at
        assert not dead or len(stage.sent) in (0, 17), at
    assert deaths > 10


class Starting:
    @staticmethod
    def prepare(stage):
        now = stage.clock.now
        return launching.launch(
            stage.desk, launch=Launch(campaign=campaign()), by="ann", now=now
        ).id

    @staticmethod
    def run(stage, run_id):
        launching.start(stage.desk, campaign_run_id=run_id, now=stage.clock.now)


def test_a_start_may_die_at_any_statement_and_freezes_everybody_once_when_it_is_tried_again(
    tmp_path,
):
    deaths = 0
    for at, dead, stage, run_id in every_point(tmp_path, Starting):
        deaths += dead
        run = launching.start(stage.desk, campaign_run_id=run_id, now=stage.clock.now)
        assert (run.status, run.people) == ("running", 9), at
        send(stage)
        assert len(stage.sent) == 9, at
        audit(stage, run_id)
    assert deaths > 8


# -- a sender that was given up, and comes back ----------------------------------------------------


def claimed(stage, run_id):
    """Claim the run's shard and decide its first batch, as a sender does."""
    [claim] = sending.claim_shards(stage.desk, now=stage.clock(), limit=1)
    with stage.database.reading() as session:
        job = Job.load(stage.desk, session, campaign_run_id=run_id)
    return claim, job


class Slow:
    """A provider that answers only after another sender has taken over."""

    max_batch = 1_000
    name = "outbox"

    def __init__(self, stage, manner=lambda one: None):
        self.stage, self.manner = stage, manner
        self.meanwhile = lambda: None

    async def hand_over(self, letter, batch):
        said = [self.manner(one) for one in batch]
        going = [one for one, no in zip(batch, said, strict=True) if no is None]
        took = iter(await self.stage.outbox.hand_over(letter, going))
        await asyncio.to_thread(self.meanwhile)
        return [next(took) if no is None else no for no in said]


def taken_over(stage, run_id, manner=lambda one: None):
    """Let a sender hand a batch over, lose its lease to another one meanwhile, and come back."""
    slow = Slow(stage, manner)
    seen = {}

    def another():
        stage.clock.now += LOST
        asyncio.run(sender(stage.desk))
        seen.update(message_states(stage, run_id))

    slow.meanwhile = another
    reports = asyncio.run(sender(with_provider(stage, slow)))
    return seen, reports


def test_what_a_late_sender_knows_is_taken(stage):
    people(stage, 1_200)
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    seen, reports = taken_over(stage, run_id)
    assert seen == {"unknown": 1_000, "handed_over": 200}
    assert message_states(stage, run_id) == {"handed_over": 1_200}
    assert reports[0].ended == "lost"
    assert len(stage.sent) == 1_200
    audit(stage, run_id)


@pytest.mark.parametrize("answer", [later, refuses], ids=["put-off", "refused"])
def test_whom_a_late_sender_surely_did_not_reach_is_not_lost(tmp_path, database_url, answer):
    with Stage(folder=tmp_path, database_url=database_url) as stage:
        people(stage, 1_050)
        run_id = launched(stage, notice(channels={"first": ["sms", "email"]}))
        taken_over(stage, run_id, lambda one: answer(one) if one.channel == "sms" else None)
        adds_up(stage, run_id)
        if the_run(stage, run_id).status == "running":
            stage.clock.now += LOST
            send(stage)
        audit(stage, run_id)
        states = message_states(stage, run_id)
        assert "queued" not in states
        aside = {key: n for key, n in outcomes(stage, run_id).items() if key[0] == "set_aside"}
        assert len(stage.sent) + sum(aside.values()) == 1_050


def test_a_sender_whose_shard_was_taken_before_it_began_touches_nothing(stage):
    people(stage, 3)
    run_id = launched(stage, campaign())
    first, _ = claimed(stage, run_id)
    stage.clock.now += LOST
    second, job = claimed(stage, run_id)
    batch = decide(stage.desk, job, second, now=stage.clock(), flow_run=None)
    assert len(batch.drafts) == 3
    report = asyncio.run(sending.send_shard(stage.desk, claim=first, run_id=None))
    assert report.ended == "lost"
    assert message_states(stage, run_id) == {"sending": 3}
    assert stage.sent == []
    adds_up(stage, run_id)


def test_a_start_that_was_taken_over_does_not_run_a_cancelled_run(tmp_path):
    """Somebody cancels after the last shard is frozen and before the run is said to be running."""
    with Stage(folder=tmp_path) as stage:
        people(stage, 3)
        run_id = Starting.prepare(stage)
        seen = []

        def cancel_then(connection, cursor, statement, *_):
            if statement.startswith("DROP TABLE IF EXISTS chosen") and len(seen) < 2:
                seen.append(statement)
                if len(seen) == 2:  # the drop after the last shard
                    launching.cancel(
                        stage.desk, campaign_run_id=run_id, by="bob", now=stage.clock.now
                    )

        event.listen(stage.database.engine, "before_cursor_execute", cancel_then)
        with pytest.raises(ConflictError):
            Starting.run(stage, run_id)
        event.remove(stage.database.engine, "before_cursor_execute", cancel_then)
        assert len(seen) == 2
        send(stage)
        assert the_run(stage, run_id).status == "cancelled"
        assert stage.sent == []
        assert {p.outcome for p in rows(stage, CampaignPerson)} == {"cancelled"}


def test_a_message_that_is_unknown_is_never_tried_again(stage):
    people(stage, 2)
    run_id = launched(stage, campaign())
    assert dies(lambda: send(stage, desk=with_provider(stage, Dying(stage.outbox, took=False))))
    for _ in range(5):
        stage.clock.now += timedelta(days=1)
        send(stage)
    assert message_states(stage, run_id) == {"unknown": 2}
    assert [m.reason for m in rows(stage, Message)] == ["sender_stopped"] * 2
    assert {d.status for d in rows(stage, Delivery)} == {DeliveryStatus.UNKNOWN}
