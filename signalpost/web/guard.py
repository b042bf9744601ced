"""What holds for every request: a bounded body, cautious headers, and faults that tell nothing."""

import traceback
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalpost.web.errors import problem

#: SendGrid's batches are the largest that any route takes; each route has a bound of its own.
MOST_BYTES = 8 * 1024 * 1024

_HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}

log = structlog.get_logger(__name__)


class Guard:
    """ASGI middleware; plain, since every signal passes through it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in _HEADERS.items() if name not in there),
                ]
            await send(message)

        if _stated_length(scope) > MOST_BYTES:
            await problem(413, "The body is too large.")(scope, receive, guarded_send)
            return
        try:
            await self._app(scope, receive, guarded_send)
        except Exception as error:  # its text may hold personal data, so only its kind is told
            log.error("web.failed", error=type(error).__name__, where=_where(error))  # noqa: TRY400
            if not started:
                answer = problem(500, "Something went wrong here; the log says what kind.")
                await answer(scope, receive, guarded_send)


def _where(error: BaseException) -> str:
    """The place in our own code that an error came from; a place holds no personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "signalpost" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "unknown"


def _stated_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
