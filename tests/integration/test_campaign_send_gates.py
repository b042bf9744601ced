"""What a campaign must respect between the freeze and the send, and who is held out of it."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from signalpost.domain.gate import Cap
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import Message
from signalpost.services.intake import identity
from signalpost.testing import EPOCH, Stage
from tests.integration.campaign_engine import (
    audit,
    block,
    campaign,
    go,
    launched,
    notice,
    outcomes,
    pass_until,
    people,
    rows,
    say,
    send,
    sender,
    the_run,
)


@pytest.fixture
def stage(tmp_path):
    with Stage(folder=tmp_path) as opened:
        yield opened


def decided(stage, run_id):
    return {p.customer_id: p for p in rows(stage, CampaignPerson, campaign_run_id=run_id)}


def test_what_people_say_between_the_freeze_and_the_send_counts(stage):
    ids = people(stage, 5)
    run_id = launched(stage, campaign())
    block(stage, ["u0@example.com"])
    block(stage, ["u1@example.com"], scope="offers", reason="unsubscribe")
    say(stage, [ids[2]], "denied")
    stage.signal("promotion.redeemed", user_id="r", email="r@example.com", promotion_id="OTHER")
    send(stage)
    assert sorted(one.to for one in stage.sent) == ["u3@example.com", "u4@example.com"]
    reasons = {n: decided(stage, run_id)[ids[n]].reason for n in range(3)}
    assert reasons == {0: "suppressed_stop", 1: "suppressed_unsubscribe", 2: "consent_denied"}
    audit(stage, run_id)


def test_who_has_redeemed_the_offer_is_not_offered_it(stage):
    stage.signal(
        "profile.updated",
        user_id="ann",
        email="ann@example.com",
        traits={"timezone": "UTC", "marketing_consent": True},
    )
    people(stage, 1)
    run_id = launched(stage, campaign())
    stage.signal("promotion.redeemed", user_id="ann", promotion_id="SPRING-26", code="LARK15")
    send(stage)
    assert [one.to for one in stage.sent] == ["u0@example.com"]
    assert outcomes(stage, run_id)["skipped", "", "already_redeemed"] == 1
    audit(stage, run_id)


def test_who_is_held_out_is_the_same_in_every_run_and_passed_the_same_gates(stage):
    ids = people(stage, 200)
    people(stage, 50, first=200, consent=False)
    wanted = campaign(
        holdout="20%", message="win_back", facts={}, caps=["9 per 1d"], promotion=OFFER
    )
    first, second = go(stage, wanted), None
    held = {c for c, p in decided(stage, first).items() if p.outcome == "held_out"}
    assert 15 <= len(held) <= 70
    assert held <= set(ids)  # without consent nobody is a ghost
    assert {decided(stage, first)[c].reason for c in held} == {"campaign"}
    stage.clock.now += timedelta(days=120)
    second = go(stage, wanted)
    again = {c for c, p in decided(stage, second).items() if p.outcome == "held_out"}
    assert again == held
    written = {m.customer_id for m in rows(stage, Message)}
    assert written.isdisjoint(held)
    audit(stage, first)
    audit(stage, second)


OFFER = {
    "id": "SPRING-26",
    "code": "LARK15",
    "ends": "2027-05-31 23:59",
    "zone": "UTC",
    "facts": {"percent": 15},
}


def test_arms_get_their_own_words_and_the_control_nothing(stage):
    people(stage, 120)
    arms = [
        {"name": "offer", "share": "40%", "message": "purchase_offer"},
        {"name": "spring", "share": "40%", "message": "spring_promotion"},
        {"name": "none", "share": "20%", "control": True},
    ]
    run_id = go(stage, campaign(experiment={"arms": arms}))
    by_arm = Counter((p.arm, p.outcome, p.reason) for p in decided(stage, run_id).values())
    assert set(by_arm) == {
        ("offer", "sent", "allowed"),
        ("spring", "sent", "allowed"),
        ("none", "held_out", "control"),
    }
    arm_of = {p.customer_id: p.arm for p in decided(stage, run_id).values()}
    words = {(arm_of[m.customer_id], m.message) for m in rows(stage, Message)}
    assert words == {("offer", "purchase_offer"), ("spring", "spring_promotion")}
    audit(stage, run_id)


def in_thread(stage):
    thread = threading.Thread(target=lambda: asyncio.run(sender(stage.desk)))
    thread.start()
    return thread


def test_two_campaigns_at_once_never_exceed_the_cap(tmp_path, database_url):
    """Two senders, each with its campaign to the same people, and one message a day is allowed."""
    policy = {"caps": (Cap(1, timedelta(days=1)),)}
    with Stage(folder=tmp_path, database_url=database_url) as stage:
        stage.desk = replace(stage.desk, policy=replace(stage.desk.policy, **policy))
        people(stage, 1_500)
        run_ids = [
            launched(stage, campaign(name="north")),
            launched(stage, campaign(name="south", message="spring_promotion")),
        ]
        threads = [in_thread(stage), in_thread(stage)]
        for thread in threads:
            thread.join(120)
        per_person = Counter(one.to for one in stage.sent)
        assert len(per_person) == 1_500
        assert set(per_person.values()) == {1}
        both = Counter()
        for run_id in run_ids:
            both.update(outcomes(stage, run_id))
            assert the_run(stage, run_id).status == "done"
            audit(stage, run_id)
        assert both == {
            ("sent", "email", "allowed"): 1_500,
            ("skipped", "", "frequency_cap"): 1_500,
        }


def test_offers_wait_while_an_incident_lasts_and_go_after_the_all_clear(stage):
    people(stage, 3)
    stages = [
        {"name": "first", "message": "service_notice", "opens": True},
        {"name": "all-clear", "message": "service_all_clear", "closes": True},
    ]
    told = {"what": "x", "since": "2026-03-02T06:00:00Z", "reference": "S"}
    over = {**told, "apology": "Sorry.", "resolved_at": "2026-03-02T12:00:00Z"}
    incident = notice(
        message=None, stages=stages, holds_back_marketing=True, facts={}, asks=sorted(over),
        channels={"every": ["email"]},
    )  # fmt: skip
    go(stage, incident, stage="first", series="S-1", facts=told)
    offer = go(stage, campaign())
    assert Counter(one.message for one in stage.sent) == {"service_notice": 3}
    assert {p.verdicts[0]["reason"] for p in decided(stage, offer).values()} == {"incident"}
    pass_until(stage, stage.clock.now + timedelta(hours=2))
    assert len(stage.sent) == 3
    go(stage, incident, stage="all-clear", series="S-1", facts=over)
    pass_until(stage, stage.clock.now + timedelta(hours=1))
    assert Counter(one.message for one in stage.sent) == {
        "service_notice": 3,
        "service_all_clear": 3,
        "purchase_offer": 3,
    }
    audit(stage, offer)


def merge(stage, kept, merged):
    with stage.database.writing() as session:
        identity.merge(session, kept=kept, merged=merged, reason="operator", now=stage.clock.now)


def test_two_customers_who_turn_out_to_be_one_get_one_message(stage):
    one, other, _ = people(stage, 3)
    run_id = launched(stage, campaign())
    merge(stage, one, other)
    send(stage)
    assert sorted(s.to for s in stage.sent) == ["u0@example.com", "u2@example.com"]
    merged = decided(stage, run_id)[other]
    assert (merged.outcome, merged.reason, the_run(stage, run_id).status) == (
        "skipped",
        "merged",
        "done",
    )
    audit(stage, run_id)
    assert stage.clock.now >= EPOCH


def test_whoever_is_merged_into_somebody_outside_of_the_run_gets_their_message_all_the_same(stage):
    [one] = people(stage, 1)
    run_id = launched(stage, campaign())
    [late] = people(stage, 1, first=7)
    merge(stage, late, one)
    send(stage)
    assert [s.to for s in stage.sent] == ["u7@example.com"]
    assert list(decided(stage, run_id)) == [late]
    audit(stage, run_id)
