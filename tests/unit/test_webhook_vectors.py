"""The signatures that Twilio and SendGrid publish themselves, in the tests of their own SDKs.

A mistake of ours that we make on both sides (signing in a test, verifying in the code) shows here.
"""

from urllib.parse import urlencode

import pytest

from signalpost.providers.sendgrid import verify_events
from signalpost.providers.twilio import verify

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
CALL = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
REPEATED = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234")]
JSON = b'{"property": "value", "boolean": true}'
JSON_URL = URL + "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def twilio(url: str, fields: object, signature: str, *, token: str = TOKEN) -> bool:
    headers = {
        "X-Twilio-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return verify(url, urlencode(fields).encode(), headers, [token])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "fields", "signature"),
    [
        (URL, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL, REPEATED, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (URL, REPEATED[::-1], "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (URL.replace(".com", ".com:1234"), CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL, CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # over the address with its port, 443
        (URL.replace("https", "http"), CALL, "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # with 80
        (
            URL.replace("https", "http").replace(".com", ".com:1234"),
            CALL,
            "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
        ),
    ],
)
def test_what_twilio_signs_is_good_and_any_change_of_it_is_not(
    url: str, fields: object, signature: str
) -> None:
    assert twilio(url, fields, signature)
    pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)  # type: ignore[call-overload]
    assert not twilio(url, fields, signature, token="123456")
    assert not twilio(url + "&x=1", fields, signature)
    assert not twilio(url.replace("foo=1", "foo=2"), fields, signature)
    assert not twilio(url.replace("foo=1&bar=2", "bar=2&foo=1"), fields, signature)
    assert not twilio(url, [*pairs, ("Blank", "")], signature)
    assert not twilio(url, pairs[1:], signature)
    assert not twilio(url, [(name, value + " ") for name, value in pairs], signature)
    assert not twilio(url, [*pairs, (pairs[0][0], "another")], signature)


def test_a_json_body_that_twilio_signs_is_good_and_any_change_of_it_is_not() -> None:
    headers = {
        "X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4=",
        "Content-Type": "application/json",
    }
    assert verify(JSON_URL, JSON, headers, [TOKEN])
    assert not verify(JSON_URL, JSON + b" ", headers, [TOKEN])
    assert not verify(JSON_URL, JSON.replace(b"true", b"false"), headers, [TOKEN])
    assert not verify(URL, JSON, headers, [TOKEN])


KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNN"
    "RaINXvVpiglSI8eNEc6wEA3F+g=="
)
OTHER_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aND"
    "thvj+y7GjUuFDb/R1NGe1OPzpA=="
)
SIGNATURE = (
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+"
    "uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
)
OTHER_SIGNATURE = (
    "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+"
    "UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0="
)
STAMP = "1600112502"
EVENTS = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


def sendgrid(
    body: bytes = EVENTS,
    *,
    signature: str = SIGNATURE,
    stamp: str = STAMP,
    keys: tuple[str, ...] = (KEY,),
) -> bool:
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }
    return verify_events(body, headers, keys)


def test_what_sendgrid_signs_is_good_under_either_key_of_a_rotation() -> None:
    assert sendgrid()
    assert sendgrid(keys=(OTHER_KEY, KEY))
    assert sendgrid(keys=(KEY, OTHER_KEY))


@pytest.mark.parametrize(
    "change",
    [
        {"keys": (OTHER_KEY,)},
        {"signature": OTHER_SIGNATURE},
        {"stamp": "timestamp"},
        {"stamp": "1600112503"},
        {"body": EVENTS.rstrip()},  # the line end is signed over
        {"body": EVENTS.rstrip() + b"\n"},
        {"body": EVENTS.replace(b"dropped", b"bounced")},
        {"body": EVENTS.replace(b'":"', b'": "')},  # the same JSON, and other bytes
        {"body": b"payload"},
        {"body": b""},
    ],
)
def test_any_change_of_what_sendgrid_signs_is_refused(change: dict) -> None:
    assert not sendgrid(**change)


def test_the_stamp_and_the_body_cannot_be_cut_elsewhere() -> None:
    """The signature is over both in a row: a digit must not wander from one to the other."""
    for cut in range(1, len(STAMP)):
        assert not sendgrid(STAMP[cut:].encode() + EVENTS, stamp=STAMP[:cut])
    assert not sendgrid(EVENTS[1:], stamp=STAMP + "[")
