"""Accepted means kept, and never twice: what only interference shows.

Two workers at one person, a commit that fails, a receipt that comes too soon: each test here goes red
when the line of code that keeps the promise is taken out.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from flows import JOURNEYS
from signalpost.domain.delivery import Handover, Inbound, Receipt
from signalpost.domain.journey import SMS, Call, ExitOn, Journey, Wait
from signalpost.domain.vocabulary import DeliveryStatus, Lane, ReceiptKind
from signalpost.record import questions
from signalpost.record.cases import CaseEntry, HookCall
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import Answer, Question
from signalpost.services.inbound import answers, receipts, replies
from signalpost.services.journeys.advance import Direct
from signalpost.services.journeys.claims import claim_due
from signalpost.testing import Stage
from tests.integration.front_harness import open_front
from tests.integration.promises_harness import ALERT, BO, rows, work
from tests.killed import Killed


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


# -- accepted means kept -----------------------------------------------------------------------


def test_a_signal_whose_commit_fails_is_not_answered_2xx(tmp_path):
    """The disk says no at the very last moment: the sender hears of it and sends again."""
    with open_front(tmp_path) as front:
        with front.stage.database.writing() as session:
            session.execute(text("CREATE TABLE owed (id TEXT PRIMARY KEY)"))
            session.execute(
                text(
                    "CREATE TABLE owes (id TEXT REFERENCES owed (id) DEFERRABLE INITIALLY DEFERRED)"
                )
            )
            session.execute(
                text(
                    "CREATE TRIGGER fails_at_commit AFTER INSERT ON events "
                    "BEGIN INSERT INTO owes VALUES (new.id); END"
                )
            )
        event = {"type": "track", "event": "Order Completed", "userId": "bo", "messageId": "m1"}
        refused = front.batch(event)
        assert refused.status_code >= 500
        with front.stage.database.writing() as session:
            session.execute(text("DROP TRIGGER fails_at_commit"))
        assert front.batch(event).status_code == 200


# -- never twice: the fence --------------------------------------------------------------------


class Paused(Direct):
    """A worker that is stopped just before one of its units, while something else happens."""

    def __init__(self, stage: Stage, unit: str, meanwhile: Callable[[], Any]) -> None:
        super().__init__(stage.desk)
        go_on = getattr(self, unit)

        async def after_a_pause(group):
            setattr(self, unit, go_on)
            await asyncio.to_thread(meanwhile)
            return await go_on(group)

        setattr(self, unit, after_a_pause)


@pytest.mark.parametrize("unit", ["decide", "deliver", "move"])
def test_a_worker_that_slept_through_an_exit_changes_nothing(stage, unit):
    """The order is cancelled while the worker is stopped: it sends nothing more and revives nobody."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())

    def cancel():
        stage.signal("order.cancelled", user_id="bo", order_id="1")

    work(stage, claim.id, Paused(stage, unit, cancel))
    assert stage.messages() == (
        [("pickup_ready", "sms"), ("pickup_ready", "in_app")] if unit == "move" else []
    )
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("exited", "order.cancelled")
    if unit == "decide":  # nothing was promised to them either
        assert rows(stage, Message) == []


@pytest.mark.parametrize("unit", ["decide", "deliver", "move"])
def test_a_worker_that_slept_past_its_lease_leaves_everything_to_its_successor(stage, unit):
    """Invariant I2, fault F24: both come to the same message, and the customer gets it once."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())

    def overtake():
        stage.clock.now += stage.desk.lease + timedelta(seconds=1)
        [second] = claim_due(stage.desk, lane="service", now=stage.clock())
        work(stage, second.id)
        stage.signal("order.picked_up", user_id="bo", order_id="1")  # they have moved on since

    work(stage, claim.id, Paused(stage, unit, overtake))
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    assert {d.attempt for d in rows(stage, Delivery)} == {1}
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.claim_id) == ("active", None)


BLOCKING = Journey(
    name="blocking",
    lane=Lane.RISK,
    starts_on="card.reported",
    key="order_id",
    exits_on=[ExitOn("card.found")],
    steps=[Call("block_card"), Wait(days=1)],
)


def test_no_card_is_blocked_for_somebody_who_left_while_the_worker_was_stopped(
    tmp_path, database_url
):
    with Stage(folder=tmp_path, journeys=[BLOCKING], database_url=database_url) as stage:
        stage.signal("card.reported", **BO, order_id="1")
        [claim] = claim_due(stage.desk, lane="risk", now=stage.clock())

        def find():
            stage.signal("card.found", user_id="bo", order_id="1")

        work(stage, claim.id, Paused(stage, "deliver", find))
        assert stage.hooks.calls == []


def test_a_worker_that_dies_after_a_call_was_made_has_it_made_once(tmp_path, database_url):
    """The call is settled, the move is not: the next worker goes on without calling again."""

    def die():
        raise Killed

    with Stage(folder=tmp_path, journeys=[BLOCKING], database_url=database_url) as stage:
        stage.signal("card.reported", **BO, order_id="1")
        [claim] = claim_due(stage.desk, lane="risk", now=stage.clock())
        with pytest.raises(Killed):
            work(stage, claim.id, Paused(stage, "move", die))
        stage.run_for(minutes=10)
        assert len(stage.hooks.calls) == 1
        [call] = rows(stage, HookCall)
        assert (call.status, call.attempts) == ("done", 1)
        [enrolment] = rows(stage, Enrolment)
        assert (enrolment.status, enrolment.wait_for) == ("waiting", "time")


def test_a_provider_that_raises_leaves_unknown_and_is_not_asked_again(stage):
    """An adapter's own mistake may come after the bytes left: nobody knows, so nothing is re-sent."""

    def breaks(one):
        raise RuntimeError(f"no route to {one.address}")

    stage.outbox.manner = breaks
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(hours=5)
    assert stage.sent == []
    assert [d.status for d in rows(stage, Delivery)] == ["unknown", "unknown"]
    assert {m.status for m in rows(stage, Message)} == {"unknown"}


def test_a_message_that_a_provider_passes_over_in_silence_is_unknown(stage):
    """It answered for others and not for this one: no answer is no refusal, and nothing is re-sent."""
    hand_over = stage.outbox.hand_over

    async def forgetful(letter, batch):
        answers = await hand_over(letter, batch)
        return [] if letter.channel is SMS else answers

    stage.outbox.hand_over = forgetful
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_for(hours=5)
    assert sorted(stage.messages()) == [("pickup_ready", "in_app"), ("pickup_ready", "sms")]
    statuses = {m.channel: m.status for m in rows(stage, Message)}
    assert statuses == {"sms": "unknown", "in_app": "delivered"}


@pytest.mark.parametrize("answer", [DeliveryStatus.ACCEPTED, DeliveryStatus.UNKNOWN])
def test_a_receipt_that_overtakes_the_providers_answer_stands(stage, answer):
    """Invariant I8: it was delivered before our own call returned, whatever that call then said."""

    def overtaken(one):
        receipt = Receipt(
            provider="outbox",
            kind=ReceiptKind.DELIVERED,
            at=stage.clock(),
            keys=(f"delivered:{one.message_id}",),
            message_id=one.message_id,
            provider_id="early",
        )
        with stage.database.writing() as session:
            receipts.record(session, given=[receipt], now=stage.clock())
        return Handover(status=answer, provider="outbox")

    stage.outbox.manner = overtaken
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()
    assert {m.status for m in rows(stage, Message)} == {"delivered"}
    assert {(d.status, d.provider_id) for d in rows(stage, Delivery)} == {("accepted", "early")}


@pytest.mark.parametrize(("unit", "left"), [("settle", "unknown"), ("render", "expired")])
def test_a_text_that_is_confirmed_late_ends_its_chain_wherever_the_next_channel_stands(
    stage, unit, left
):
    """The email that was to go for it has lost its sender: it is given up, or it is not needed."""
    stage.outbox.manner = lambda one: (
        Handover(status=DeliveryStatus.UNKNOWN, provider="outbox") if one.channel == SMS else None
    )
    units = Direct(stage.desk)
    once = iter([getattr(units, unit)])

    async def dies_the_second_time(group: Any) -> Any:
        for first in once:
            return await first(group)
        raise Killed

    setattr(units, unit, dies_the_second_time)
    stage.signal(**ALERT)
    [claim] = claim_due(stage.desk, lane="risk", now=stage.clock())
    with pytest.raises(Killed):
        work(stage, claim.id, units)
    texted = next(m for m in rows(stage, Message) if m.channel == SMS)
    heard = Receipt(
        provider="outbox", kind=ReceiptKind.DELIVERED, at=stage.clock(), keys=("heard",),
        message_id=texted.id, provider_id="SM1",
    )  # fmt: skip
    with stage.database.writing() as session:
        receipts.record(session, given=[heard], now=stage.clock())
    stage.run_for(minutes=1)
    statuses = {m.channel: m.status for m in rows(stage, Message)}
    assert statuses == {"sms": "delivered", "in_app": "delivered", "email": left}
    assert [m for m in stage.messages() if m[1] == "email"] == (
        [("fraud_alert", "email")] if unit == "settle" else []
    )
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.claim_id) == ("waiting", None)


def test_what_a_dead_sender_had_on_its_way_is_given_up_though_the_step_is_not_needed_any_more(
    stage,
):
    """The order is picked up while the message that it is ready has lost its sender."""
    units = Direct(stage.desk)

    async def die(_group: Any) -> bool:
        raise Killed

    units.settle = die  # type: ignore[method-assign]
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    with pytest.raises(Killed):
        work(stage, claim.id, units)
    stage.signal("order.picked_up", **BO, order_id="1")
    stage.run_for(minutes=1)
    assert {m.status for m in rows(stage, Message)} == {"unknown"}


def test_a_reply_that_comes_twice_is_answered_once_and_shows_on_the_case_once(stage):
    """Twilio repeats a webhook that it believes to have failed (invariant I7)."""
    stage.signal(**ALERT)
    stage.run_due()
    inbound = Inbound(
        provider="outbox", provider_id="SM1", channel=SMS, sender=BO["phone"],
        recipient="+15005550006", body="maybe yes, maybe no?", at=stage.clock(),
    )  # fmt: skip
    answers = []
    for _ in range(2):
        with stage.database.writing() as session:
            took = replies.take(session, inbound=inbound, desk=stage.desk, now=stage.clock())
        answers.append(took.answer)
    assert answers[0]
    assert answers[1] is None
    assert [entry.what for entry in rows(stage, CaseEntry)] == ["opened", "note"]


@pytest.mark.parametrize("outcome", ["answered", "expired"])
def test_an_answer_that_was_on_its_way_when_the_question_closed_changes_nothing(stage, outcome):
    """Two doors saw the same open question; the second one comes too late, and overrides nothing."""
    stage.signal(**ALERT)
    stage.run_due()
    [question] = rows(stage, Question)
    with stage.database.writing() as session:
        if outcome == "answered":
            first_one = answer(stage, session, question.id, "no")
            assert (first_one.accepted, first_one.woke) == (True, True)
        else:
            questions.close(session, ids=[question.id], outcome=outcome, now=stage.clock())
    with stage.database.writing() as session:
        late = answer(stage, session, question.id, "yes")
    assert (late.accepted, late.woke) == (False, False)
    assert [one.value for one in rows(stage, Answer)] == ["no"] * (outcome == "answered")
    [question] = rows(stage, Question)
    assert question.outcome == outcome


def test_an_answer_after_the_journey_was_left_brings_nobody_back(stage):
    """The order was cancelled with the question still open: the score is kept, and starts nothing."""
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.signal("order.picked_up", user_id="bo", order_id="1")
    stage.run_for(days=2)
    assert ("pickup_csat", "sms") in stage.messages()
    before = len(stage.sent)
    stage.signal("order.cancelled", user_id="bo", order_id="1")
    stage.reply(BO["phone"], "5")
    stage.run_for(days=1)
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("exited", "order.cancelled")
    assert len(stage.sent) == before


def answer(stage, session, question_id, value):
    return answers.answer(
        session, question_id=question_id, value=value, channel="in_app", now=stage.clock()
    )
