"""An alert does not wait for an account to be mended when another channel takes it at once."""

from datetime import timedelta

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass
from signalpost.record.messages import Message
from signalpost.testing import Stage

PHONE = {"user_id": "bo", "phone": "+12065550101"}
BOTH = {**PHONE, "email": "bo@example.com"}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def refuse_texts(stage, status, fault):
    stage.outbox.manner = lambda one: (
        Handover(status=status, provider="outbox", fault=fault, code="20003")
        if one.channel is Channel.SMS
        else None
    )


def alarm(stage, who):
    stage.signal(
        "fraud.signalled", **who, transaction_id="T", merchant="M", amount="5", currency="USD",
        occurred_at=stage.clock().isoformat(),
    )  # fmt: skip
    stage.run_due()


def alerts(stage):
    with stage.database.reading() as session:
        found = session.exec(select(Message).where(Message.message == "fraud_alert"))
        return {one.channel: one.status for one in found}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (DeliveryStatus.REJECTED, FaultClass.OURS),
        (DeliveryStatus.RETRY, FaultClass.TRANSIENT),
    ],
)
def test_an_alert_that_texts_surely_do_not_carry_now_goes_by_email_at_once(stage, status, fault):
    refuse_texts(stage, status, fault)
    alarm(stage, BOTH)
    assert alerts(stage) == {"sms": "failed", "email": "handed_over", "in_app": "delivered"}
    stage.outbox.manner = lambda one: None
    stage.run_for(minutes=5)
    assert [one.channel for one in stage.sent if one.message == "fraud_alert"].count("sms") == 0


def test_without_another_channel_it_waits_for_its_own_and_goes_when_that_is_mended(stage):
    refuse_texts(stage, DeliveryStatus.REJECTED, FaultClass.OURS)
    alarm(stage, PHONE)
    assert alerts(stage)["sms"] == "queued"
    stage.outbox.manner = lambda one: None
    stage.run_for(timedelta(seconds=30))
    assert alerts(stage)["sms"] == "handed_over"


def test_what_is_no_alert_waits_for_its_channel(stage):
    refuse_texts(stage, DeliveryStatus.REJECTED, FaultClass.OURS)
    stage.signal("order.ready_for_pickup", **BOTH, order_id="7", store="Harbour")
    stage.run_due()
    assert not [one for one in stage.sent if one.channel == "email"]
