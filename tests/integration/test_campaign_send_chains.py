"""Chains of channels: each chain reaches a person once, by the first of its channels that takes it."""

from datetime import timedelta

import pytest
from sqlmodel import delete

from signalpost.record.campaigns import CampaignPerson
from signalpost.record.customers import ContactPoint
from signalpost.record.messages import Message
from signalpost.services.campaigns.plan import make_plan
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import EPOCH, Stage
from tests.integration.campaign_engine import (
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
    the_run,
)

FIRST = {"channels": {"first": ["sms", "email"]}}


@pytest.fixture
def stage(tmp_path):
    with Stage(folder=tmp_path) as opened:
        yield opened


def sent(stage):
    return sorted((one.channel, one.to) for one in stage.sent)


def test_every_channel_gets_its_own_message_once(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as stage:
        people(stage, 2)
        run_id = go(stage, campaign(channels={"every": ["email", "in_app"]}))
        assert sent(stage) == [
            ("email", "u0@example.com"),
            ("email", "u1@example.com"),
            ("in_app", "u0"),
            ("in_app", "u1"),
        ]
        assert outcomes(stage, run_id) == {("sent", "email+in_app", "allowed"): 2}
        audit(stage, run_id)


def test_the_second_channel_is_used_when_the_gate_forbids_the_first(stage):
    people(stage, 2)
    block(stage, ["+12065500001"], channel="sms")
    run_id = go(stage, notice(**FIRST))
    assert sent(stage) == [("email", "u1@example.com"), ("sms", "+12065500000")]
    assert outcomes(stage, run_id) == {
        ("sent", "email", "allowed"): 1,
        ("sent", "sms", "allowed"): 1,
    }
    [other] = [p for p in rows(stage, CampaignPerson) if p.verdicts]
    assert other.verdicts[0]["reason"] == "suppressed_stop"
    audit(stage, run_id)


def test_that_somebody_has_no_number_is_no_reason_when_the_gate_forbids_the_email(
    stage,
):
    """Else a marketer would go and look for numbers; the plan says the same."""
    people(stage, 2)
    with stage.database.writing() as session:
        session.execute(delete(ContactPoint).where(ContactPoint.channel == "sms"))
    block(stage, ["u0@example.com", "u1@example.com"])
    plan = make_plan(stage.desk, launch=Launch(campaign=notice(**FIRST)), now=stage.clock.now)
    assert [(one["reason"], one["people"]) for one in plan.excluded] == [("suppressed_stop", 2)]
    run_id = go(stage, notice(**FIRST))
    assert outcomes(stage, run_id) == {("skipped", "", "suppressed_stop"): 2}
    [one, _] = rows(stage, CampaignPerson)
    assert [v["reason"] for v in one.verdicts] == ["no_contact_point", "suppressed_stop"]


def test_the_second_channel_is_used_when_the_provider_refuses_the_first(stage):
    people(stage, 3)
    stage.outbox.manner = lambda one: refuses(one) if one.address == "+12065500001" else None
    run_id = go(stage, notice(**FIRST))
    assert sent(stage) == [
        ("email", "u1@example.com"),
        ("sms", "+12065500000"),
        ("sms", "+12065500002"),
    ]
    assert outcomes(stage, run_id) == {
        ("sent", "email", "allowed"): 1,
        ("sent", "sms", "allowed"): 2,
    }
    by = {row.idempotency_key.split(":")[-1] for row in rows(stage, Message)}
    assert by == {"sms", "email"}
    audit(stage, run_id)


def test_whom_every_channel_refuses_is_set_aside_with_the_refusal(stage):
    people(stage, 1)
    stage.outbox.manner = refuses
    run_id = go(stage, notice(**FIRST))
    assert stage.sent == []
    assert outcomes(stage, run_id) == {("set_aside", "", "refused:21610"): 1}
    assert the_run(stage, run_id).status == "done"
    assert [m.status for m in rows(stage, Message)] == ["rejected", "rejected"]
    audit(stage, run_id)


def test_who_says_stop_while_a_text_was_put_off_gets_the_email(stage):
    people(stage, 1)
    stage.outbox.manner = later
    run_id = go(stage, notice(**FIRST))
    block(stage, ["+12065500000"], channel="sms")
    stage.outbox.manner = lambda one: None
    pass_until(stage, stage.clock.now + timedelta(hours=1))
    assert sent(stage) == [("email", "u0@example.com")]
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 1}
    assert sorted(m.status for m in rows(stage, Message)) == ["expired", "handed_over"]
    audit(stage, run_id)


def test_one_channel_that_is_refused_takes_nothing_from_whom_another_reached(stage):
    people(stage, 1)
    stage.outbox.manner = lambda one: refuses(one, code="550") if one.channel == "email" else None
    run_id = go(stage, campaign(channels={"every": ["email", "in_app"]}))
    assert sent(stage) == [("in_app", "u0")]
    assert outcomes(stage, run_id) == {("sent", "in_app", "allowed"): 1}
    assert sorted(m.status for m in rows(stage, Message)) == ["delivered", "rejected"]
    audit(stage, run_id)


def test_one_channel_that_is_put_off_comes_later_and_the_other_only_once(stage):
    people(stage, 2)
    stage.outbox.manner = lambda one: later(one) if one.channel == "email" else None
    run_id = go(stage, campaign(channels={"every": ["email", "in_app"]}))
    assert sent(stage) == [("in_app", "u0"), ("in_app", "u1")]
    stage.outbox.manner = lambda one: None
    pass_until(stage, stage.clock.now + timedelta(hours=1))
    assert len(stage.sent) == 4
    assert outcomes(stage, run_id) == {("sent", "email+in_app", "allowed"): 2}  # by both rounds
    audit(stage, run_id)


def test_the_customers_own_channel_goes_first(stage):
    people(stage, 1, preferred_channel="email")
    people(stage, 1, first=1)
    people(stage, 1, first=2, preferred_channel="pigeon")
    run_id = go(stage, notice(channels={"first": ["sms", "email"], "preferred": True}))
    assert sent(stage) == [
        ("email", "u0@example.com"),
        ("sms", "+12065500001"),
        ("sms", "+12065500002"),
    ]
    audit(stage, run_id)


def test_what_may_come_now_comes_now_and_what_has_to_wait_comes_in_the_morning(
    tmp_path, database_url
):
    night = EPOCH.replace(hour=23)
    with Stage(folder=tmp_path, database_url=database_url, start=night) as stage:
        people(stage, 3)
        run_id = go(stage, campaign(channels={"every": ["in_app", "email"]}))
        assert {one.channel for one in stage.sent} == {"in_app"}
        assert outcomes(stage, run_id) == {}
        audit(stage, run_id)
        morning = night.replace(hour=8) + timedelta(days=1)
        pass_until(stage, morning + timedelta(hours=1))
        emails = [one for one in stage.sent if one.channel == "email"]
        assert len(stage.sent) == 6
        assert all(morning <= one.at <= morning + timedelta(minutes=30) for one in emails)
        assert sum(outcomes(stage, run_id).values()) == 3
        assert the_run(stage, run_id).status == "done"
        audit(stage, run_id)


def test_a_refusal_now_takes_nothing_from_what_comes_in_the_morning(tmp_path):
    night = EPOCH.replace(hour=23)
    with Stage(folder=tmp_path, start=night) as stage:
        people(stage, 1)
        stage.outbox.manner = lambda one: refuses(one) if one.channel == "in_app" else None
        run_id = go(stage, campaign(channels={"every": ["in_app", "email"]}))
        pass_until(stage, night + timedelta(hours=12))
        assert sent(stage) == [("email", "u0@example.com")]
        assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 1}
        audit(stage, run_id)


def test_a_channel_without_consent_is_passed_over_for_one_with(stage):
    ids = people(stage, 2, consent=False)
    say(stage, ids, "granted", channel="email")
    wanted = campaign(message="early_bird", facts={"product": "Harbour jacket"}, **FIRST)
    run_id = go(stage, wanted)
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 2}
    send(stage)
    audit(stage, run_id)
