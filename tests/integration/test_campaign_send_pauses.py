"""What stops a run within a batch, and how it goes on: pauses, cancelling, faults of providers."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from signalpost.domain.vocabulary import FaultClass
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import Delivery
from signalpost.services.campaigns import launching
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    acts,
    adds_up,
    audit,
    block,
    campaign,
    go,
    inbox,
    later,
    launched,
    message_states,
    notice,
    outcomes,
    pass_until,
    people,
    refuses,
    rows,
    send,
    the_run,
)

BY_EMAIL = {"every": ["email"]}


@pytest.fixture
def stage(tmp_path):
    with Stage(folder=tmp_path) as opened:
        yield opened


@pytest.fixture
def on_both(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as opened:
        yield opened


def after(batches, act):
    """Do something when so many batches are out."""
    seen = iter(range(1_000))

    def stop():
        if next(seen) == batches:
            act()
        return False

    return stop


def test_a_run_paused_after_its_first_batch_goes_on_with_exactly_the_people_left(on_both):
    stage = on_both
    people(stage, 2_500)
    run_id = launched(stage, notice(channels=BY_EMAIL))

    def pause():
        launching.pause(
            stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock(), why="a typo"
        )

    [report] = send(stage, stop=after(1, pause))
    assert (report.ended, report.batches, len(stage.sent)) == ("paused", 1, 1_000)
    assert (the_run(stage, run_id).status, the_run(stage, run_id).reason) == ("paused", "a typo")
    send(stage)
    assert len(stage.sent) == 1_000
    launching.resume(stage.desk, campaign_run_id=run_id, by="bob", now=stage.clock())
    send(stage)
    assert len({one.to for one in stage.sent}) == len(stage.sent) == 2_500
    assert the_run(stage, run_id).status == "done"
    assert [act for act, _ in acts(stage, run_id)] == [
        "launched", "froze", "paused", "resumed", "ended",
    ]  # fmt: skip
    audit(stage, run_id)


def test_a_cancelled_run_sends_to_nobody_else_and_its_items_leave_the_inboxes(on_both):
    stage = on_both
    people(stage, 1_500)
    run_id = launched(stage, campaign(channels={"every": ["in_app"]}))

    def cancel():
        assert inbox(stage, run_id) == (1_000, 0)
        launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock(), why="no")

    send(stage, stop=after(1, cancel))
    assert len(stage.sent) == 1_000
    assert inbox(stage, run_id) == (0, 1_000)
    assert outcomes(stage, run_id) == {
        ("sent", "in_app", "allowed"): 1_000,
        ("cancelled", "", "cancelled"): 500,
    }
    assert the_run(stage, run_id).status == "cancelled"
    audit(stage, run_id)


def test_a_batch_that_is_on_its_way_while_the_run_is_cancelled_leaves_nothing_in_the_inboxes(stage):
    people(stage, 3)
    run_id = launched(stage, campaign(channels={"every": ["in_app"]}))

    def cancelled_meanwhile(one):
        if the_run(stage, run_id).status == "running":
            launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())

    stage.outbox.manner = cancelled_meanwhile
    send(stage)
    assert len(stage.sent) == 3
    assert inbox(stage, run_id) == (0, 3)
    audit(stage, run_id)


def test_what_was_put_off_when_its_run_is_cancelled_waits_no_more(stage):
    """Else it would count toward the caps of the next campaign for ever."""
    people(stage, 4)
    run_id = launched(stage, campaign())
    stage.outbox.manner = lambda one: later(one) if one.address == "u0@example.com" else None
    send(stage)
    assert message_states(stage, run_id) == {"queued": 1, "handed_over": 3}
    launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    assert message_states(stage, run_id) == {"expired": 1, "handed_over": 3}
    audit(stage, run_id)


def test_what_is_put_off_while_its_run_is_cancelled_waits_no_more(stage):
    people(stage, 2)
    run_id = launched(stage, campaign())

    def cancelled_meanwhile(one):
        if the_run(stage, run_id).status == "running":
            launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
        return later(one)

    stage.outbox.manner = cancelled_meanwhile
    send(stage)
    assert message_states(stage, run_id) == {"expired": 2}
    audit(stage, run_id)


def test_our_own_fault_pauses_the_run_with_the_reason_and_nobody_is_lost(on_both):
    stage = on_both
    people(stage, 1_200)
    run_id = launched(stage, notice(channels=BY_EMAIL))
    wrong_key = "SendGrid does not accept our key."

    def manner(one):
        return refuses(one, code="401", fault=FaultClass.OURS, detail=wrong_key)

    stage.outbox.manner = manner
    send(stage)
    run = the_run(stage, run_id)
    assert (run.status, run.reason) == ("paused", wrong_key)
    assert ("paused", "signalpost") in acts(stage, run_id)
    assert outcomes(stage, run_id) == {}
    assert stage.sent == []
    adds_up(stage, run_id)
    stage.outbox.manner = lambda one: None
    launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    send(stage)
    assert len({one.to for one in stage.sent}) == len(stage.sent) == 1_200
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 1_200}
    assert the_run(stage, run_id).status == "done"
    audit(stage, run_id)


def test_a_provider_that_asks_for_patience_is_asked_again_when_it_says(stage):
    people(stage, 3)
    run_id = launched(stage, campaign())
    wait = timedelta(minutes=2)
    stage.outbox.manner = lambda one: later(one, retry_after=wait)
    send(stage)
    assert (stage.sent, outcomes(stage, run_id)) == ([], {})
    stage.outbox.manner = lambda one: None
    stage.clock.now += wait - timedelta(seconds=1)
    send(stage)
    assert stage.sent == []
    stage.clock.now += timedelta(seconds=31)  # not all at the same moment
    send(stage)
    assert len(stage.sent) == 3
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 3}
    assert sorted(d.attempt for d in rows(stage, Delivery)) == [1, 1, 1, 2, 2, 2]
    audit(stage, run_id)


def test_a_message_that_was_put_off_is_not_counted_against_itself(stage):
    """One a day is the cap, and the one that waits is the one."""
    people(stage, 2)
    run_id = launched(stage, campaign(caps=["1 per 1d"]))
    stage.outbox.manner = later
    send(stage)
    stage.outbox.manner = lambda one: None
    pass_until(stage, stage.clock.now + timedelta(hours=1))
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 2}
    audit(stage, run_id)


def test_a_provider_that_never_has_time_sets_people_aside_with_the_reason(stage):
    people(stage, 2)
    run_id = launched(stage, campaign())
    stage.outbox.manner = later
    pass_until(stage, stage.clock.now + timedelta(hours=6))
    assert outcomes(stage, run_id) == {("set_aside", "email", "provider_refuses:429"): 2}
    assert the_run(stage, run_id).status == "done"
    assert message_states(stage, run_id) == {"expired": 2}
    audit(stage, run_id)


def test_whoever_says_stop_while_their_message_was_put_off_gets_nothing_of_it(stage):
    people(stage, 2)
    run_id = launched(stage, campaign())
    stage.outbox.manner = later
    send(stage)
    block(stage, ["u0@example.com"])
    stage.outbox.manner = lambda one: None
    pass_until(stage, stage.clock.now + timedelta(hours=1))
    assert [one.to for one in stage.sent] == ["u1@example.com"]
    assert outcomes(stage, run_id) == {
        ("sent", "email", "allowed"): 1,
        ("skipped", "", "suppressed_stop"): 1,
    }
    assert message_states(stage, run_id) == {"expired": 1, "handed_over": 1}
    audit(stage, run_id)


def test_an_adapter_that_raises_makes_its_batch_unknown_and_is_not_asked_again(stage):
    people(stage, 2)
    run_id = launched(stage, campaign())

    def broken(one):
        raise ValueError("no")

    stage.outbox.manner = broken
    send(stage)
    assert message_states(stage, run_id) == {"unknown": 2}
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 2}
    stage.outbox.manner = lambda one: None
    stage.clock.now += timedelta(days=1)
    send(stage)
    assert stage.sent == []
    assert {d.detail for d in rows(stage, Delivery)} == {"the adapter raised ValueError"}
    audit(stage, run_id)


def test_one_whom_the_provider_refuses_is_set_aside_and_the_others_get_theirs(stage):
    people(stage, 5)
    run_id = launched(stage, campaign())
    stage.outbox.manner = lambda one: (
        refuses(one, code="550") if one.address == "u2@example.com" else None
    )
    [report] = send(stage)
    expected = {("sent", "email", "allowed"): 4, ("set_aside", "email", "refused:550"): 1}
    assert outcomes(stage, run_id) == expected
    assert +report.counts == expected
    audit(stage, run_id)


def test_an_address_that_the_provider_calls_dead_is_not_written_to_again(stage):
    people(stage, 2)
    stage.outbox.manner = lambda one: (
        refuses(one, code="550", suppress="bad_address") if one.address[1] == "0" else None
    )
    go(stage, campaign())
    stage.outbox.manner = lambda one: None
    again = go(
        stage, campaign(name="second", message="spring_promotion", promotion=None, facts=FACTS)
    )
    assert outcomes(stage, again)["skipped", "", "suppressed_bad_address"] == 1
    assert [one.to for one in stage.sent] == ["u1@example.com"] * 2


FACTS = {
    "promotion_id": "S",
    "code": "SPRING15",
    "percent": 15,
    "expires_at": "2027-05-31T22:59:00Z",
}


def test_whose_own_facts_break_the_words_is_set_aside_and_the_others_get_theirs(on_both):
    stage = on_both
    people(stage, 30, percent=10)
    people(stage, 1, first=30, percent="a lot")
    people(stage, 1, first=31)
    offer = {key: value for key, value in FACTS.items() if key != "percent"}
    wanted = campaign(promotion=None, facts={**offer, "percent": {"attribute": "percent"}})
    run_id = go(stage, wanted)
    assert len(stage.sent) == 30
    assert outcomes(stage, run_id)["sent", "email", "allowed"] == 30
    aside = [p for p in rows(stage, CampaignPerson) if p.outcome == "set_aside"]
    assert len(aside) == 2
    assert all("percent" in p.reason for p in aside)
    assert the_run(stage, run_id).status == "done"
    audit(stage, run_id)


def test_a_provider_that_forgets_one_of_a_batch_leaves_all_of_it_unknown(stage):
    """Answers come in the order of the messages: with one missing nobody knows which is whose."""
    people(stage, 3)
    run_id = launched(stage, campaign())
    hand_over = stage.outbox.hand_over

    async def forgetful(letter, batch):
        return (await hand_over(letter, batch))[1:]

    stage.outbox.hand_over = forgetful
    send(stage)
    assert message_states(stage, run_id) == {"unknown": 3}
    assert len(stage.sent) == 3


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_run_cancelled_in_the_midst_of_a_batch_adds_up(on_both, batches):
    """Somebody cancels while a sender decides: neither waits for the other, and nobody counts twice."""
    stage = on_both
    people(stage, 3_000)
    run_id = launched(stage, notice(channels=BY_EMAIL))
    deciding, cancelled = threading.Event(), threading.Event()
    hand_over = stage.outbox.hand_over

    async def not_before_the_other(letter, batch):
        """Else a quick sender would be done before anybody could cancel."""
        if deciding.is_set():
            assert await asyncio.to_thread(cancelled.wait, 60)
        return await hand_over(letter, batch)

    def cancel():
        assert deciding.wait(60)
        launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
        cancelled.set()

    stage.outbox.hand_over = not_before_the_other
    with ThreadPoolExecutor() as others:
        cancelling = others.submit(cancel)
        send(stage, stop=after(batches, deciding.set))
        cancelling.result(60)
    assert len({one.to for one in stage.sent}) == len(stage.sent)
    assert len(stage.sent) in {batches * 1_000, (batches + 1) * 1_000}
    assert sum(outcomes(stage, run_id).values()) == 3_000
    assert the_run(stage, run_id).status == "cancelled"
    audit(stage, run_id)
