"""One call of the official SDK, and what its outcome means for the messages in it."""

import errno
import http.client
import json
import logging
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson
from python_http_client.client import Client
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from signalpost.crash_points import reach
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.providers.http import retry_after
from signalpost.providers.sendgrid.settings import SendGridSettings

DEFAULT_HOST = "https://api.sendgrid.com"
_SPLITTABLE = frozenset({400, 413})
_OUR_ACCOUNT = frozenset({401, 403, 404})
_SHARED_FIELDS = frozenset(
    {"from", "subject", "content", "asm", "categories", "tracking_settings", "mail_settings"}
)
_NOT_CONNECTED = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


class Next(StrEnum):
    """What to do after a call."""

    SETTLE = "settle"
    SPLIT = "split"  #: SendGrid refused all for the sake of one, or for the size: send the halves


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call did to every message in it. ``next`` is ``SPLIT`` only for refusals."""

    status: DeliveryStatus
    next: Next = Next.SETTLE
    provider_id: str | None = None
    fault: FaultClass | None = None
    code: str | None = None
    detail: str | None = None
    retry_after: timedelta | None = None
    suppress: str | None = None
    whole_account: bool = False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would silently become a GET that sends nothing."""

    def redirect_request(
        self,
        req: Any,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,  # noqa: ARG002 - urllib's signature
    ) -> NoReturn:
        raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)


class _PlainConnection(http.client.HTTPConnection):
    def getresponse(self) -> http.client.HTTPResponse:
        reach("send.left")
        return super().getresponse()


class _EncryptedConnection(http.client.HTTPSConnection):
    def getresponse(self) -> http.client.HTTPResponse:
        reach("send.left")
        return super().getresponse()


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, req)


class _Encrypted(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_EncryptedConnection, req)


class _Client(Client):
    """The SDK's HTTP client with an opener of ours, and headers that no two calls share.

    ``body``: the JSON that a call carries. The SDK would write it with the standard library, which
    takes a tenth of what a campaign's message costs.
    """

    def __init__(self, *, opener: Any, body: bytes = b"", **rest: Any) -> None:
        super().__init__(**rest)
        self._opener = opener
        self._body = body

    def carrying(self, body: bytes) -> "_Client":
        """Give a client whose call carries this body."""
        client = self._build_client()
        client._body = body
        return client

    def _build_client(self, name: str | None = None) -> "_Client":
        path: list[str] = list(self._url_path)  # pyright: ignore - the SDK has no types
        return _Client(
            opener=self._opener,
            body=self._body,
            host=self.host,
            version=self._version,
            request_headers=dict(self.request_headers),
            url_path=[*path, name] if name else path,
            timeout=self.timeout,
        )

    def _make_request(
        self,
        opener: Any,  # noqa: ARG002 - ours takes its place
        request: Any,
        timeout: float | None = None,
    ) -> Any:
        request.data = self._body
        return super()._make_request(self._opener, request, timeout=timeout)  # pyright: ignore


def _opener(host: str) -> urllib.request.OpenerDirector:
    """Follows no redirect, and calls a post office on this machine without a proxy."""
    here = urlsplit(host).hostname in ("127.0.0.1", "::1", "localhost")
    proxies = [urllib.request.ProxyHandler({})] if here else []
    return urllib.request.build_opener(_NoRedirects(), _Plain(), _Encrypted(), *proxies)


def connect(settings: SendGridSettings) -> _Client:
    """Give the SDK's client for an account; each call goes by ``carrying``."""
    # At DEBUG the SDK logs the key and every payload.
    logging.getLogger("python_http_client").setLevel(logging.WARNING)
    host = (settings.base_url or DEFAULT_HOST).rstrip("/")
    sdk = SendGridAPIClient(settings.api_key, host=host)
    return _Client(
        opener=_opener(host),
        host=host,
        request_headers=sdk.client.request_headers,
        version=3,
        timeout=settings.timeout.total_seconds(),
    )


class MailSend:
    """``POST /v3/mail/send``: called from threads, since the SDK waits."""

    def __init__(self, settings: SendGridSettings) -> None:
        self._client = connect(settings)

    def post(self, body: dict[str, Any]) -> Outcome:
        """Make one call. Never raises: what is not known is ``UNKNOWN``."""
        try:
            client: Any = self._client.carrying(_written(body))
            # As ``SendGridAPIClient.send`` does it; the client brings the body.
            response = client.mail.send.post(request_body={})
        except HTTPError as error:
            return _refused(error)
        except Exception as error:  # whatever broke, the bytes may have left
            return _broken(error)
        headers = dict(response.headers.items())
        provider_id = next((v for k, v in headers.items() if k.lower() == "x-message-id"), None)
        if response.status_code != 202 and not provider_id:
            return unknown(f"HTTP {response.status_code} without a message id")
        return Outcome(status=DeliveryStatus.ACCEPTED, provider_id=provider_id)


def _written(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # half a character, which only the standard library writes
        return json.dumps(body).encode()


def unknown(why: str) -> Outcome:
    """An outcome that nobody knows."""
    return Outcome(
        status=DeliveryStatus.UNKNOWN,
        detail=f"Nobody knows whether SendGrid took the message ({why}).",
    )


def not_connected() -> Outcome:
    """A call that certainly never began."""
    return Outcome(
        status=DeliveryStatus.RETRY,
        fault=FaultClass.TRANSIENT,
        code="not_connected",
        detail="No connection to SendGrid could be made; nothing was sent.",
    )


def _broken(error: Exception) -> Outcome:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    no_route = isinstance(reason, OSError) and reason.errno in _NO_ROUTE
    if isinstance(reason, _NOT_CONNECTED) or no_route:
        return not_connected()
    return unknown(type(reason).__name__)


def _refused(error: HTTPError) -> Outcome:
    """Judge a refusal by its HTTP status and, for a 400, by the field that SendGrid names."""
    http = int(error.status_code)
    if http == 429:
        headers: Mapping[str, str] = dict((error.headers or {}).items())
        return Outcome(
            status=DeliveryStatus.RETRY,
            fault=FaultClass.TRANSIENT,
            code="429",
            detail="Too many requests; SendGrid did not process this one.",
            retry_after=retry_after(headers),
        )
    if http < 400 or http >= 500 or http == 408:
        return unknown(f"HTTP {http}")
    field = _field(error.body) if http == 400 else ""
    ours = http not in _SPLITTABLE or field.split(".")[0] in _SHARED_FIELDS
    at = f" at {field}" if field else ""
    detail = f"SendGrid refused the message with HTTP {http}{at}."
    return Outcome(
        status=DeliveryStatus.REJECTED,
        next=Next.SETTLE if ours else Next.SPLIT,
        fault=FaultClass.OURS if ours else FaultClass.PERMANENT,
        code=str(http),
        detail="SendGrid did not accept our key (HTTP 401)." if http == 401 else detail,
        suppress="bad_address" if re.search(r"\.to\.\d+\.email$", field) else None,
        whole_account=http in _OUR_ACCOUNT,
    )


def _field(raw: bytes | str) -> str:
    """The field of the first error, reduced to a path so that no personal data is kept."""
    try:
        field = json.loads(raw)["errors"][0]["field"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return field if isinstance(field, str) and re.fullmatch(r"[a-z0-9_.]{1,80}", field) else ""
