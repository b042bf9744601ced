"""Receipts: verified, kept once, merged in any order, and taken at their word."""

import itertools
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from signalpost.record.consents import Consent, Suppression
from signalpost.record.database import Database
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import ReceiptKey, ReceiptRow
from tests.integration.what_comes_back import ANN, NOW, Shop, addresses_blocked, event


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


@pytest.fixture
def message(shop: Shop) -> str:
    return shop.message(shop.customer(email="ann@shop.example"))


def test_a_receipt_settles_the_delivery_moves_the_message_and_keeps_its_raw(
    shop: Shop, message: str
) -> None:
    assert shop.sendgrid(event(message, "delivered", response="250 OK")).status_code == 204
    assert shop.one(Message).status == "delivered"
    delivery = shop.one(Delivery)
    assert (delivery.status, delivery.provider_id) == ("accepted", f"XID-{message}")
    assert delivery.settled_at is not None
    receipt = shop.one(ReceiptRow)
    assert (receipt.message_id, receipt.kind) == (message, "delivered")
    assert receipt.raw["response"] == "250 OK"


@pytest.mark.parametrize("status", ["sending", "unknown"])
def test_a_receipt_settles_a_delivery_whose_outcome_nobody_knew(shop: Shop, status: str) -> None:
    message = shop.message(
        shop.customer(), channel="sms", address=ANN, provider="twilio",
        status=status, delivery_status=status,
    )  # fmt: skip
    assert shop.status(message, "queued").status_code == 204
    assert shop.one(Message).status == "handed_over"
    assert shop.one(Delivery).status == "accepted"
    assert shop.one(Delivery).provider_id == "SM1"


def test_a_replay_is_answered_2xx_and_adds_nothing(shop: Shop, message: str) -> None:
    for _ in range(3):
        assert shop.sendgrid(event(message, "delivered")).status_code == 204
    assert len(shop.all(ReceiptRow)) == 1
    for _ in range(3):
        assert shop.status(message, "delivered").status_code == 204
    assert len(shop.all(ReceiptRow)) == 2


def test_a_repeat_is_known_by_either_of_its_keys(shop: Shop, message: str) -> None:
    """SendGrid's event id has been seen to change when a call is repeated."""
    shop.sendgrid(event(message, "delivered"))
    shop.sendgrid(event(message, "delivered", sg_event_id="changed"))
    shop.sendgrid(event(message, "delivered", sg_event_id="changed", timestamp=1772445999))
    assert len(shop.all(ReceiptRow)) == 1
    receipt = shop.one(ReceiptRow)
    assert {key.receipt_id for key in shop.all(ReceiptKey)} == {receipt.id}


def test_repeats_within_one_batch_are_kept_once(shop: Shop, message: str) -> None:
    one = event(message, "open")
    assert shop.sendgrid(one, one, {**one, "sg_event_id": "other"}).status_code == 204
    assert len(shop.all(ReceiptRow)) == 1


ORDERED = [
    [event("M", "processed"), event("M", "deferred", attempt="1"), event("M", "delivered")],
    [event("M", "delivered"), event("M", "bounce", type="bounce"), event("M", "open")],
    [event("M", "dropped", reason="Spam Content"), event("M", "processed"), event("M", "click")],
]


@pytest.mark.parametrize("events", ORDERED)
def test_every_order_of_receipts_ends_the_same(shop: Shop, events: list[dict[str, str]]) -> None:
    """I8: permuted and duplicated, the status and the set of receipts are the same."""
    ends = set()
    customer = shop.customer(email="ann@shop.example")
    for order in itertools.permutations(events):
        message = shop.message(customer)
        for one in (*order, order[0]):
            mine = event(
                message, **{k: v for k, v in one.items() if k != "event"}, what=one["event"]
            )
            mine |= {"sg_event_id": f"{one['event']}-{message}", "x_message_id": message}
            mine["sg_message_id"] = f"XID-{message}.filter"
            shop.sendgrid(mine)
        kinds = tuple(sorted(row.kind for row in shop.all(ReceiptRow, message_id=message)))
        ends.add((shop.one(Message, id=message).status, kinds))
    assert len(ends) == 1


def test_receipts_for_messages_we_do_not_know_are_kept(shop: Shop) -> None:
    assert shop.sendgrid(event("nobody", "delivered"), {"event": "new-thing"}).status_code == 204
    assert shop.status("gone", "delivered").status_code == 204
    rows = shop.all(ReceiptRow)
    assert [row.message_id for row in rows] == [None, None, None]
    assert {row.kind for row in rows} == {"delivered", "unknown"}


def test_a_receipt_without_our_id_is_joined_by_the_providers_id(shop: Shop) -> None:
    """An asynchronous bounce comes without custom arguments; one id stands for a whole request."""
    customer = shop.customer(email="ann@shop.example")
    known = {"provider_id": "XID", "delivery_status": "accepted", "status": "handed_over"}
    ann = shop.message(customer, **known)
    ben = shop.message(customer, address="ben@shop.example", **known)
    bounce = {
        "event": "bounce", "type": "bounce", "email": "Ben@shop.example", "timestamp": 1772445600,
        "sg_event_id": "b1", "sg_message_id": "XID.recvd-1",
    }  # fmt: skip
    shop.sendgrid(bounce)
    assert shop.one(Message, id=ben).status == "bounced"
    assert shop.one(Message, id=ann).status == "handed_over"


@pytest.mark.parametrize(
    ("what", "blocked", "denied"),
    [
        ({"what": "bounce", "type": "bounce"}, ("all", "hard_bounce"), False),
        ({"what": "bounce", "type": "blocked"}, None, False),
        ({"what": "spamreport"}, ("marketing", "complaint"), True),
        ({"what": "unsubscribe"}, ("marketing", "unsubscribe"), True),
        ({"what": "group_unsubscribe"}, ("marketing", "unsubscribe"), True),
        ({"what": "dropped", "reason": "Bounced Address"}, ("all", "bad_address"), False),
        ({"what": "deferred"}, None, False),
    ],
)
def test_bounces_and_complaints_close_what_they_are_about(
    shop: Shop, message: str, what: dict[str, str], blocked: tuple[str, str] | None, denied: bool
) -> None:
    """C6: a hard bounce closes the address, a complaint closes marketing, a soft one nothing."""
    shop.sendgrid(event(message, **what))
    held = {("email", "ann@shop.example", *blocked)} if blocked else set()
    assert addresses_blocked(shop.all(Suppression)) == held
    consents = [(c.channel, c.topic, c.status, c.source) for c in shop.all(Consent)]
    assert consents == ([("email", "*", "denied", "sendgrid")] if denied else [])


@pytest.mark.parametrize(
    ("code", "reason"),
    [("21610", "stop"), ("30005", "bad_address"), ("30006", "bad_address"), ("30003", None)],
)
def test_a_twilio_error_closes_the_number_when_it_says_so(
    shop: Shop, code: str, reason: str | None
) -> None:
    message = shop.message(shop.customer(), channel="sms", address=ANN, provider="twilio")
    shop.status(message, "undelivered", ErrorCode=code)
    expected = {("sms", ANN, "all", reason)} if reason else set()
    assert addresses_blocked(shop.all(Suppression)) == expected
    assert shop.one(ReceiptRow).code == code


def test_a_block_is_written_once(shop: Shop, message: str) -> None:
    shop.sendgrid(event(message, "bounce", type="bounce"))
    shop.sendgrid(event(message, "bounce", type="bounce", sg_event_id="2", timestamp=1772449999))
    assert len(shop.all(ReceiptRow)) == 2
    assert len(shop.all(Suppression)) == 1


def test_an_opt_out_does_not_undo_a_later_yes(shop: Shop, message: str) -> None:
    """A receipt a day late says when it happened; the customer's latest word counts."""
    customer = shop.one(Message).customer_id
    at = NOW + timedelta(hours=1)
    shop.add(
        Consent(
            customer_id=customer, channel="email", topic="offers", status="granted",
            source="form", at=at, recorded_at=at,
        )
    )  # fmt: skip
    shop.now = NOW + timedelta(hours=24)
    shop.sendgrid(event(message, "unsubscribe"))
    assert [c.status for c in sorted(shop.all(Consent), key=lambda c: c.at)][-1] == "granted"


def test_a_thousand_events_take_few_statements_and_one_transaction(shop: Shop) -> None:
    from sqlalchemy import event as sql

    customer = shop.customer(email="ann@shop.example")
    messages = [shop.message(customer) for _ in range(20)]
    batch = [
        event(message, what, sg_event_id=f"{what}-{message}-{n}", timestamp=1772445600 + n)
        for message in messages
        for what in ("processed", "delivered", "open", "click", "bounce")
        for n in range(10)
    ]
    statements: list[str] = []
    commits: list[int] = []
    engine = shop.database.engine
    sql.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    sql.listen(engine, "commit", lambda _c: commits.append(1))
    assert shop.sendgrid(*batch).status_code == 204
    assert len(commits) == 1
    assert len(statements) < 40
    assert len(shop.all(ReceiptRow)) == 1000
    assert {row.status for row in shop.all(Message)} == {"bounced"}


def test_the_same_batch_at_the_same_time_is_kept_once(shop: Shop) -> None:
    customer = shop.customer(email="ann@shop.example")
    messages = [shop.message(customer) for _ in range(8)]
    batch = [event(m, what) for m in messages for what in ("processed", "delivered")]
    answers: list[int] = []

    def call(events: list[dict[str, str]]) -> None:
        answers.append(shop.sendgrid(*events).status_code)

    threads = [
        threading.Thread(target=call, args=(order,)) for order in (batch, batch[::-1], batch)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204, 204, 204]
    assert len(shop.all(ReceiptRow)) == 16
    assert {row.status for row in shop.all(Message)} == {"delivered"}
