"""Runs a real post office, and a product that receives its webhooks, on ports of their own."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from signalpost.postoffice import PostOfficeConfig, create_app, new_sendgrid_keypair

ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "twilio-test-token"
KEY = "SG.test.key"
PRIVATE, PUBLIC = new_sendgrid_keypair()
OURS = "+12025550100"
SERVICE = "MG" + "a" * 32
ANN = "+14155550123"
#: One client for all calls: making one costs more than the call itself.
http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class Hook:
    """One webhook as the product received it."""

    path: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class Product:
    """A product that keeps every webhook, and answers what the test tells it to."""

    url: str = ""
    hooks: list[Hook] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)  # the next answers, then 200

    def app(self) -> Starlette:
        async def take(request: Request) -> Response:
            body = await request.body()
            self.hooks.append(Hook(request.url.path, str(request.url), dict(request.headers), body))
            status, text = self.answers.pop(0) if self.answers else (200, "")
            return Response(text, status)

        return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])

    def to(self, path: str) -> list[Hook]:
        return [hook for hook in self.hooks if hook.path == path]


@contextmanager
def serving(app: Any, *, wait: bool = True) -> Iterator[str]:
    """Serve an application on a free port of its own until the block ends (``wait``: has ended)."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        if wait:
            thread.join(10)
            listener.close()


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@dataclass
class Office:
    """A running post office and the product beside it."""

    url: str
    product: Product
    config: PostOfficeConfig


def config_for(folder: Path, product: str, **changes: Any) -> PostOfficeConfig:
    """Return the settings of a test post office."""
    config = PostOfficeConfig(
        log_path=folder / "postoffice.jsonl",
        twilio_account_sid=ACCOUNT,
        twilio_auth_token=TOKEN,
        sendgrid_api_key=KEY,
        sendgrid_webhook_private_key=PRIVATE,
        sendgrid_events_url=product + "/webhooks/sendgrid/events",
        twilio_inbound_url=product + "/webhooks/twilio/inbound",
        delay=0,
    )
    return replace(config, **changes)


@contextmanager
def open_office(folder: Path, **changes: Any) -> Iterator[Office]:
    """Run a post office whose log is in this folder, and a product for its webhooks."""
    product = Product()
    with serving(product.app(), wait=False) as product_url:
        product.url = product_url
        config = config_for(folder, product_url, **changes)
        with serving(create_app(config)) as url:
            yield Office(url, product, config)
