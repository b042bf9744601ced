"""Twilio's webhooks: who signed them, and what they say."""

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.vocabulary import Channel, ReceiptKind
from signalpost.providers.twilio import answer, parse_inbound, parse_status, verify

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
URL = "https://shop.example/twilio/status?m=m1&d=d1"
FORM = "application/x-www-form-urlencoded"
FIELDS = [("MessageSid", "SM1"), ("MessageStatus", "delivered"), ("To", "+14155550001")]
TOKENS = ["old-token", "new-token"]


def signature(url: str, pairs=(), token: str = "new-token", algorithm=hashlib.sha1) -> str:
    """As Twilio's documentation spells it, written without its SDK."""
    text = url + "".join(name + value for name, value in sorted(set(pairs)))
    return b64encode(hmac.new(token.encode(), text.encode(), algorithm).digest()).decode()


def call(url=URL, pairs=FIELDS, given=None, content_type=FORM, tokens=TOKENS, **headers) -> bool:
    given = signature(url, pairs) if given is None else given
    sent = {"X-Twilio-Signature": given, "Content-Type": content_type, **headers}
    return verify(url, urlencode(pairs).encode(), sent, tokens)


def test_a_signed_form_is_good_with_either_token():
    assert call()
    assert call(given=signature(URL, FIELDS, "old-token"))


def test_headers_are_found_whatever_their_case():
    headers = {
        "x-twilio-signature": signature(URL, FIELDS),
        "content-type": FORM + "; charset=utf-8",
    }
    assert verify(URL, urlencode(FIELDS).encode(), headers, TOKENS)


def test_blank_repeated_unknown_and_foreign_fields_are_signed_over():
    assert call(pairs=[*FIELDS, ("Body", ""), ("Media", "b"), ("Media", "a"), ("Neu", "退訂 ü+&=")])
    assert call(pairs=[*FIELDS, ("Media", "a"), ("Media", "a")])


def test_the_port_may_be_signed_or_not():
    with_port = URL.replace("shop.example", "shop.example:443")
    assert call(given=signature(with_port, FIELDS))
    assert verify(
        with_port,
        urlencode(FIELDS).encode(),
        {"X-Twilio-Signature": signature(URL, FIELDS), "Content-Type": FORM},
        TOKENS,
    )
    other = "http://127.0.0.1:8000/twilio/status"
    assert call(url=other)


def test_a_json_body_is_signed_through_its_hash_in_the_address():
    body = b'{"a": 1}'
    url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"X-Twilio-Signature": signature(url), "Content-Type": "application/json"}
    assert verify(url, body, headers, TOKENS)
    assert not verify(url, b'{"a": 2}', headers, TOKENS)
    assert not verify(url, b"", headers | {"Content-Type": FORM}, TOKENS)


def test_a_sha256_signature_is_good_when_the_header_names_it():
    given = signature(URL, FIELDS, algorithm=hashlib.sha256)
    settings = {"X-Twilio-Webhooks-Signature-Settings": "key=k1,algorithm=HMAC_SHA256"}
    assert call(given=given, **settings)
    assert not call(given=given)
    assert not call(**{"X-Twilio-Webhooks-Signature-Settings": "key=k1,algorithm=MD5"})


@pytest.mark.parametrize(
    "changes",
    [
        {"given": ""},
        {"given": "é"},
        {"given": "AAAA"},
        {"given": signature(URL, FIELDS, "another-token")},
        {"given": signature(URL, FIELDS[:-1])},
        {"given": signature(URL + "2", FIELDS)},
        {"tokens": []},
        {"tokens": [""]},
        {"content_type": "application/json"},
        {"content_type": ""},
        {"url": "https://shop.example:notaport/x", "given": "AAAA"},
        {"url": "", "given": signature("", FIELDS, "another")},
    ],
)
def test_a_forged_or_changed_call_is_refused(changes):
    assert not call(**changes)


def test_a_call_without_signature_or_with_bytes_that_are_no_text_is_refused():
    assert not verify(URL, b"a=1", {}, TOKENS)
    assert not verify(URL, b"a=%ff\xff", {"X-Twilio-Signature": "x", "Content-Type": FORM}, TOKENS)
    many = b"&".join(b"a=1" for _ in range(5000))
    assert not verify(URL, many, {"X-Twilio-Signature": "x", "Content-Type": FORM}, TOKENS)


@given(st.text(), st.binary(), st.dictionaries(st.text(), st.text()))
def test_verify_never_raises(url, body, headers):
    assert verify(url, body, headers | {"X-Twilio-Signature": "AAAA"}, TOKENS) is False


@pytest.mark.parametrize(
    ("status", "error", "kind", "suppress"),
    [
        ("queued", "", "queued", None),
        ("sending", "", "queued", None),
        ("sent", "", "sent", None),
        ("delivered", "", "delivered", None),
        ("read", "", "read", None),
        ("undelivered", "30003", "blocked", None),
        ("undelivered", "30005", "bounced", "bad_address"),
        ("undelivered", "", "blocked", None),
        ("failed", "30001", "failed", None),
        ("failed", "21610", "rejected", "stop"),
        ("failed", "what", "failed", None),
        ("canceled", "", "failed", None),
        ("teleported", "", "unknown", None),
        ("", "", "unknown", None),
    ],
)
def test_each_status_of_twilio_has_one_of_ours(status, error, kind, suppress):
    form = {"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": error, "New": "kept"}
    receipt = parse_status(form, query={"m": "m1"}, now=NOW)
    assert (receipt.kind, receipt.suppress) == (kind, suppress)
    assert receipt.keys == (f"SM1:{status}",)
    assert (receipt.message_id, receipt.provider_id, receipt.at) == ("m1", "SM1", NOW)
    assert receipt.raw == form


def test_a_status_without_its_fields_is_unknown_and_still_known_again():
    one, again = (parse_status({"x": "1"}, now=NOW) for _ in range(2))
    assert one.kind is ReceiptKind.UNKNOWN
    assert one.keys == again.keys
    assert one.keys != parse_status({"x": "2"}, now=NOW).keys


@pytest.mark.parametrize(
    ("sender", "channel", "address"),
    [
        ("+14155550001", Channel.SMS, "+14155550001"),
        ("whatsapp:+14155550001", Channel.WHATSAPP, "+14155550001"),
        ("messenger:8812", Channel.MESSENGER, "8812"),
    ],
)
def test_a_customers_message_tells_its_channel_by_the_address(sender, channel, address):
    form = {"MessageSid": "SM1", "From": sender, "To": "+14155550000", "Body": "OK 4821"}
    inbound = parse_inbound(form, now=NOW)
    assert (inbound.channel, inbound.sender, inbound.recipient) == (
        channel,
        address,
        "+14155550000",
    )
    assert (inbound.body, inbound.provider_id, inbound.at) == ("OK 4821", "SM1", NOW)
    assert inbound.answered_by_provider is None


@pytest.mark.parametrize(("given", "kept"), [("STOP", "STOP"), ("help", "HELP"), ("odd", None)])
def test_twilio_says_when_it_has_answered_itself(given, kept):
    inbound = parse_inbound({"MessageSid": "SM1", "OptOutType": given}, now=NOW)
    assert inbound.answered_by_provider == kept


def test_silence_is_an_empty_answer_and_text_is_escaped():
    assert answer(None) == '<?xml version="1.0" encoding="UTF-8"?><Response />'
    assert "<Message>a &lt;b&gt; &amp; c</Message>" in answer("a <b> & c\x00")
