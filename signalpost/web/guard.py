"""What holds for every request: our own name, bounded head and body, cautious headers, mute faults."""

import asyncio
import traceback
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalpost.settings import Settings
from signalpost.web.errors import Problem

MOST_BYTES = 500 * 1024  #: of a body; each route has a bound of its own, none a higher one
MOST_WEBHOOK_BYTES = 8 * 1024 * 1024  #: SendGrid's batches are the largest that any route takes
MOST_HEADERS = 100
MOST_HEADER_BYTES = 32 * 1024  #: of all headers and the query together
MOST_BYTES_TOGETHER = 64 * 1024 * 1024  #: of all bodies that are being served at a moment
BODY_SECONDS = 30.0  #: within which a body must have come

_WEBHOOKS = "/webhooks/"
_PROBES = ("/healthz", "/readyz", "/metrics")  #: whoever probes knows us by a number
_HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",  # no-referrer would hide a form's origin from ourselves
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
_HSTS = {b"strict-transport-security": b"max-age=31536000"}
_MOST_SPELLINGS = 100  #: of our names, remembered

log = structlog.get_logger(__name__)


class Guard:
    """ASGI middleware; plain, since every signal passes through it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        https: bool,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._known: set[bytes] = set()
        self._headers = _HEADERS | (_HSTS if https else {})
        self._names, self._list = frozenset(self._headers), list(self._headers.items())
        self.patience = _Patience(body_seconds)
        self._bytes = 0  #: of the bodies that are being served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message["headers"]
                there = self._names.intersection([name for name, _ in headers])
                missing = self._list if not there else self._without(there)
                message["headers"] = [*headers, *missing]
            await send(message)

        body = _Body(self, receive, limit=_limit_of(scope))
        try:
            self._check_head(scope, body.limit)
            await self._app(scope, body.receive, guarded_send)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Problem as problem:
            await problem.response()(scope, receive, guarded_send)
        except Exception as error:  # its text may hold personal data, so only its kind is told
            log.error("web.failed", error=type(error).__name__, where=_where(error))  # noqa: TRY400
            if not started:
                answer = Problem(500, "Something went wrong here; the log says what kind.")
                await answer.response()(scope, receive, guarded_send)
        finally:
            self._bytes -= body.size
            self.patience.forget(body)

    def _without(self, there: Container[bytes]) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in self._list if name not in there]

    def _check_head(self, scope: Scope, limit: int) -> None:
        """Refuse what the head of a request says already.

        Raises:
            Problem: 400, 413, 421 or 431.
        """
        headers = scope["headers"]
        size, host, stated, chunked = len(scope["query_string"]), b"", 0, False
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"host":
                host = value
            elif name == b"content-length" and value.isdigit():
                stated = int(value[:20])
            elif name == b"transfer-encoding":
                chunked = True
        if len(headers) > MOST_HEADERS or size > MOST_HEADER_BYTES:
            raise Problem(431, "The headers are too many or too large.")
        if host not in self._known and not self._is_ours(host) and scope["path"] not in _PROBES:
            raise Problem(
                421,
                "This server is not known by that name; add it to SIGNALPOST_HOSTS if it is yours.",
            )
        if chunked and stated:  # two servers may differ about where such a body ends
            raise Problem(400, "Give a length or send chunks, not both.", headers=_CLOSE)
        if stated > limit:
            raise too_large(limit)

    def _is_ours(self, host: bytes) -> bool:
        ours = "*" in self._hosts or _name_in(host) in self._hosts
        if ours and len(self._known) < _MOST_SPELLINGS:
            self._known.add(host)
        return ours

    def take(self, count: int) -> None:
        """Count bytes of bodies that are held at the same time.

        Raises:
            Problem: 503, there are too many.
        """
        self._bytes += count
        if self._bytes > MOST_BYTES_TOGETHER:
            raise Problem(503, "Too much is being received at once; send it again.", headers=_AGAIN)


_CLOSE = {"connection": "close"}  #: what is still to come is not waited for
_AGAIN = {"retry-after": "1"}


class _Body:
    """The body of one request, as it comes."""

    def __init__(self, guard: Guard, receive: Receive, *, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._guard = guard
        self._receive = receive
        self._whole = False

    async def receive(self) -> Message:
        """Give the next piece; after the last one, wait for the client to go away.

        Raises:
            Problem: 408 it comes too slowly, 413 it is too large, 503 too many come at once.
        """
        if self._whole:
            return await self._receive()
        message = await self._guard.patience.wait(self._receive, self)
        piece = len(message.get("body", b""))
        self.size += piece
        self._guard.take(piece)
        if self.size > self.limit:
            raise too_large(self.limit)
        if not message.get("more_body", False):
            self._whole = True
            self._guard.patience.forget(self)
        return message


class _Patience:
    """An end to waiting for bodies: one look now and then at all who wait, no timer for each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[_Body, _Waiting] = {}
        self._looks = False

    async def wait(self, receive: Receive, body: _Body) -> Message:
        """Give the next piece of a body.

        Raises:
            Problem: 408, it did not come in time.
        """
        waiting = self._waiting.get(body)
        if waiting is None:
            loop = asyncio.get_running_loop()
            waiting = _Waiting(asyncio.current_task(), loop.time() + self._seconds)
            self._waiting[body] = waiting
            if not self._looks:
                self._looks = True
                loop.call_later(self._seconds / 4, self._look, loop)
        try:
            return await receive()
        except asyncio.CancelledError:
            if waiting.task is None or not waiting.is_over or waiting.task.uncancel():
                raise
            raise Problem(408, "The body came too slowly; send it again.", headers=_CLOSE) from None

    def forget(self, body: _Body) -> None:
        """Wait no more: it came, or nobody wants it."""
        self._waiting.pop(body, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for waiting in self._waiting.values():
            if waiting.until <= now and waiting.task is not None and not waiting.is_over:
                waiting.is_over = True
                waiting.task.cancel()
        self._looks = bool(self._waiting)
        if self._looks:
            loop.call_later(self._seconds / 4, self._look, loop)


@dataclass(slots=True)
class _Waiting:
    """Somebody whose body has not come whole."""

    task: asyncio.Task[Any] | None
    until: float
    is_over: bool = False


def too_large(limit: int) -> Problem:
    """Make the refusal of a body over ``limit`` bytes."""
    return Problem(413, f"The body is larger than {limit:,} bytes; send less.")


def hosts_of(settings: Settings) -> set[str]:
    """Give the names that the web answers to; any other one is somebody else's, led to our address.

    A page elsewhere whose name is pointed at this machine (DNS rebinding) must not speak to us.
    """
    named = {"localhost", "127.0.0.1", "[::1]", *settings.hosts}
    for url in (settings.public_url, settings.web_url):
        named.add(_name_in(urlsplit(url or "").netloc.encode()))
    return named - {""}


def is_https(settings: Settings) -> bool:
    """Tell whether people reach us by https."""
    return settings.base_url.startswith("https://")


def _name_in(host: bytes) -> str:
    """Give the name in a Host header, without its port."""
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (name.endswith("]") or ":" not in name):
        text = name
    return text.removesuffix(".")


def _limit_of(scope: Scope) -> int:
    return MOST_WEBHOOK_BYTES if scope["path"].startswith(_WEBHOOKS) else MOST_BYTES


def _where(error: BaseException) -> str:
    """The place in our own code that an error came from; a place holds no personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "signalpost" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "unknown"
