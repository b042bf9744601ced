"""SendGrid's event webhook: who signed it, and what it says."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.vocabulary import ReceiptKind
from signalpost.errors import BadInputError
from signalpost.providers.sendgrid import parse_events, verify_events

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STAMP = "1795300000"
BODY = b'[{"event":"delivered"}]\r\n'


def public(key) -> str:
    return base64.b64encode(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode()


OLD, NEW = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
KEYS = [public(OLD), public(NEW)]


def signed(body: bytes, key=NEW, stamp: str = STAMP) -> dict[str, str]:
    signature = key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }


@pytest.mark.parametrize("key", [OLD, NEW])
def test_either_key_is_good_while_one_is_replaced(key):
    assert verify_events(BODY, signed(BODY, key), KEYS)


def test_headers_are_found_whatever_their_case():
    lower = {name.lower(): value for name, value in signed(BODY).items()}
    assert verify_events(BODY, lower, KEYS)


@pytest.mark.parametrize(
    ("body", "headers", "keys"),
    [
        (BODY.strip(), signed(BODY), KEYS),
        (BODY + b" ", signed(BODY), KEYS),
        (BODY, signed(BODY) | {"X-Twilio-Email-Event-Webhook-Timestamp": "1795300001"}, KEYS),
        (BODY, signed(BODY) | {"X-Twilio-Email-Event-Webhook-Timestamp": "é"}, KEYS),
        (BODY, signed(BODY) | {"X-Twilio-Email-Event-Webhook-Signature": "not base64!"}, KEYS),
        (BODY, signed(BODY) | {"X-Twilio-Email-Event-Webhook-Signature": "AAAA"}, KEYS),
        (BODY, signed(BODY) | {"X-Twilio-Email-Event-Webhook-Signature": ""}, KEYS),
        (BODY, {"X-Twilio-Email-Event-Webhook-Signature": None}, KEYS),
        (BODY, {}, KEYS),
        (BODY, signed(BODY), []),
        (BODY, signed(BODY), [""]),
        (BODY, signed(BODY), ["not a key"]),
        (BODY, signed(BODY), [public(rsa.generate_private_key(65537, 2048))]),
        (BODY, signed(BODY, ec.generate_private_key(ec.SECP256R1())), KEYS),
    ],
)
def test_a_forged_or_changed_call_is_refused(body, headers, keys):
    assert not verify_events(body, headers, keys)


def parse_one(**event):
    (receipt,) = parse_events(json.dumps([event]).encode(), now=NOW)
    return receipt


@pytest.mark.parametrize(
    ("event", "kind", "code", "suppress"),
    [
        ({"event": "processed"}, "queued", None, None),
        ({"event": "deferred", "status": "4.2.1"}, "deferred", "4.2.1", None),
        ({"event": "delivered"}, "delivered", None, None),
        (
            {"event": "bounce", "type": "bounce", "status": "5.0.0"},
            "bounced",
            "5.0.0",
            "bad_address",
        ),
        ({"event": "bounce", "type": "blocked", "status": "4.0.0"}, "blocked", "4.0.0", None),
        ({"event": "bounce"}, "bounced", None, "bad_address"),
        ({"event": "open"}, "opened", None, None),
        ({"event": "click"}, "clicked", None, None),
        ({"event": "spamreport"}, "complained", None, "complaint"),
        ({"event": "unsubscribe"}, "unsubscribed", None, None),
        ({"event": "group_unsubscribe"}, "unsubscribed", None, None),
        ({"event": "group_resubscribe"}, "unknown", None, None),
        ({"event": "account_status_change"}, "unknown", None, None),
    ],
)
def test_each_word_of_sendgrid_has_one_of_ours(event, kind, code, suppress):
    receipt = parse_one(**event)
    assert (receipt.kind, receipt.code, receipt.suppress) == (kind, code, suppress)
    assert receipt.raw == event


@pytest.mark.parametrize(
    ("reason", "code", "suppress"),
    [
        ("Bounced Address", "bounced_address", "bad_address"),
        ("Unsubscribed Address", "unsubscribed_address", "stop"),
        ("Spam Reporting Address", "spam_reporting_address", "complaint"),
        ("Invalid", "invalid_address", "bad_address"),
        ("Spam Content", "spam_content", None),
        ("something new", "other", None),
    ],
)
def test_a_drop_says_why(reason, code, suppress):
    receipt = parse_one(event="dropped", reason=reason)
    assert (receipt.kind, receipt.code, receipt.suppress) == ("rejected", code, suppress)


def test_our_ids_the_time_and_the_request_id_are_found():
    receipt = parse_one(
        event="open",
        email="ann@shop.example",
        timestamp=1795300000,
        sg_event_id="e1",
        sg_message_id="KdsUmYUqSkaYdqyPdGSWVQ.recvd-5f54b6d587-k6z-1-0.0",
        x_message_id="m1",
        sg_machine_open=True,
        category=["order_confirmation", "transactional"],
    )
    assert receipt.message_id == "m1"
    assert receipt.provider_id == "KdsUmYUqSkaYdqyPdGSWVQ"
    assert receipt.at == datetime.fromtimestamp(1795300000, UTC)
    assert receipt.address == "ann@shop.example"
    assert receipt.machine


def test_an_event_whose_id_changed_on_repetition_shares_its_second_key():
    event = {"event": "delivered", "timestamp": 1795300000, "sg_message_id": "a", "email": "x"}
    first, again = parse_one(sg_event_id="e1", **event), parse_one(sg_event_id="e2", **event)
    assert set(first.keys) & set(again.keys)
    assert first.keys[0] != again.keys[0]


def test_different_events_share_no_key():
    base = {"event": "deferred", "timestamp": 1795300000, "x_delivery_id": "d1"}
    one, two = parse_one(attempt="1", **base), parse_one(attempt="2", **base)
    assert not set(one.keys) & set(two.keys)


def test_an_asynchronous_bounce_without_a_message_id_is_joined_by_ours():
    receipt = parse_one(event="bounce", type="bounce", x_message_id="m1", timestamp=1795300000)
    assert (receipt.message_id, receipt.provider_id) == ("m1", None)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": None},
        {"event": 7, "timestamp": "soon", "email": ["x"], "category": "one"},
        {"event": "open", "timestamp": 10**30, "sg_message_id": 3},
        {"event": "bounce", "type": {"a": 1}, "status": 5},
        {"event": "dropped", "reason": None},
        "just text",
        None,
        [1],
    ],
)
def test_what_is_odd_inside_an_event_never_raises(event):
    (receipt,) = parse_events(json.dumps([event]).encode(), now=NOW)
    assert receipt.at.tzinfo is UTC
    assert receipt.keys


def test_a_time_that_is_missing_is_the_time_of_the_call():
    assert parse_one(event="open").at == NOW


def test_the_raw_can_be_stored_in_any_database():
    (receipt,) = parse_events(rb'[{"event":"open","reason":"\u0000\ud800","n":NaN}]', now=NOW)
    assert receipt.raw == {"event": "open", "reason": "\ufffd?", "n": None}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_bad_input(body):
    with pytest.raises(BadInputError):
        parse_events(body, now=NOW)


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = (
    SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(st.text(max_size=2), SIMPLE, max_size=2)
)
NAMES = ["event", "type", "reason", "timestamp", "email", "sg_event_id", "sg_message_id", "status"]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON), max_size=3))
def test_any_json_becomes_one_receipt_an_event(events):
    receipts = parse_events(json.dumps(events).encode(), now=NOW)
    assert len(receipts) == len(events)
    assert all(isinstance(receipt.kind, ReceiptKind) for receipt in receipts)
