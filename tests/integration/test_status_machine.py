"""I8: whatever order receipts, repeats and our own call's answer come in, a message ends the same."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from signalpost.domain import status
from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass, MessageStatus, ReceiptKind
from signalpost.record import messages
from signalpost.record.messages import Ending, Message
from signalpost.record.receipts import ReceiptRow
from signalpost.services.inbound import receipts
from signalpost.services.protocol.settle import BECOMES
from tests.integration.what_comes_back import NOW, Shop

#: How our own call may end for a message on which receipts then come: surely refused, it has none.
ANSWERS = (DeliveryStatus.ACCEPTED, DeliveryStatus.UNKNOWN, DeliveryStatus.RETRY)


@pytest.fixture
def shop(database, tmp_path):
    return Shop(database, tmp_path)


@given(
    kinds=st.lists(st.sampled_from(list(ReceiptKind)), max_size=6),
    answer=st.sampled_from(ANSWERS),
    data=st.data(),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_order_and_any_repeats_end_the_same(shop, kinds, answer, data):
    """Two copies of a message, the same news in two orders, one of them with repeats."""
    news = [*range(len(kinds)), "answer"]
    orders = [news, data.draw(st.permutations([*news, *range(len(kinds))]))]
    ends = [end_of(shop, kinds, answer, order) for order in orders]
    assert ends[0] == ends[1]
    proofs = [status.PROVES[kind] for kind in kinds if kind in status.PROVES]
    truth = max([*proofs, BECOMES[answer]], key=status.RANK.__getitem__)
    assert ends[0] == (truth, sorted(kinds))


def end_of(shop, kinds, answer, order):
    """Let news of a message come in an order; gives where it stands, and what is kept of the news."""
    message = shop.message(customer(shop), channel="sms", address="+12065550101")
    for number, one in enumerate(order):
        at = NOW + timedelta(seconds=number)
        with shop.database.writing() as session:
            if one == "answer":
                settle(session, message, answer, at)
            else:
                receipts.record(session, given=[receipt(message, kinds[one], one)], now=at)
    with shop.database.reading() as session:
        kept = session.exec(select(ReceiptRow.kind).where(ReceiptRow.message_id == message)).all()
        found = session.exec(select(Message.status).where(Message.id == message)).one()
    return MessageStatus(found), sorted(ReceiptKind(kind) for kind in kept)


def customer(shop):
    """The one customer; made when first asked for."""
    if not hasattr(shop, "ann"):
        shop.ann = shop.customer()
    return shop.ann


def receipt(message, kind, number):
    return Receipt(
        provider="sendgrid", keys=(f"{message}:{number}",), kind=kind, at=NOW, message_id=message
    )


def settle(session, message, answer, at):
    """Write how our own call ended, as the send protocol does."""
    ending = Ending(
        status=answer,
        provider_id=None,
        fault=FaultClass.TRANSIENT if answer is DeliveryStatus.RETRY else None,
        code=None,
        detail=None,
        account=None,
        message_status=BECOMES[answer],
        reason=None,
    )
    messages.settle(session, endings={ending: [(f"d-{message[2:]}", message)]}, now=at)
