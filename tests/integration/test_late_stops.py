"""Invariant I4 at its narrowest: a STOP that comes when the message is already on its way to leave."""

import asyncio
import sys

import pytest

from flows import JOURNEYS
from signalpost.domain.delivery import withheld
from signalpost.record.messages import Delivery, Message
from signalpost.testing import Stage
from tests.integration import campaign_engine as engine
from tests.integration.campaign_engine import audit, campaign, outcomes, people
from tests.integration.promises_harness import ALERT, BO, explained, rows

#: The module itself: the package names its function the same.
TRANSACTION = "signalpost.services.protocol.transaction"


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


@pytest.fixture
def once_intended(monkeypatch):
    """Have something happen between the first intents that are committed and their request."""

    def happens(deed):
        left = [deed]

        def reach(place):
            if place == "send.intended" and left:
                left.pop()()

        monkeypatch.setattr(sys.modules[TRANSACTION], "reach", reach)

    return happens


def attempts(stage):
    return {(one.status, one.code) for one in rows(stage, Delivery)}


def test_a_stop_between_intent_and_request_is_kept_and_the_next_channel_says_it(
    stage, once_intended
):
    once_intended(lambda: stage.reply(BO["phone"], "STOP"))
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()
    assert sorted(stage.messages()) == [("pickup_ready", "email"), ("pickup_ready", "in_app")]
    [text] = [one for one in rows(stage, Message) if one.channel == "sms"]
    assert (text.status, text.reason) == ("expired", "suppressed_stop")
    assert ("retry", "stopped") in attempts(stage)
    assert ("skip", "suppressed_stop") in explained(stage, "gate")


def test_an_alert_is_still_said_on_the_channel_that_is_left(stage, once_intended):
    once_intended(lambda: stage.reply(ALERT["phone"], "STOP"))
    stage.signal(**ALERT)
    stage.run_due()
    assert ("fraud_alert", "email") in stage.messages()
    assert ("fraud_alert", "sms") not in stage.messages()


def test_an_unsubscription_of_one_costs_the_others_of_the_batch_nothing(stage, once_intended):
    people(stage, 4)
    once_intended(
        lambda: engine.block(stage, ["u1@example.com"], scope="marketing", reason="unsubscribe")
    )
    run_id = engine.go(stage, campaign())
    assert sorted(one.to for one in stage.sent) == [f"u{n}@example.com" for n in (0, 2, 3)]
    assert outcomes(stage, run_id) == {
        ("sent", "email", "allowed"): 3,
        ("skipped", "", "suppressed_unsubscribe"): 1,
    }
    audit(stage, run_id)


def test_a_no_to_something_else_holds_nothing_up(stage, once_intended):
    people(stage, 2)
    once_intended(
        lambda: engine.block(stage, ["u1@example.com"], scope="news", reason="unsubscribe")
    )
    run_id = engine.go(stage, campaign())
    assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 2}


def test_who_waits_for_the_turn_of_a_text_can_still_say_stop(stage):
    """A batch of texts goes at the provider's pace: the record is looked at all the while."""
    waited = []

    async def slowly(letter, batch):
        [one] = batch
        if letter.channel != "sms":
            return await at_once(letter, batch)
        stage.reply(one.address, "STOP")
        async with asyncio.timeout(20):
            while not letter.kept_back([one.delivery_id]):
                await asyncio.sleep(0.02)
        waited.append(one.address)
        return [withheld("outbox")]

    at_once, stage.outbox.hand_over = stage.outbox.hand_over, slowly
    stage.signal("order.ready_for_pickup", **BO, order_id="1")
    stage.run_due()
    assert waited == [BO["phone"]]
    assert sorted(stage.messages()) == [("pickup_ready", "email"), ("pickup_ready", "in_app")]
    assert ("retry", "stopped") in attempts(stage)
