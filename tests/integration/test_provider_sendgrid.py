"""The SendGrid adapter and the official SDK, against a real local HTTP server."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
from datetime import timedelta

import pytest
from werkzeug import Request, Response

from signalpost.domain.delivery import Letter
from signalpost.domain.text import Slot
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, Purpose
from signalpost.providers.sendgrid import From, SendGrid, SendGridSettings
from signalpost.testing import Post

KEY = "SG.canary-key"
PARTS = {
    "subject": ("Order ", Slot("order"), " is ready"),
    "html": ("<p>Hello ", Slot("first"), "</p>"),
    "text": ("Hello ", Slot("first")),
}


def letter(**changes) -> Letter:
    values = {
        "channel": Channel.EMAIL,
        "message": "order_confirmation",
        "purpose": Purpose.TRANSACTIONAL,
        "parts": PARTS,
    }
    return Letter(**(values | changes))


def post(number: int, **changes) -> Post:
    values = {
        "delivery_id": f"d{number}",
        "message_id": f"m{number}",
        "customer_id": f"c{number}",
        "address": f"person{number}@shop.example",
        "slots": {"order": f"#{number}", "first": f"Ann{number}"},
    }
    return Post(**(values | changes))


def settings(base_url: str, **changes) -> SendGridSettings:
    senders = {
        "transactional": From(email="orders@shop.example", name="Shop"),
        "security": From(email="security@shop.example"),
        "marketing": From(email="news@shop.example", name="Shop news"),
    }
    values = {"api_key": KEY, "senders": senders, "base_url": base_url}
    return SendGridSettings(**(values | changes))


def send(base_url: str, batch: list[Post], said: Letter | None = None, **changes) -> list:
    async def run():
        provider = SendGrid(settings(base_url, **changes))
        try:
            return await provider.hand_over(said or letter(), batch)
        finally:
            await provider.close()

    return asyncio.run(run())


class Vendor:
    """A SendGrid that accepts everybody, except as ``judge`` says."""

    def __init__(self, server, judge=lambda body: None):
        self.requests: list[dict] = []
        self.headers: list = []
        self.judge = judge
        self._lock = threading.Lock()
        self.url = server.url_for("").rstrip("/")
        server.expect_request("/v3/mail/send", method="POST").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        with self._lock:
            self.requests.append(body)
            self.headers.append(request.headers)
            number = len(self.requests)
        refused = self.judge(body)
        return refused or Response(status=202, headers={"X-Message-Id": f"sg{number}"})

    def accepted(self) -> list[str]:
        """Who was accepted, one entry for each time."""
        return [
            person["to"][0]["email"]
            for body in self.requests
            if not self.judge(body)
            for person in body["personalizations"]
        ]


def refuse(status: int, field: str | None = None, **headers) -> Response:
    errors = {"errors": [{"message": "no", "field": field, "help": None}]}
    return Response(json.dumps(errors), status=status, headers=headers, mimetype="application/json")


def test_who_may_not_leave_any_more_stays_and_the_others_of_the_batch_go(httpserver):
    vendor = Vendor(httpserver)
    second = letter(kept_back=lambda attempts: {"d2"} & set(attempts))
    results = send(vendor.url, [post(1), post(2), post(3)], second)
    assert vendor.accepted() == ["person1@shop.example", "person3@shop.example"]
    assert [(r.status, r.code) for r in results] == [
        (DeliveryStatus.ACCEPTED, None),
        (DeliveryStatus.RETRY, "fenced"),
        (DeliveryStatus.ACCEPTED, None),
    ]


def test_a_batch_is_one_request_with_the_text_once_and_each_persons_words(httpserver):
    vendor = Vendor(httpserver)
    results = send(vendor.url, [post(1), post(2)])

    assert [(r.status, r.provider_id) for r in results] == [(DeliveryStatus.ACCEPTED, "sg1")] * 2
    assert vendor.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert vendor.requests == [
        {
            "from": {"email": "orders@shop.example", "name": "Shop"},
            "personalizations": [
                {
                    "to": [{"email": "person1@shop.example"}],
                    "custom_args": {"x_message_id": "m1", "x_delivery_id": "d1"},
                    "substitutions": {"[%s0%]": "#1", "[%s1%]": "Ann1"},
                },
                {
                    "to": [{"email": "person2@shop.example"}],
                    "custom_args": {"x_message_id": "m2", "x_delivery_id": "d2"},
                    "substitutions": {"[%s0%]": "#2", "[%s1%]": "Ann2"},
                },
            ],
            "subject": "Order [%s0%] is ready",
            "content": [
                {"type": "text/plain", "value": "Hello [%s1%]"},
                {"type": "text/html", "value": "<p>Hello [%s1%]</p>"},
            ],
            "categories": ["order_confirmation", "transactional"],
            "tracking_settings": {
                "click_tracking": {"enable": True, "enable_text": False},
                "open_tracking": {"enable": True},
                "subscription_tracking": {"enable": False},
                "ganalytics": {"enable": False},
            },
        }
    ]


def test_a_security_message_is_not_tracked(httpserver):
    vendor = Vendor(httpserver)
    send(vendor.url, [post(1)], letter(purpose=Purpose.SECURITY))
    tracking = vendor.requests[0]["tracking_settings"]
    assert tracking["click_tracking"]["enable"] is False
    assert tracking["open_tracking"]["enable"] is False
    assert vendor.requests[0]["from"] == {"email": "security@shop.example"}


def test_marketing_carries_one_click_unsubscribe_for_each_person_and_the_group(httpserver):
    vendor = Vendor(httpserver)
    batch = [post(n, unsubscribe_url=f"https://shop.example/u/{n}") for n in (1, 2)]
    send(vendor.url, batch, letter(purpose=Purpose.MARKETING), asm_group=7)
    body = vendor.requests[0]
    assert body["asm"] == {"group_id": 7}
    assert [p["headers"] for p in body["personalizations"]] == [
        {
            "List-Unsubscribe": f"<https://shop.example/u/{n}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        for n in (1, 2)
    ]


def test_a_tag_never_collides_with_what_a_customer_or_the_text_says(httpserver):
    vendor = Vendor(httpserver)
    send(vendor.url, [post(1, slots={"order": "[%s1%]", "first": "[%ss0%]"})])
    words = vendor.requests[0]["personalizations"][0]["substitutions"]
    assert words == {"[%sss0%]": "[%s1%]", "[%sss1%]": "[%ss0%]"}


def test_an_address_that_comes_twice_gets_two_requests(httpserver):
    vendor = Vendor(httpserver)
    batch = [post(1), post(2, address="Person1@shop.example"), post(3)]
    results = send(vendor.url, batch)
    assert all(r.status is DeliveryStatus.ACCEPTED for r in results)
    people = sorted(len(body["personalizations"]) for body in vendor.requests)
    assert people == [1, 2]
    assert results[0].provider_id == results[2].provider_id != results[1].provider_id


def test_a_person_with_too_many_words_gets_a_request_with_the_full_text(httpserver):
    vendor = Vendor(httpserver)
    long = "é" * 5_000
    results = send(vendor.url, [post(1), post(2, slots={"order": "2", "first": long})])
    assert all(r.status is DeliveryStatus.ACCEPTED for r in results)
    alone = next(b for b in vendor.requests if "substitutions" not in b["personalizations"][0])
    assert alone["content"][0]["value"] == "Hello " + long
    assert alone["subject"] == "Order 2 is ready"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"slots": {"order": "1\r\nBcc: evil@x.example", "first": "A"}}, "line_break_in_subject"),
        ({"slots": {"order": "1\0", "first": "A"}}, "line_break_in_subject"),
        ({"slots": {"order": "1"}}, "missing_slot"),
        ({"address": "not an email"}, "bad_address"),
        ({"address": "a@shop.example\r\nBcc: b@x.example"}, "bad_address"),
        ({"address": "a@localhost"}, "bad_address"),
        ({"address": "a@@shop.example"}, "bad_address"),
        ({"address": ""}, "bad_address"),
        ({"unsubscribe_url": "https://shop.example/u> <x"}, "bad_unsubscribe_url"),
    ],
)
def test_one_bad_person_is_refused_before_the_request_and_the_others_are_sent(
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
    assert vendor.accepted() == ["person2@shop.example"]


def test_an_international_domain_is_sent_in_ascii(httpserver):
    vendor = Vendor(httpserver)
    send(vendor.url, [post(1, address="ann@bücher.example")])
    assert vendor.accepted() == ["ann@xn--bcher-kva.example"]


@pytest.mark.parametrize("field", [None, "personalizations.617.to.0.email"])
def test_one_that_sendgrid_refuses_is_set_aside_and_the_others_are_sent_once(httpserver, field):
    bad = "person617@shop.example"

    def judge(body):
        if any(p["to"][0]["email"] == bad for p in body["personalizations"]):
            return refuse(400, field)
        return None

    vendor = Vendor(httpserver, judge)
    results = send(vendor.url, [post(n) for n in range(1000)])
    refused = [r for r in results if r.status is not DeliveryStatus.ACCEPTED]
    assert [(r.status, r.fault) for r in refused] == [
        (DeliveryStatus.REJECTED, FaultClass.PERMANENT)
    ]
    assert results[617] is refused[0]
    assert refused[0].suppress == ("bad_address" if field else None)
    assert sorted(vendor.accepted()) == sorted(
        f"person{n}@shop.example" for n in range(1000) if n != 617
    )
    assert len(vendor.requests) <= 25


def test_a_fault_in_the_shared_text_is_ours_and_is_asked_once(httpserver):
    vendor = Vendor(httpserver, lambda body: refuse(400, "content.0.value"))
    results = send(vendor.url, [post(n) for n in range(50)])
    assert {(r.status, r.fault) for r in results} == {(DeliveryStatus.REJECTED, FaultClass.OURS)}
    assert len(vendor.requests) == 1


def test_a_request_that_is_too_large_is_halved(httpserver):
    def judge(body):
        return refuse(413) if len(body["personalizations"]) > 300 else None

    vendor = Vendor(httpserver, judge)
    results = send(vendor.url, [post(n) for n in range(1000)])
    assert all(r.status is DeliveryStatus.ACCEPTED for r in results)
    assert len(vendor.accepted()) == 1000


@pytest.mark.parametrize(
    ("http", "status", "fault"),
    [
        (401, DeliveryStatus.REJECTED, FaultClass.OURS),
        (403, DeliveryStatus.REJECTED, FaultClass.OURS),
        (404, DeliveryStatus.REJECTED, FaultClass.OURS),
        (413, DeliveryStatus.REJECTED, FaultClass.PERMANENT),
        (429, DeliveryStatus.RETRY, FaultClass.TRANSIENT),
        (408, DeliveryStatus.UNKNOWN, None),
        (500, DeliveryStatus.UNKNOWN, None),
        (503, DeliveryStatus.UNKNOWN, None),
        (301, DeliveryStatus.UNKNOWN, None),
    ],
)
def test_an_answer_is_judged_and_asked_once(httpserver, http, status, fault):
    vendor = Vendor(httpserver, lambda body: refuse(http, Location="/v3/elsewhere"))
    (result,) = send(vendor.url, [post(1)])
    assert (result.status, result.fault) == (status, fault)
    assert "shop.example" not in (result.detail or "")
    assert len(vendor.requests) == 1
    assert len(httpserver.log) == 1


def test_429_says_how_long_to_wait(httpserver):
    headers = {"Retry-After": "17"}
    vendor = Vendor(httpserver, lambda body: refuse(429, **headers))
    (result,) = send(vendor.url, [post(1)])
    assert result.retry_after == timedelta(seconds=17)


def test_a_page_in_place_of_an_answer_is_unknown(httpserver):
    vendor = Vendor(httpserver, lambda body: Response("<html>hello</html>", status=200))
    (result,) = send(vendor.url, [post(1)])
    assert result.status is DeliveryStatus.UNKNOWN


def test_nothing_listening_means_nothing_was_sent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    (result,) = send(url, [post(1)])
    assert (result.status, result.code) == (DeliveryStatus.RETRY, "not_connected")


@pytest.mark.parametrize("fate", ["reset", "silence", "drip"])
def test_a_call_that_breaks_after_the_bytes_left_is_unknown(fate):
    with broken_server(fate) as url:
        (result,) = send(url, [post(1)], timeout=timedelta(seconds=0.5))
    assert result.status is DeliveryStatus.UNKNOWN


@contextlib.contextmanager
def broken_server(fate: str):
    """Takes one request, then resets, stays silent, or answers a byte at a time."""
    done = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        connection.recv(65536)
        if fate == "reset":
            linger = (1).to_bytes(4, "little") + bytes(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        while fate == "drip" and not done.wait(0.1):
            with contextlib.suppress(OSError):
                connection.send(b"H")
        if fate == "silence":
            done.wait(10)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        done.set()
        thread.join()
        server.close()


def test_no_key_address_or_text_is_logged(httpserver, caplog):
    caplog.set_level(logging.DEBUG)
    vendor = Vendor(httpserver, lambda body: refuse(400, "personalizations.0.to.0.email"))
    send(vendor.url, [post(1)])
    assert not [w for w in (KEY, "canary", "person1@", "Ann1") if w in caplog.text]
