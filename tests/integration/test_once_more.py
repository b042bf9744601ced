"""What was taken and did not arrive: one more attempt, if it is timely and still allowed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import Purpose, ReceiptKind
from signalpost.providers.twilio.faults import ONCE_MORE
from signalpost.record.messages import Delivery, Message
from signalpost.services.inbound import receipts
from signalpost.services.ways_out.once_more import OnceMore
from signalpost.testing import Stage

OURS = (Purpose.SECURITY, Purpose.TRANSACTIONAL)


@pytest.fixture
def stage(tmp_path, database_url):
    """A stage that goes by this machine's clock: receipts are found by the time in their ids."""
    with Stage(
        folder=tmp_path, journeys=JOURNEYS, database_url=database_url, start=datetime.now(UTC)
    ) as opened:
        yield opened


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def sms(stage):
    [one] = [m for m in rows(stage, Message) if m.channel == "sms"]
    return one


def attempts(stage):
    return [d.status for d in rows(stage, Delivery) if d.message_id == sms(stage).id]


def texted(stage, **more):
    stage.signal(
        "order.ready_for_pickup", user_id="bo", phone="+12065550101", order_id="7", store="Harbour",
        **more,
    )  # fmt: skip
    stage.run_due()
    return sms(stage).id


def alarmed(stage):
    stage.signal(
        "fraud.signalled", user_id="bo", phone="+12065550101", transaction_id="T", merchant="M",
        amount="5", currency="USD", occurred_at=stage.clock().isoformat(),
    )  # fmt: skip
    stage.run_due()
    return sms(stage).id


def undelivered(stage, message_id, code="30003", *, number=1):
    with stage.database.writing() as session:
        receipt = Receipt(
            provider="outbox", keys=(f"{message_id}:{number}",), kind=ReceiptKind.BLOCKED,
            at=stage.clock(), message_id=message_id, code=code,
        )  # fmt: skip
        receipts.record(
            session,
            given=[receipt],
            now=stage.clock(),
            fingerprints=stage.desk.forgetting.fingerprints,
        )


def look(stage, looks=None, *, after=timedelta(minutes=2)):
    looks = looks or OnceMore(codes=ONCE_MORE, purposes=OURS)
    stage.clock.now += after
    return asyncio.run(looks.look(stage.desk, now=stage.clock()))


def test_a_text_that_did_not_arrive_is_sent_once_more_as_an_attempt_of_its_own(stage):
    one = texted(stage)
    undelivered(stage, one)
    assert look(stage, after=timedelta(seconds=30)) == 0, "the handset gets a moment"
    assert look(stage) == 1
    assert attempts(stage) == ["accepted", "accepted"]
    assert sms(stage).status == "handed_over"
    assert [s.channel for s in stage.sent].count("sms") == 2


def test_it_is_not_sent_a_third_time(stage):
    one = texted(stage)
    undelivered(stage, one)
    assert look(stage) == 1
    undelivered(stage, one, number=2)
    assert look(stage) == 0
    assert len(attempts(stage)) == 2


@pytest.mark.parametrize("code", ["30004", "30005", "30007", "30034"])
def test_what_will_never_arrive_is_not_sent_again(stage, code):
    undelivered(stage, texted(stage), code)
    assert look(stage) == 0


def test_an_alert_of_a_quarter_of_an_hour_ago_is_not_said_again(stage):
    undelivered(stage, alarmed(stage))
    stage.clock.now += timedelta(minutes=8)
    assert look(stage, after=timedelta(minutes=3)) == 0


def test_an_alert_that_did_not_arrive_is_said_again_at_once_more(stage):
    undelivered(stage, alarmed(stage))
    assert look(stage) == 1
    assert [s.message for s in stage.sent if s.channel == "sms"] == ["fraud_alert"] * 2


def test_whoever_said_stop_meanwhile_gets_nothing(stage):
    undelivered(stage, texted(stage))
    stage.reply("+12065550101", "STOP")
    assert look(stage) == 0


def test_two_workers_that_look_at_once_send_it_once(stage):
    undelivered(stage, texted(stage))
    looks = [OnceMore(codes=ONCE_MORE, purposes=OURS) for _ in range(2)]
    assert look(stage, looks[0]) + look(stage, looks[1], after=timedelta()) == 1
