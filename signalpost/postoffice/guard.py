"""Keeps other web sites out of a service that listens on this machine."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalpost.postoffice.config import LOOPBACK_HOSTS

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Refuses foreign host names and cross-site writes, and sets the security headers."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._only_loopback = host in LOOPBACK_HOSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(("/2010-04-01/", "/v3/")):
            await self._app(scope, receive, send)  # has keys of its own
            return
        headers = Headers(scope=scope)
        if self._is_foreign(headers) or _is_cross_site(scope["method"], headers):
            refused = PlainTextResponse("This request comes from another site.", 403)
            await refused(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                found.setdefault("content-security-policy", _PAGE_POLICY)
                found.setdefault("x-content-type-options", "nosniff")
                found.setdefault("referrer-policy", "no-referrer")
                found.setdefault("cache-control", "no-store")
                found.setdefault("cross-origin-opener-policy", "same-origin")
                found.setdefault("cross-origin-resource-policy", "same-origin")
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _is_foreign(self, headers: Headers) -> bool:
        """Say whether a name that points here (DNS rebinding) was used to reach us."""
        name = urlsplit("//" + headers.get("host", "")).hostname or ""
        return self._only_loopback and name not in LOOPBACK_HOSTS


def _is_cross_site(method: str, headers: Headers) -> bool:
    if method in _SAFE_METHODS:
        return False
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
