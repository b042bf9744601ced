"""A message in several rounds, one channel now and another in the morning, and what happens between."""

from collections import Counter
from datetime import timedelta

import pytest

from signalpost.domain.assignment import arm
from signalpost.domain.vocabulary import FaultClass
from signalpost.record.base import new_id
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.events import Event
from signalpost.record.messages import Message
from signalpost.services.campaigns import launching, results
from signalpost.services.intake import identity
from signalpost.testing import EPOCH, Stage
from tests.integration.campaign_engine import (
    OFFER,
    audit,
    block,
    campaign,
    go,
    later,
    notice,
    outcomes,
    pass_until,
    people,
    refuses,
    rows,
    say,
    send,
)

NIGHT = EPOCH.replace(hour=22)  #: the app is quiet at night, an email waits for the morning
MORNING = NIGHT + timedelta(hours=14)
BOTH = {"every": ["email", "in_app"]}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url, start=NIGHT) as opened:
        yield opened


def happen(stage, who, name, **facts):
    """Write an event that somebody's system told us of."""
    with stage.database.writing() as session:
        row = {"message_id": new_id(), "body_hash": "", "source": "shop", "status": "accepted"}
        at = {"occurred_at": stage.clock.now, "received_at": stage.clock.now}
        session.add(Event(**row, **at, name=name, customer_id=who, facts=facts))


def merge(stage, kept, merged):
    with stage.database.writing() as session:
        identity.merge(session, kept=kept, merged=merged, reason="operator", now=stage.clock.now)


def went(stage):
    """Give whom each channel took something to."""
    return sorted((one.channel, one.to) for one in stage.sent)


def outcome(stage, run_id):
    return {one.customer_id: one.outcome for one in rows(stage, CampaignPerson)}


def sides(stage, run_id):
    with stage.database.reading() as session:
        found = results.results(session, campaign_run_id=run_id, now=stage.clock.now)
    return {one.name: one.people for one in found.experiment.sides}, found.experiment.report


def test_who_is_held_out_counts_from_the_moment_at_which_the_others_are_written_to(stage):
    """The campaign changes nothing here: both sides buy alike an hour after it was launched."""
    ids = people(stage, 400)
    run_id = go(stage, campaign(channels=BOTH, holdout="20%"))
    at_night, report = sides(stage, run_id)
    assert sum(at_night.values()) == 400
    assert 50 < at_night["held out"] < 110
    stage.clock.now += timedelta(hours=1)
    for one in ids:
        happen(
            stage, one, "order.placed", order_id=one, total={"amount": "9.00", "currency": "USD"}
        )
    pass_until(stage, MORNING)
    assert sides(stage, run_id)[0] == at_night
    stage.clock.now += timedelta(days=40)
    found, report = sides(stage, run_id)
    assert found == at_night
    assert not any("more often" in one.verdict.why for one in report.comparisons)
    audit(stage, run_id)


def test_who_redeemed_after_the_first_channel_was_sent_it_all_the_same(stage):
    first, *_ = people(stage, 3)
    run_id = go(stage, campaign(channels=BOTH))
    happen(stage, first, "promotion.redeemed", promotion_id=OFFER["id"])
    pass_until(stage, MORNING)
    assert outcomes(stage, run_id) == {
        ("sent", "in_app", "allowed"): 1,
        ("sent", "email+in_app", "allowed"): 2,
    }
    audit(stage, run_id)


def test_a_run_that_is_cancelled_between_two_channels_was_sent_by_the_first(stage):
    people(stage, 3)
    people(stage, 2, first=3, zone="Australia/Sydney")  # where it is morning: both channels go
    block(stage, ["u0"], channel="in_app")
    run_id = go(stage, campaign(channels=BOTH))
    launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock.now)
    assert outcomes(stage, run_id) == {
        ("sent", "email+in_app", "allowed"): 2,
        ("sent", "in_app", "allowed"): 2,
        ("cancelled", "", "cancelled"): 1,
    }
    audit(stage, run_id)


def test_whoever_heard_of_it_from_a_run_that_was_cancelled_hears_how_it_goes_on(stage):
    stages = [
        {"name": "first", "message": "service_notice", "opens": True},
        {"name": "update", "message": "service_update"},
        {"name": "all-clear", "message": "service_all_clear", "closes": True},
    ]
    people(stage, 2)
    stage.outbox.manner = lambda one: later(one) if one.channel == "email" else None
    told = notice(
        channels={"every": ["in_app", "email"]}, message=None, stages=stages, asks=["news"]
    )
    first = go(stage, told, stage="first", series="S-1")
    launching.cancel(stage.desk, campaign_run_id=first, by="ann", now=stage.clock.now)
    stage.outbox.manner = lambda one: None
    new = {"news": "the vans go again"}
    update = go(stage, told, stage="update", series="S-1", facts=new)
    pass_until(stage, MORNING)
    assert outcomes(stage, update) == {("sent", "email+in_app", "allowed"): 2}


def test_whoever_is_merged_overnight_into_somebody_who_said_no_gets_nothing_more(stage):
    [kept] = people(stage, 1, first=7)
    say(stage, [kept], "denied", at=stage.clock.now - timedelta(days=1))
    [one] = people(stage, 1)
    run_id = go(stage, campaign(channels=BOTH, audience={"attribute": "first_name", "is": "Name0"}))
    merge(stage, kept, one)
    pass_until(stage, MORNING)
    assert went(stage) == [("in_app", "u0")]
    assert outcome(stage, run_id) == {kept: "sent"}
    audit_moved(stage, run_id)


def test_whoever_is_merged_overnight_into_somebody_else_goes_on_as_that_person(stage):
    """At their address, by the channel that is left, and not once more by the first."""
    [kept] = people(stage, 1, first=7, zone="Asia/Tokyo")
    [one] = people(stage, 1)
    run_id = go(stage, campaign(channels=BOTH, audience={"attribute": "first_name", "is": "Name0"}))
    assert went(stage) == [("in_app", "u0")]
    merge(stage, kept, one)
    pass_until(stage, MORNING)
    assert went(stage) == [("email", "u7@example.com"), ("in_app", "u0")]
    assert outcomes(stage, run_id) == {("sent", "email+in_app", "allowed"): 1}
    audit_moved(stage, run_id)


def test_a_place_that_somebody_took_was_sent_what_its_first_holder_was_sent(stage):
    """Also when the run is cancelled before the other channel's turn comes."""
    [kept] = people(stage, 1, first=7, zone="America/Los_Angeles")  # where morning comes later
    [one] = people(stage, 1)
    run_id = go(stage, campaign(channels=BOTH, audience={"attribute": "first_name", "is": "Name0"}))
    merge(stage, kept, one)
    pass_until(stage, MORNING - timedelta(hours=3))
    launching.cancel(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock.now)
    assert outcomes(stage, run_id) == {("sent", "in_app", "allowed"): 1}


@pytest.mark.parametrize("merged", [False, True])
def test_what_somebody_bought_overnight_counts_whoever_they_turn_out_to_be(stage, merged):
    [kept] = people(stage, 1, first=7)
    [one] = people(stage, 1)
    only = {"attribute": "first_name", "is": "Name0"}
    run_id = go(stage, campaign(channels=BOTH, holdout="1%", audience=only))
    stage.clock.now += timedelta(hours=1)
    happen(stage, one, "order.placed", order_id="o1", total={"amount": "9.00", "currency": "USD"})
    if merged:
        merge(stage, kept, one)
    pass_until(stage, MORNING)
    assert went(stage)[1] == ("in_app", "u0")
    with stage.database.reading() as session:
        found = results.results(session, campaign_run_id=run_id, now=stage.clock.now)
    assert [(x.name, x.people, x.buyers) for x in found.experiment.sides if x.people] == [
        ("treated", 1, 1)
    ]


def test_two_of_a_run_who_turn_out_to_be_one_overnight_get_one_of_what_is_left(stage):
    one, other = people(stage, 2)
    run_id = go(stage, campaign(channels=BOTH))
    merge(stage, one, other)
    pass_until(stage, MORNING)
    assert went(stage) == [("email", "u0@example.com"), ("in_app", "u0"), ("in_app", "u1")]
    assert outcomes(stage, run_id) == {
        ("sent", "email+in_app", "allowed"): 1,
        ("sent", "in_app", "allowed"): 1,
    }
    audit(stage, run_id)


def test_what_was_put_off_for_somebody_who_was_merged_meanwhile_goes_once(stage):
    one, other = people(stage, 2)
    stage.outbox.manner = later
    run_id = go(stage, notice(channels={"every": ["email"]}))
    merge(stage, one, other)
    stage.outbox.manner = lambda _: None
    pass_until(stage, MORNING)
    assert len(went(stage)) == 1
    assert outcome(stage, run_id)[one] == "sent"
    assert outcome(stage, run_id)[other] == "skipped"
    states = Counter(row.status for row in rows(stage, Message))
    assert states == {"handed_over": 1, "expired": 1}


def test_what_somebody_was_given_stays_when_they_turn_out_to_be_somebody_else(stage):
    """Else they would hear one wording in the app and the other by email."""
    arms = [
        {"name": "a", "share": "50%", "message": "purchase_offer"},
        {"name": "b", "share": "50%", "message": "spring_promotion"},
    ]
    experiment = {"arms": arms, "measure": {"event": "order.placed", "within": "7d"}}
    weights = {"a": 0.5, "b": 0.5}
    ids = people(stage, 12)
    by_arm = {arm("spring:arms", one, weights): one for one in ids}
    kept, one = by_arm["a"], by_arm["b"]
    name = f"Name{ids.index(one)}"
    wanted = campaign(
        channels=BOTH, audience={"attribute": "first_name", "is": name}, experiment=experiment
    )
    go(stage, wanted)
    merge(stage, kept, one)
    pass_until(stage, MORNING)
    assert [(sent.channel, sent.message) for sent in stage.sent] == [
        ("in_app", "spring_promotion"),
        ("email", "spring_promotion"),
    ]


def test_a_channel_that_was_given_up_while_another_waited_reached_nobody(stage):
    people(stage, 1)
    code = "429"
    stage.outbox.manner = lambda one: (
        refuses(one, code=code, fault=FaultClass.PERMANENT) if one.channel == "in_app" else None
    )
    run_id = go(stage, campaign(channels=BOTH))
    block(stage, ["u0@example.com"])
    pass_until(stage, MORNING)
    assert stage.sent == []
    assert outcomes(stage, run_id) == {("set_aside", "", f"refused:{code}"): 1}
    audit(stage, run_id)


def audit_moved(stage, run_id):
    """The same of one whose place another has taken: the message is on the record of the old one."""
    send(stage)
    assert {row.status for row in rows(stage, Message)}.isdisjoint({"queued", "sending"})
    ids = [one.message_id for one in stage.sent]
    assert len(ids) == len(set(ids))
