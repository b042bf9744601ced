"""Webhooks out, signed by the Standard Webhooks specification: how other systems of ours are told.

The id is the same on every attempt, so the receiver can tell a repeat from a second call
(standardwebhooks.com, "webhook-id"). Addresses come from the settings alone, never from an event; where
they lead is judged when the connection is made (``addresses``). Redirects are not followed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from standardwebhooks import Webhook

from signalpost.domain.delivery import HookOutcome
from signalpost.errors import ConfigurationError
from signalpost.providers.addresses import Exempt, ForbiddenAddressError, guarded_sockets

_FORBIDDEN = (
    "its address is not public, or not on a port of the web; "
    "SIGNALPOST_HOOKS_PRIVATE allows networks"
)


class Webhooks:
    """Calls the addresses that the settings name, and no others.

    ``secrets``: the newest last; every call is signed with each, so that the receiver may change over
    when it likes. ``private``: networks that may be called although they are not public.

    Raises:
        ConfigurationError: an address is not http(s), a secret is not base64, a network is none.
    """

    def __init__(
        self,
        *,
        urls: Mapping[str, str],
        secrets: Sequence[str],
        private: Sequence[str] = (),
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        for name, url in urls.items():
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigurationError(f"The address of the hook {name!r} is not http or https.")
        try:
            self._signers = [Webhook(secret) for secret in reversed(secrets)]
        except Exception as error:
            raise ConfigurationError(
                "SIGNALPOST_HOOK_SECRET or SIGNALPOST_HOOK_OLD_SECRETS is not a webhook secret; it "
                "is whsec_ and base64."
            ) from error
        self._exempt = [Exempt.parse(one) for one in private]
        self._urls = dict(urls)
        self._timeout = timeout
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(self, *, hook: str, call_id: str, body: Mapping[str, Any]) -> HookOutcome:
        """Post ``body`` to the hook's address. Never raises for what the network does."""
        url = self._urls.get(hook)
        if url is None:
            return HookOutcome(
                status="failed",
                detail=f"no address is set for {hook!r}; add it to SIGNALPOST_HOOKS",
            )
        data = orjson.dumps({"type": hook, "data": body}, option=orjson.OPT_NON_STR_KEYS)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._post(url, call_id, data)
        except aiohttp.InvalidURL:
            return HookOutcome(status="failed", detail="its address is not one that can be called")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ForbiddenAddressError):
                return HookOutcome(status="failed", detail=_FORBIDDEN)
            return HookOutcome(status="retry", detail="no connection")
        except aiohttp.ConnectionTimeoutError:
            return HookOutcome(status="retry", detail="no connection")
        except TimeoutError:
            return HookOutcome(status="unknown", detail="no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return HookOutcome(status="unknown", detail=f"connection lost ({type(error).__name__})")

    async def _post(self, url: str, call_id: str, data: bytes) -> HookOutcome:
        now = self._clock().astimezone(UTC)
        headers = {
            "content-type": "application/json",
            "user-agent": "signalpost",
            "webhook-id": call_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(
                signer.sign(call_id, now, data.decode()) for signer in self._signers
            ),
        }
        session = self._connected()
        async with session.post(url, data=data, headers=headers, allow_redirects=False) as answer:
            return _judge(answer.status, waits="retry-after" in answer.headers)

    def _connected(self) -> aiohttp.ClientSession:
        """One session for the running event loop."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            connector = aiohttp.TCPConnector(socket_factory=guarded_sockets(self._exempt))
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
            self._loop = loop
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None and self._loop is asyncio.get_running_loop():
            await self._session.close()
        self._session = None


def _judge(status: int, *, waits: bool) -> HookOutcome:
    detail = f"answered {status}"
    if 200 <= status < 300:
        return HookOutcome(status="done", detail=detail)
    if status == 429 or (status == 503 and waits):
        return HookOutcome(status="retry", detail=detail)
    if status >= 500:
        return HookOutcome(status="unknown", detail=detail)
    return HookOutcome(status="failed", detail=detail)
