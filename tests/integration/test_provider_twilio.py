"""The Twilio adapter and the official async SDK, against a real local HTTP server."""

import asyncio
import base64
import json
import logging
import socket
import threading
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from werkzeug import Request, Response

from signalpost.domain.delivery import Letter
from signalpost.domain.text import Slot
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, Purpose
from signalpost.providers.twilio import Twilio, TwilioSettings, callback_is_ours
from signalpost.testing import Post

SECRET = "canary-secret"
PARTS = {"text": ("Hello ", Slot("first"))}


def letter(**changes) -> Letter:
    values = {
        "channel": Channel.SMS,
        "message": "pickup_ready",
        "purpose": Purpose.TRANSACTIONAL,
        "parts": PARTS,
    }
    return Letter(**(values | changes))


def post(number: int, **changes) -> Post:
    values = {
        "delivery_id": f"d{number}",
        "message_id": f"m{number}",
        "customer_id": f"c{number}",
        "address": f"+1415555{number:04}",
        "slots": {"first": f"Ann{number}"},
    }
    return Post(**(values | changes))


def send(base_url: str, batch: list[Post], said: Letter | None = None, **changes) -> list:
    values = {
        "account_sid": "AC1",
        "api_key": "SK1",
        "api_secret": SECRET,
        "base_url": base_url,
        "sender": "+14155550000",
    }

    async def run():
        provider = Twilio(TwilioSettings(**(values | changes)))
        try:
            return await provider.hand_over(said or letter(), batch)
        finally:
            await provider.close()

    return asyncio.run(run())


class Vendor:
    """A Twilio that accepts every message, except as ``judge`` says."""

    def __init__(self, server, judge=lambda form: None):
        self.forms: list[dict[str, str]] = []
        self.headers: list = []
        self.judge = judge
        self._lock = threading.Lock()
        self.url = server.url_for("").rstrip("/")
        server.expect_request(
            "/2010-04-01/Accounts/AC1/Messages.json", method="POST"
        ).respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        form = dict(parse_qsl(request.get_data().decode(), keep_blank_values=True))
        with self._lock:
            self.forms.append(form)
            self.headers.append(request.headers)
            number = len(self.forms)
        answer = {"sid": f"SM{number}", "status": "queued", "body": form.get("Body")}
        return self.judge(form) or Response(json.dumps(answer), status=201)


def refuse(status: int, code: int | None = None, **headers) -> Response:
    body = {"code": code, "message": "no +14155550001", "status": status}
    return Response(json.dumps(body), status=status, headers=headers, mimetype="application/json")


def test_an_sms_is_one_form_with_our_sender_and_account(httpserver):
    vendor = Vendor(httpserver)
    (result,) = send(vendor.url, [post(1)])
    assert (result.status, result.provider_id) == (DeliveryStatus.ACCEPTED, "SM1")
    assert vendor.forms == [{"To": "+14155550001", "From": "+14155550000", "Body": "Hello Ann1"}]
    basic = base64.b64encode(f"SK1:{SECRET}".encode()).decode()
    assert vendor.headers[0]["Authorization"] == f"Basic {basic}"


def test_the_callback_carries_our_ids_a_signature_and_the_retries(httpserver):
    vendor = Vendor(httpserver)
    send(
        vendor.url,
        [post(1)],
        letter(valid_for=timedelta(minutes=10)),
        status_callback="https://shop.example/twilio/status",
        callback_secret="s1",
        messaging_service_sid="MG1",
    )
    form = vendor.forms[0]
    assert form["ValidityPeriod"] == "600"
    assert form["MessagingServiceSid"] == "MG1"
    callback = urlsplit(form["StatusCallback"])
    query = {name: values[0] for name, values in parse_qs(callback.query).items()}
    assert callback.fragment == "rc=5&rp=all"
    assert (query["m"], query["d"]) == ("m1", "d1")
    assert callback_is_ours(query, ["newer", "s1"])
    assert not callback_is_ours(query, ["newer"])
    assert not callback_is_ours(query | {"m": "m2"}, ["s1"])
    assert not callback_is_ours({}, ["s1"])


@pytest.mark.parametrize(("given", "sent"), [(timedelta(0), "1"), (timedelta(days=3), "36000")])
def test_the_validity_stays_within_what_twilio_takes(httpserver, given, sent):
    vendor = Vendor(httpserver)
    send(vendor.url, [post(1)], letter(valid_for=given))
    assert vendor.forms[0]["ValidityPeriod"] == sent


@pytest.mark.parametrize(
    ("channel", "address", "to", "sender"),
    [
        (Channel.WHATSAPP, "+14155550001", "whatsapp:+14155550001", "whatsapp:+14155550009"),
        (
            Channel.WHATSAPP,
            "whatsapp:+14155550001",
            "whatsapp:+14155550001",
            "whatsapp:+14155550009",
        ),
        (Channel.MESSENGER, "8812", "messenger:8812", "messenger:page1"),
    ],
)
def test_whatsapp_and_messenger_are_a_prefix(httpserver, channel, address, to, sender):
    vendor = Vendor(httpserver)
    own = {"whatsapp_sender": "+14155550009", "messenger_sender": "page1"}
    send(vendor.url, [post(1, address=address)], letter(channel=channel), **own)
    assert (vendor.forms[0]["To"], vendor.forms[0]["From"]) == (to, sender)


def test_a_channel_without_a_sender_is_our_fault_and_makes_no_request(httpserver):
    vendor = Vendor(httpserver)
    (result,) = send(vendor.url, [post(1)], letter(channel=Channel.WHATSAPP))
    assert (result.status, result.fault, result.code) == (
        DeliveryStatus.REJECTED,
        FaultClass.OURS,
        "no_sender",
    )
    assert vendor.forms == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"address": "4155550001"}, "21211"),
        ({"address": "+1415555000a"}, "21211"),
        ({"address": "+14155550001\n"}, "21211"),
        ({"address": ""}, "21211"),
        ({"slots": {}}, "missing_slot"),
        ({"slots": {"first": "x" * 1600}}, "21617"),
    ],
)
def test_one_bad_person_is_refused_without_a_request_and_the_others_are_sent(
    httpserver, changes, code
):
    vendor = Vendor(httpserver)
    bad, good = send(vendor.url, [post(1, **changes), post(2)])
    assert (bad.status, bad.fault, bad.code) == (
        DeliveryStatus.REJECTED,
        FaultClass.PERMANENT,
        code,
    )
    assert good.status is DeliveryStatus.ACCEPTED
    assert [form["To"] for form in vendor.forms] == ["+14155550002"]


def test_an_empty_text_is_refused_without_a_request(httpserver):
    vendor = Vendor(httpserver)
    (result,) = send(vendor.url, [post(1)], letter(parts={"text": (" ",)}))
    assert (result.status, result.fault, result.code) == (
        DeliveryStatus.REJECTED,
        FaultClass.PERMANENT,
        "21602",
    )
    assert vendor.forms == []


@pytest.mark.parametrize(
    ("http", "code", "status", "fault", "suppress"),
    [
        (400, 21610, "rejected", "permanent", "stop"),
        (400, 21211, "rejected", "permanent", "bad_address"),
        (400, 21614, "rejected", "permanent", "bad_address"),
        (400, 21408, "rejected", "permanent", None),
        (400, 99999, "rejected", "permanent", None),
        (400, 21606, "rejected", "ours", None),
        (401, 20003, "rejected", "ours", None),
        (403, None, "rejected", "ours", None),
        (404, 20404, "rejected", "ours", None),
        (400, 21611, "retry", "transient", None),
        (429, 20429, "retry", "transient", None),
        (429, None, "retry", "transient", None),
        (503, 20503, "retry", "transient", None),
        (500, 20500, "unknown", None, None),
        (500, 21610, "unknown", None, None),
        (502, None, "unknown", None, None),
        (504, None, "unknown", None, None),
        (408, None, "unknown", None, None),
        (301, None, "unknown", None, None),
    ],
)
def test_an_answer_is_judged_by_its_code_and_asked_once(
    httpserver, http, code, status, fault, suppress
):
    vendor = Vendor(httpserver, lambda form: refuse(http, code, Location="/elsewhere"))
    (result,) = send(vendor.url, [post(1)])
    assert (result.status, result.fault, result.suppress) == (status, fault, suppress)
    assert "+1415" not in (result.detail or "")
    assert len(httpserver.log) == 1


def test_429_says_how_long_to_wait(httpserver):
    headers = {"Retry-After": "17"}
    vendor = Vendor(httpserver, lambda form: refuse(429, 20429, **headers))
    (result,) = send(vendor.url, [post(1)])
    assert result.retry_after == timedelta(seconds=17)


@pytest.mark.parametrize("body", ["<html>", "[]", "null", '{"sid": null}', ""])
def test_an_answer_that_cannot_be_read_is_unknown(httpserver, body):
    vendor = Vendor(httpserver, lambda form: Response(body, status=201))
    (result,) = send(vendor.url, [post(1)])
    assert result.status is DeliveryStatus.UNKNOWN


def test_a_message_that_fails_at_once_is_judged_by_its_error_code(httpserver):
    answer = json.dumps({"sid": "SM1", "status": "failed", "error_code": 21610})
    vendor = Vendor(httpserver, lambda form: Response(answer, status=201))
    (result,) = send(vendor.url, [post(1)])
    assert (result.status, result.suppress) == (DeliveryStatus.REJECTED, "stop")


def test_nothing_listening_means_nothing_was_sent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    (result,) = send(url, [post(1)])
    assert (result.status, result.code) == (DeliveryStatus.RETRY, "not_connected")


@pytest.mark.parametrize("fate", ["reset", "silence"])
def test_a_call_that_breaks_after_the_bytes_left_is_unknown_and_not_repeated(fate):
    calls = []

    async def serve(reader, writer):
        calls.append(await reader.read(65536))
        if fate == "silence":
            await asyncio.sleep(5)
        writer.transport.abort()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        provider = Twilio(
            TwilioSettings(
                account_sid="AC1",
                api_key="SK1",
                api_secret=SECRET,
                sender="+14155550000",
                base_url=f"http://127.0.0.1:{port}",
                timeout=timedelta(seconds=0.3),
            )
        )
        results = await provider.hand_over(letter(), [post(1)])
        await provider.close()
        server.close()
        return results

    (result,) = asyncio.run(run())
    assert result.status is DeliveryStatus.UNKNOWN
    assert len(calls) == 1


def test_one_provider_serves_one_event_loop_after_another(httpserver):
    """Prefect may run a flow in a loop of its own."""
    vendor = Vendor(httpserver)
    settings = TwilioSettings(
        account_sid="AC1",
        api_key="SK1",
        api_secret=SECRET,
        sender="+14155550000",
        base_url=vendor.url,
    )
    provider = Twilio(settings)

    async def run(number):
        result = (await provider.hand_over(letter(), [post(number)]))[0]
        await provider.close()
        return result.status

    assert [asyncio.run(run(n)) for n in (1, 2)] == [DeliveryStatus.ACCEPTED] * 2


def test_each_answer_stands_in_the_place_of_its_message_whichever_comes_first(httpserver):
    """The answers carry no id of ours: their order is all that says whose they are."""
    asked, last = [], threading.Event()

    def judge(form):
        asked.append(form["To"])
        if form["To"].endswith("0002"):
            last.set()
        else:
            assert last.wait(10)
        return refuse(400, 21614) if form["To"].endswith("0001") else None

    results = send(Vendor(httpserver, judge).url, [post(1), post(2)])
    assert [(r.status, r.code) for r in results] == [
        (DeliveryStatus.REJECTED, "21614"),
        (DeliveryStatus.ACCEPTED, None),
    ]


def test_no_more_calls_are_in_flight_than_allowed():
    now, most = 0, 0

    async def serve(reader, writer):
        nonlocal now, most
        while await reader.readuntil(b"\r\n\r\n"):
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(0.002)
            now -= 1
            body = b'{"sid": "SM1", "status": "queued"}'
            writer.write(b"HTTP/1.1 201 Created\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            writer.close()
            return

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        provider = Twilio(
            TwilioSettings(
                account_sid="AC1",
                api_key="SK1",
                api_secret=SECRET,
                sender="+14155550000",
                base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
                concurrency=3,
            )
        )
        results = await provider.hand_over(letter(), [post(n) for n in range(30)])
        await provider.close()
        server.close()
        return results

    results = asyncio.run(run())
    assert len(results) == 30
    assert all(r.status is DeliveryStatus.ACCEPTED for r in results)
    assert most <= 3


def test_no_secret_number_or_text_is_logged(httpserver, caplog):
    caplog.set_level(logging.DEBUG)
    vendor = Vendor(httpserver, lambda form: refuse(400, 21211))
    send(vendor.url, [post(1)])
    assert not [w for w in (SECRET, "canary", "+1415555", "Ann1") if w in caplog.text]
