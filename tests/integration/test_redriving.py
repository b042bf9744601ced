"""What gave up: one list of it, and another try by whoever says that the cause is gone."""

import asyncio

import pytest
from sqlmodel import col, select

from flows import JOURNEYS
from signalpost.domain.delivery import Handover, HookOutcome
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import audit
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.cases import HookCall
from signalpost.record.customers import Customer
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Message
from signalpost.services.redriving.acting import redrive
from signalpost.services.redriving.waiting import waiting
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    adds_up,
    launched,
    notice,
    outcomes,
    people,
    send,
    the_run,
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def listed(stage):
    with stage.database.reading() as session:
        return waiting(session)


def again(stage, *ids, **options):
    return asyncio.run(redrive(stage.desk, ids=ids, actor="cli:ann", now=stage.clock(), **options))


def log(stage):
    with stage.database.reading() as session:
        entries = session.exec(select(audit.AuditEntry)).all()
    return [(e.actor, e.subject) for e in entries if e.action == "redrive"]


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def refused(one):
    return Handover(status=DeliveryStatus.RETRY, provider="outbox",
        fault=FaultClass.TRANSIENT, code="429",
    )  # fmt: skip


def test_people_of_a_campaign_who_were_given_up_get_it_once_when_redriven(stage):
    """The run was done; it goes on for them, and its counts are right at every moment."""
    people(stage, 5)
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    bad = "u3@example.com"
    stage.outbox.manner = lambda one: refused(one) if one.address == bad else None
    while the_run(stage, run_id).status == "running":
        send(stage)
        stage.clock.now += stage.desk.lease * 100
    assert outcomes(stage, run_id)["set_aside", "email", "provider_refuses:429"] == 1
    [one] = listed(stage)
    assert (one.kind, one.name, one.reason) == ("campaign", "notice", "provider_refuses:429")
    stage.outbox.manner = lambda one: None
    done = again(stage, one.id)
    assert (done.campaign_people, done.not_done) == (1, [])
    adds_up(stage, run_id)
    send(stage)
    assert sorted(s.to for s in stage.sent) == [f"u{n}@example.com" for n in range(5)]
    assert the_run(stage, run_id).status == "done"
    assert {p.outcome for p in rows(stage, CampaignPerson)} == {"sent"}
    adds_up(stage, run_id)
    assert log(stage) == [("cli:ann", f"campaign_run:{run_id}")]
    assert listed(stage) == []


def test_people_whose_words_could_not_be_made_are_redriven_by_campaign_and_reason(stage):
    personal = {
        "what": "deliveries in Leeds", "since": "2026-03-02T06:00:00Z",
        "reference": {"attribute": "reference"},
    }  # fmt: skip
    ids = people(stage, 3)
    run_id = launched(stage, notice(channels={"every": ["email"]}, facts=personal))
    send(stage)
    assert {p.outcome for p in rows(stage, CampaignPerson)} == {"set_aside"}
    reason = listed(stage)[0].reason
    assert again(stage, name="notice", reason="something_else").campaign_people == 0
    with stage.database.writing() as session:
        for one in session.exec(select(Customer).where(col(Customer.id).in_(ids))):
            one.attributes = {**one.attributes, "reference": "S-1"}
    assert again(stage, name="notice", reason=reason.partition(":")[0]).campaign_people == 3
    adds_up(stage, run_id)
    send(stage)
    assert len(stage.sent) == 3
    assert {p.outcome for p in rows(stage, CampaignPerson)} == {"sent"}


def test_a_call_that_failed_is_made_once_more_under_its_own_id(stage):
    stage.hooks.outcomes = [HookOutcome(status="failed", detail="answered 500")] * 2
    stage.signal(
        "fraud.signalled", user_id="bo", phone="+12065550101", transaction_id="T", merchant="M",
        amount="5", currency="USD", occurred_at=stage.clock().isoformat(),
    )  # fmt: skip
    stage.run_due()
    stage.reply("+12065550101", "NO")
    stage.run_for(minutes=1)
    failed = [one for one in listed(stage) if one.kind == "hook"]
    assert failed, [c.status for c in rows(stage, HookCall)]
    [one] = failed
    assert "answered 500" in again(stage, one.id).in_words
    assert again(stage, one.id).hooks == 1
    assert {c.status for c in rows(stage, HookCall)} == {"done"}
    assert len({call_id for _, call_id, _ in stage.hooks.calls}) == 1
    assert [entry for entry in log(stage) if entry[1] == f"hook:{one.id}"] != []


def test_people_of_a_journey_are_redriven_by_journey_and_reason(stage):
    stage.outbox.manner = refused
    for number in range(3):
        stage.signal("order.ready_for_pickup", user_id=f"u{number}", order_id=str(number))
    stage.run_for(hours=4)
    aside = [one for one in listed(stage) if one.kind == "person"]
    assert {one.reason for one in aside} == {"provider_refuses:429"}
    stage.outbox.manner = lambda one: None
    done = again(stage, name="pickup-follow-up", reason="provider_refuses")
    assert done.in_words == "Tried again: 3 people of journeys."
    stage.run_due()
    assert {e.status for e in rows(stage, Enrolment)} == {"waiting"}
    assert "failed" not in {m.status for m in rows(stage, Message)}


def test_an_id_of_nothing_and_a_name_of_nothing_are_said_to_be_so(stage):
    assert "has the id nothing" in again(stage, "nothing").in_words
    with pytest.raises(NotFoundError, match="no journey and no campaign called 'x'"):
        again(stage, name="x")
    with pytest.raises(BadInputError):
        again(stage)
