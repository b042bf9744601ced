"""Resuming somebody who was set aside: they get what they were owed, and nobody gets it twice."""

from datetime import timedelta

import pytest
from sqlmodel import select

from signalpost.domain.delivery import Handover
from signalpost.domain.journey import (
    EMAIL,
    IN_APP,
    SMS,
    ExitOn,
    Journey,
    Send,
    WaitFor,
    days,
    every,
    first,
)
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, Lane
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.services.journeys import resuming
from signalpost.services.reading.why import why
from signalpost.testing import Stage

FRAGILE = Journey(
    name="fragile",
    lane=Lane.SERVICE,
    starts_on="order.ready_for_pickup",
    key="order_id",
    exits_on=[ExitOn("order.cancelled", reason="cancelled")],
    steps=[
        Send("pickup_ready", via=every(first(SMS, EMAIL), IN_APP)),
        WaitFor("order.picked_up", within=days(3), otherwise=[]),
    ],
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=[FRAGILE], database_url=database_url) as opened:
        yield opened


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def ready(stage, number, *, without=()):
    """An order is ready; the facts named in ``without`` got lost on the way."""
    stage.signal(
        "order.ready_for_pickup",
        user_id=f"u{number}",
        phone=f"+1206555010{number}",
        email=f"u{number}@mail.example",
        order_id=str(number),
        store="Harbour",
    )
    with stage.database.writing() as session:
        [theirs] = session.exec(select(Enrolment).where(Enrolment.key == str(number)))
        facts = {k: v for k, v in theirs.context["facts"].items() if k not in without}
        theirs.context = {**theirs.context, "facts": facts}
    return theirs.id


def resume(stage, enrolment_id, **facts):
    with stage.database.writing() as session:
        done = resuming.resume(session, enrolment_id=enrolment_id, now=stage.clock(), facts=facts)
    stage.run_due()
    return done


def got(stage):
    """Who got something (the number of their order), and by which channel."""
    orders = {one.id: one.key for one in rows(stage, Enrolment)}
    about = {one.id: orders[one.enrolment_id] for one in rows(stage, Message)}
    return sorted((about[one.message_id], one.channel) for one in stage.sent)


def status(stage, enrolment_id):
    return {one.id: one.status for one in rows(stage, Enrolment)}[enrolment_id]


def refuse_texts_to(stage, number, status, *, times=10**6, **more):
    """Have the provider answer so to a person's texts, a number of times."""
    left = [times]

    def manner(one):
        if one.channel is not Channel.SMS or one.address[-1] != str(number) or left[0] <= 0:
            return None
        left[0] -= 1
        return Handover(status=status, provider="outbox", **more)

    stage.outbox.manner = manner


def test_who_lacked_a_fact_gets_theirs_once_it_is_given_and_nobody_gets_anything_twice(stage):
    ready(stage, 1)
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    assert got(stage) == [("1", "in_app"), ("1", "sms")]
    assert status(stage, victim) == "set_aside"
    done = resume(stage, victim, store="Harbour")
    assert (done.journey, done.messages) == ("fragile", 2)
    assert got(stage) == [("1", "in_app"), ("1", "sms"), ("2", "in_app"), ("2", "sms")]
    assert {m.status for m in rows(stage, Message)} == {"handed_over", "delivered"}
    assert len(rows(stage, Message)) == 4  # the same messages, not new ones
    assert status(stage, victim) == "waiting"


def test_the_record_says_who_was_resumed_and_what_was_put_right(stage):
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    resume(stage, victim, store="Harbour")
    [resumed] = [d for d in rows(stage, DecisionRow) if d.outcome == "resumed"]
    assert (resumed.kind, resumed.reason) == ("step", "by_operator")
    assert resumed.detail == {"was": "missing_fact:store", "corrected": ["store"]}
    with stage.database.reading() as session:
        said = [one.says for one in why(session, customer_id=resumed.customer_id)]
    assert any(
        one.startswith("Resumed in fragile (send pickup_ready")
        and "an operator says that what stopped it is repaired" in one
        for one in said
    )


def test_who_is_resumed_with_nothing_repaired_is_set_aside_again_and_gets_nothing(stage):
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    resume(stage, victim)
    assert stage.sent == []
    assert status(stage, victim) == "set_aside"
    assert {m.status for m in rows(stage, Message)} == {"failed"}
    resume(stage, victim, store="Harbour")
    assert got(stage) == [("2", "in_app"), ("2", "sms")]


def test_only_the_channel_that_failed_is_sent_again(stage):
    """The provider put the text off six times; the in-app message had gone out long before."""
    refuse_texts_to(stage, 1, DeliveryStatus.RETRY, fault=FaultClass.TRANSIENT, code="429")
    victim = ready(stage, 1)
    stage.run_for(hours=6)
    assert status(stage, victim) == "set_aside"
    assert got(stage) == [("1", "in_app")]
    stage.outbox.manner = lambda _one: None
    assert resume(stage, victim).messages == 1
    assert got(stage) == [("1", "in_app"), ("1", "sms")]
    [text] = [m for m in rows(stage, Message) if m.channel == "sms"]
    attempts = sorted(
        (d.attempt, d.status) for d in rows(stage, Delivery) if d.message_id == text.id
    )
    assert attempts[-1] == (7, "accepted")
    assert {how for _, how in attempts[:-1]} == {"retry"}


def test_a_message_that_a_provider_had_is_not_sent_again(stage):
    """A receipt said that it failed; the provider had taken it, so it is not ours to repeat."""
    victim = ready(stage, 1)
    stage.run_due()
    with stage.database.writing() as session:
        [theirs] = session.exec(select(Enrolment))
        theirs.status, theirs.step, theirs.due_at = "set_aside", "0", None
        for message in session.exec(select(Message)):
            message.status = "failed"
    before = len([one for one in stage.sent if one.channel in ("sms", "in_app")])
    assert resume(stage, victim).messages == 0
    assert len([one for one in stage.sent if one.channel in ("sms", "in_app")]) == before


def test_a_person_set_aside_is_left_alone_while_another_ones_channel_is_changed(stage):
    """One round tries the email of somebody whose text was refused; it is not for the other one."""
    refuse_texts_to(stage, 1, DeliveryStatus.REJECTED, fault=FaultClass.PERMANENT, code="21211")
    ready(stage, 1)
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    assert got(stage) == [("1", "email"), ("1", "in_app")]
    assert {m.channel for m in rows(stage, Message) if m.enrolment_id == victim} == {
        "sms", "in_app",
    }  # fmt: skip
    resume(stage, victim, store="Harbour")
    assert got(stage)[2:] == [("2", "in_app"), ("2", "sms")]


def test_what_is_resumed_too_late_goes_by_the_gate(stage):
    """They wrote STOP while they were set aside."""
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    stage.reply("+12065550102", "STOP")
    resume(stage, victim, store="Harbour")
    assert ("2", "sms") not in got(stage)
    assert "suppressed_stop" in {d.reason for d in rows(stage, DecisionRow)}


def test_who_is_set_aside_still_leaves_when_the_reason_for_it_all_is_gone(stage):
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    stage.signal("order.cancelled", user_id="u2", order_id="2")
    assert status(stage, victim) == "exited"
    with pytest.raises(ConflictError, match="is exited, not set aside"):
        resume(stage, victim, store="Harbour")
    assert stage.sent == []


def test_an_address_that_changed_meanwhile_is_the_one_written_to_and_kept(stage):
    victim = ready(stage, 2, without=["store"])
    stage.run_due()
    stage.signal("customer.identified", user_id="u2", traits={"phone": "+12065550177"})
    resume(stage, victim, store="Harbour")
    [text] = [one for one in stage.sent if one.channel == "sms"]
    [kept] = [one for one in rows(stage, Message) if one.channel == "sms"]
    assert (text.to, kept.address) == ("+12065550177", "+12065550177")


def test_everybody_in_a_journey_is_resumed_at_once_and_only_there(stage, tmp_path):
    victims = [ready(stage, number, without=["store"]) for number in (1, 2, 3)]
    ready(stage, 4)
    stage.run_due()
    with stage.database.writing() as session:
        for one in session.exec(select(Enrolment)):
            one.context = {**one.context, "facts": {**one.context["facts"], "store": "Harbour"}}
    with pytest.raises(NotFoundError, match="'fragil'"):
        resuming.resume_all(stage.database, journey="fragil", now=stage.clock(), actor="cli:ann")
    assert (
        resuming.resume_all(stage.database, journey="fragile", now=stage.clock(), actor="cli:ann")
        == 3
    )
    assert (
        resuming.resume_all(stage.database, journey="fragile", now=stage.clock(), actor="cli:ann")
        == 0
    )
    stage.run_for(timedelta(minutes=1))
    assert {status(stage, victim) for victim in victims} == {"waiting"}
    assert got(stage) == [(number, how) for number in "1234" for how in ("in_app", "sms")]


def test_what_is_not_set_aside_or_not_there_is_not_resumed(stage):
    one = ready(stage, 1)
    with pytest.raises(ConflictError, match="is active, not set aside"):
        resume(stage, one)
    with pytest.raises(NotFoundError, match="no enrolment"):
        resume(stage, "0198c0de-0000-7000-8000-000000000000")
