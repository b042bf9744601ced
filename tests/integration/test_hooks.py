"""Webhooks out: signed, the same id on every attempt, and an honest word on how they ended."""

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from werkzeug import Request, Response

from signalpost.domain.delivery import HookOutcome
from signalpost.errors import ConfigurationError
from signalpost.providers.hooks import Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = {"card": "card-1", "reason": "fraud"}


LOOPBACK = ("127.0.0.0/8", "::1/128")


def call(
    url: str, *, times: int = 1, seconds: float = 5, private: Sequence[str] = LOOPBACK
) -> list[HookOutcome]:
    async def whole() -> list[HookOutcome]:
        hooks = Webhooks(
            urls={"block_card": url},
            secrets=[SECRET],
            private=private,
            timeout=timedelta(seconds=seconds),
        )
        try:
            return [
                await hooks.call(hook="block_card", call_id="call-1", body=BODY)
                for _ in range(times)
            ]
        finally:
            await hooks.close()

    return asyncio.run(whole())


def test_a_call_is_signed_and_can_be_told_from_a_second_one(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/block").respond_with_data("", 204)
    answers = call(httpserver.url_for("/block"), times=2)
    assert [one.status for one in answers] == ["done", "done"]
    sent = [request for request, _ in httpserver.log]
    assert [request.headers["webhook-id"] for request in sent] == ["call-1", "call-1"]
    for request in sent:
        verified = Webhook(SECRET).verify(request.data, dict(request.headers))
        assert verified == {"type": "block_card", "data": BODY}


@pytest.mark.parametrize(
    ("code", "headers", "status"),
    [
        (200, {}, "done"),
        (429, {}, "retry"),
        (503, {"Retry-After": "5"}, "retry"),
        (503, {}, "unknown"),
        (500, {}, "unknown"),
        (400, {}, "failed"),
        (410, {}, "failed"),
        (302, {"Location": "http://127.0.0.1:1/elsewhere"}, "failed"),
    ],
)
def test_each_answer_means_what_may_be_done_next(
    httpserver: HTTPServer, code: int, headers: dict, status: str
) -> None:
    httpserver.expect_request("/block").respond_with_data("", code, headers)
    assert call(httpserver.url_for("/block"))[0].status == status
    assert len(httpserver.log) == 1


def test_a_refused_connection_may_be_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert call(f"http://127.0.0.1:{port}/block")[0].status == "retry"


def test_silence_is_unknown(httpserver: HTTPServer, until_released: Callable) -> None:
    httpserver.expect_request("/block").respond_with_handler(until_released)
    answer = call(httpserver.url_for("/block"), seconds=0.2)[0]
    assert (answer.status, answer.detail) == ("unknown", "no answer in time")


@pytest.fixture
def until_released():
    from threading import Event

    released = Event()

    def handler(_: Request) -> Response:
        released.wait(10)
        return Response(status=204)

    yield handler
    released.set()


def test_a_hook_without_an_address_says_which_setting_to_set() -> None:
    async def whole() -> HookOutcome:
        return await Webhooks(urls={}, secrets=[SECRET]).call(hook="ring", call_id="1", body={})

    answer = asyncio.run(whole())
    assert answer.status == "failed"
    assert "SIGNALPOST_HOOKS" in str(answer.detail)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "http://"])
def test_only_web_addresses_are_called(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not http"):
        Webhooks(urls={"x": url}, secrets=[SECRET])


def test_what_is_told_about_an_answer_holds_nothing_of_the_body(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/block").respond_with_data("card-1 belongs to Jane", 400)
    assert "Jane" not in json.dumps(call(httpserver.url_for("/block"))[0].detail)
