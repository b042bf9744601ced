"""Asks Twilio what it took, and what it received for us: ``GET /Messages.json``.

Filtered by ``To`` only. ``DateSent`` is null while a message is queued, so a filter by it would hide
just the message that is looked for (providers' page on the Messages list).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from signalpost.domain.delivery import Inbound, Receipt, Sought
from signalpost.domain.text import could_be, fill
from signalpost.providers.twilio.provider import connect
from signalpost.providers.twilio.settings import PREFIX, TwilioSettings
from signalpost.providers.twilio.webhooks import parse_inbound, parse_status

log = structlog.get_logger(__name__)

#: Twilio's clock and ours differ, and its times are whole seconds.
_EARLIER = timedelta(seconds=60)
#: A request may wait for its turn that long before it leaves; a later message is another attempt's.
_LATER = timedelta(minutes=30)
_PAGE = 200
_PAGES = 10


class TwilioTracer:
    """Asks every account of ours, the second one too."""

    name = "twilio"
    is_forgetful = True  # five retries by our own wish, one without it; then a callback is gone

    def __init__(self, *accounts: TwilioSettings) -> None:
        self._accounts = accounts

    async def trace(self, sought: Sought, *, now: datetime) -> Sequence[Receipt] | None:
        """Give the messages that may be this delivery: same number, same words, in its time."""
        found: list[Receipt] = []
        for settings in self._accounts:
            try:
                async with _opened(settings) as client:
                    rows = await self._candidates(client, sought)
            except Exception as error:  # whatever it was, nothing is known by it
                log.warning("trace.failed", provider=self.name, error=type(error).__name__)
                return None
            found += [_receipt(row, now) for row in rows]
        return found

    async def _candidates(self, client: Client, sought: Sought) -> list[Any]:
        if sought.provider_id is not None:
            return await _fetched(client, sought.provider_id)
        rows = await _pages(client, since=sought.since - _EARLIER, to=_to(sought))
        if sought.until is not None:
            return _in_this_wording(rows, sought, sought.until)
        body = fill(sought.parts, sought.slots)["text"]
        last = sought.since + _LATER
        alike = [
            row
            for row in rows
            if row.direction == "outbound-api" and row.body == body and row.date_created <= last
        ]
        return alike[::-1]  # the oldest first: of two alike, the one nearest to the attempt

    async def received(self, *, since: datetime) -> Sequence[Inbound] | None:
        """Give what came to our numbers since then, oldest first."""
        found: list[Inbound] = []
        for settings in self._accounts:
            try:
                async with _opened(settings) as client:
                    for number in _our_numbers(settings):
                        rows = await _pages(client, since=since, to=number)
                        found += [_inbound(row) for row in rows if row.direction == "inbound"]
            except Exception as error:
                log.warning("poll.failed", provider=self.name, error=type(error).__name__)
                return None
        return sorted(found, key=lambda one: one.at)


def _in_this_wording(rows: Sequence[Any], sought: Sought, until: datetime) -> list[Any]:
    """What was sent in a time that the record knows nothing of: the same words around the slots."""
    return [
        row
        for row in reversed(rows)
        if row.direction == "outbound-api"
        and row.date_created <= until + _EARLIER
        and could_be(sought.parts["text"], row.body or "")
    ]


@asynccontextmanager
async def _opened(settings: TwilioSettings) -> AsyncIterator[Client]:
    http, client = connect(settings, concurrency=1)
    try:
        async with asyncio.timeout(settings.timeout.total_seconds()):
            yield client
    finally:
        await http.close()


async def _fetched(client: Client, sid: str) -> list[Any]:
    try:
        return [await client.messages(sid).fetch_async()]
    except TwilioRestException as error:
        if error.status == 404:
            return []
        raise


async def _pages(client: Client, *, since: datetime, to: str) -> list[Any]:
    """List messages to an address, newest first, until they are older than asked for."""
    found: list[Any] = []
    page: Any = await client.messages.page_async(to=to, page_size=_PAGE)
    for _ in range(_PAGES):
        rows = list(page)
        found += [row for row in rows if row.date_created >= since]
        if not rows or any(row.date_created < since for row in rows):
            break
        page = await page.next_page_async()
        if page is None:
            break
    return found


def _to(sought: Sought) -> str:
    prefix = PREFIX[sought.channel]
    return prefix + sought.address.removeprefix(prefix or " ")


def _our_numbers(settings: TwilioSettings) -> list[str]:
    numbers = [settings.sender] if settings.sender else []
    if settings.whatsapp_sender:
        numbers.append("whatsapp:" + settings.whatsapp_sender.removeprefix("whatsapp:"))
    return numbers


def _receipt(row: Any, now: datetime) -> Receipt:
    """Say it as the callback would have: a callback that comes after all is then a repeat."""
    form = {"MessageSid": row.sid, "MessageStatus": str(row.status), "To": row.to}
    if row.error_code:
        form["ErrorCode"] = str(row.error_code)
    return parse_status(form, now=now)


def _inbound(row: Any) -> Inbound:
    form = {"MessageSid": row.sid, "From": row.from_, "To": row.to, "Body": row.body or ""}
    return replace(parse_inbound(form, now=row.date_created), raw={**form, "polled": "true"})
