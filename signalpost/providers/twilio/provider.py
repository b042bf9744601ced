"""Hands messages to Twilio, one request each, through the official async client."""

import asyncio
import logging
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import aiohttp
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from signalpost import crash_points
from signalpost.domain.delivery import Handover, Letter, Outgoing, withheld
from signalpost.domain.text import fill
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass
from signalpost.providers.http import retry_after
from signalpost.providers.twilio.callbacks import status_callback
from signalpost.providers.twilio.faults import FAULTS
from signalpost.providers.twilio.settings import PREFIX, TwilioSettings

MAX_BODY = 1600
LONGEST_VALIDITY = 36_000
_PHONE = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_PAGE_SCOPED_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
_OUR_REQUEST = frozenset({401, 403, 404, 405, 406, 415})
_OUR_ACCOUNT = frozenset({401, 404})
_KEEP_ALIVE = 4.0  # seconds; below the 5 of common servers, so that they never hang up on a request


class TooManyRequestsError(Exception):
    """Twilio answered 429: it did not process the request."""

    def __init__(self, wait: timedelta | None) -> None:
        super().__init__()
        self.wait = wait


class _HttpClient(AsyncTwilioHttpClient):
    """The official client with a session of ours, and the wait that a 429 asks for.

    ``max_retries`` stays unset: it would post a message again after a 500.
    """

    def __init__(self, concurrency: int) -> None:
        super().__init__(pool_connections=False)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=_KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_told_when_it_left()] if crash_points.executioner else None,
        )

    async def request(self, *args: Any, **kwargs: Any) -> Any:
        response = await super().request(*args, **kwargs)
        if response.status_code == 429:
            raise TooManyRequestsError(retry_after(response.headers or {}))
        return response


def _told_when_it_left() -> aiohttp.TraceConfig:
    async def left(*_: object) -> None:
        crash_points.reach("send.left")

    told = aiohttp.TraceConfig()
    told.on_request_chunk_sent.append(left)
    return told


def connect(settings: TwilioSettings, *, concurrency: int) -> tuple[_HttpClient, Client]:
    """Give the SDK's client for an account, and the session to close, for the running event loop."""
    # At INFO and below the SDK logs addresses and whole requests.
    for name in ("twilio", "twilio.http_client", "twilio.async_http_client"):
        logging.getLogger(name).setLevel(logging.WARNING)
    http = _HttpClient(concurrency)
    client = Client(
        settings.api_key,
        settings.api_secret,
        settings.account_sid,
        http_client=http,
        environment={"": ""},  # settings come from us alone, not from TWILIO_* variables
    )
    if settings.base_url:
        client.api.base_url = settings.base_url.rstrip("/")
    return http, client


class Twilio:
    """SMS, WhatsApp and Messenger by Twilio's Messages API."""

    name = "twilio"
    channels = frozenset(PREFIX)
    max_batch = 500

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None

    async def hand_over(self, letter: Letter, batch: Sequence[Outgoing]) -> list[Handover]:
        """Send each message; bounded calls in flight, one ``Handover`` each, same order."""
        self._connect()
        return list(await asyncio.gather(*[self._hand_over_one(letter, out) for out in batch]))

    async def close(self) -> None:
        """Close the connections."""
        if self._loop is asyncio.get_running_loop():
            await self._http.close()
        self._loop = None

    def _connect(self) -> None:
        """Open one client and one session for the running event loop, and keep them."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        settings = self._settings
        self._http, self._client = connect(settings, concurrency=settings.concurrency)
        self._messages = self._client.messages
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._loop = loop

    async def _hand_over_one(self, letter: Letter, out: Outgoing) -> Handover:
        request = self._request(letter, out)
        if isinstance(request, Handover):
            return request
        async with self._slots:
            if letter.kept_back([out.delivery_id]):  # its turn came too late
                return withheld(self.name)
            return await self._call(request)

    async def _call(self, request: dict[str, Any]) -> Handover:
        """Make the call and say what is known about its outcome."""
        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                answer = await self._messages.create_async(**request)
        except TooManyRequestsError as error:
            return self._by_code(http=429, code=20429, wait=error.wait)
        except TwilioRestException as error:
            return self._by_code(http=error.status, code=error.code)
        except aiohttp.ClientConnectorError:
            return self._settle(
                DeliveryStatus.RETRY,
                fault=FaultClass.TRANSIENT,
                code="not_connected",
                detail="No connection to Twilio could be made; nothing was sent.",
            )
        except Exception as error:  # whatever broke, the bytes may have left
            return self._unknown(type(error).__name__)
        if answer.status in ("failed", "undelivered"):
            return self._by_code(http=400, code=answer.error_code)
        if not answer.sid:
            return self._unknown("no sid")
        return self._settle(DeliveryStatus.ACCEPTED, provider_id=answer.sid)

    def _request(self, letter: Letter, out: Outgoing) -> dict[str, Any] | Handover:
        """The arguments of the call, or the refusal of a message that could not work."""
        channel = letter.channel
        address = out.address.removeprefix(PREFIX[channel] or " ")
        shape = _PAGE_SCOPED_ID if channel == Channel.MESSENGER else _PHONE
        if not shape.fullmatch(address):
            return self._refuse(
                "21211", "The address is not valid for this channel.", suppress="bad_address"
            )
        try:
            body = fill(letter.parts, out.slots)["text"]
        except KeyError:
            return self._refuse("missing_slot", "A value for the text was missing.")
        if not body.strip():
            return self._refuse("21602", "The text was empty.")
        if len(body) > MAX_BODY:
            return self._refuse("21617", "The text was longer than 1,600 characters.")
        sender = self._sender(channel)
        if not sender:
            return self._settle(
                DeliveryStatus.REJECTED,
                fault=FaultClass.OURS,
                code="no_sender",
                detail=f"No sender is configured for {channel}.",
            )
        options = self._options(letter, out)
        return {"to": PREFIX[channel] + address, "body": body, **sender, **options}

    def _sender(self, channel: Channel) -> dict[str, str]:
        settings = self._settings
        if channel == Channel.SMS:
            pair = {
                "from_": settings.sender,
                "messaging_service_sid": settings.messaging_service_sid,
            }
            return {name: value for name, value in pair.items() if value}
        own = {
            Channel.WHATSAPP: settings.whatsapp_sender,
            Channel.MESSENGER: settings.messenger_sender,
        }[channel]
        return {"from_": PREFIX[channel] + own.removeprefix(PREFIX[channel])} if own else {}

    def _options(self, letter: Letter, out: Outgoing) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self._settings.status_callback:
            options["status_callback"] = status_callback(
                self._settings.status_callback,
                message_id=out.message_id,
                delivery_id=out.delivery_id,
                secret=self._settings.callback_secret,
            )
        if letter.valid_for is not None:
            seconds = int(letter.valid_for.total_seconds())
            options["validity_period"] = min(max(seconds, 1), LONGEST_VALIDITY)
        return options

    def _by_code(self, *, http: int, code: Any, wait: timedelta | None = None) -> Handover:
        """Judge an answer by Twilio's code, else by the HTTP status."""
        known = FAULTS.get(code) if isinstance(code, int) else None
        if known and (http < 500 or known.status is DeliveryStatus.RETRY):
            return self._settle(
                known.status,
                fault=known.fault,
                code=str(code),
                detail=known.sentence,
                retry_after=wait,
                suppress=known.suppress,
                whole_account=known.whole_account,
            )
        if http < 400 or http >= 500 or http == 408:
            return self._unknown(f"HTTP {http}", code=str(code or http))
        ours = http in _OUR_REQUEST
        return self._settle(
            DeliveryStatus.REJECTED,
            fault=FaultClass.OURS if ours else FaultClass.PERMANENT,
            code=str(code or http),
            detail=f"Twilio refused the message with HTTP {http}.",
            whole_account=http in _OUR_ACCOUNT,
        )

    def _unknown(self, why: str, *, code: str | None = None) -> Handover:
        return self._settle(
            DeliveryStatus.UNKNOWN,
            code=code,
            detail=f"Nobody knows whether Twilio took the message ({why}).",
        )

    def _refuse(self, code: str, detail: str, *, suppress: str | None = None) -> Handover:
        return self._settle(
            DeliveryStatus.REJECTED,
            fault=FaultClass.PERMANENT,
            code=code,
            detail=detail,
            suppress=suppress,
        )

    def _settle(self, status: DeliveryStatus, **rest: Any) -> Handover:
        return Handover(status=status, provider=self.name, **rest)
