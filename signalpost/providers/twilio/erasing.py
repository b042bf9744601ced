"""Has Twilio forget messages: ``DELETE /Messages/{Sid}.json``, text, number and all.

Beside the messages that we know by their sid, those that went between one of our own senders and the
number are deleted: answers that Twilio sent for us, and messages of which we never learnt whether they
went out. What other systems sent from other numbers of the account is left alone.

A message that is still under way cannot be deleted (error 20009); it is asked again later.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from signalpost.domain.erasure import Erased, NotErasedError
from signalpost.domain.vocabulary import Channel
from signalpost.providers.twilio.provider import connect
from signalpost.providers.twilio.settings import PREFIX, TwilioSettings

_AT_ONCE = 8
_PAGE = 1_000
_DONE, _GONE = "deleted", "not there"


class TwilioEraser:
    """Erases message by message, either way they went, on every account of ours."""

    name = "twilio"

    def __init__(self, *accounts: TwilioSettings) -> None:
        self._accounts = [_Account(one) for one in accounts]

    async def erase(self, *, addresses: Sequence[str], provider_ids: Sequence[str]) -> Erased:
        """Delete these messages and those with these numbers; those that are gone already are fine.

        Raises:
            NotErasedError: Twilio cannot be reached, refuses, or has some of them under way.
        """
        numbers = [one for one in addresses if "@" not in one]
        gone = 0
        for account in self._accounts:
            gone += await account.erase(numbers, provider_ids)
        return Erased(addresses=len(numbers), messages=gone)


class _Account:
    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        self._senders = {
            PREFIX[channel] + own.removeprefix(PREFIX[channel])
            for channel, own in (
                (Channel.SMS, settings.sender),
                (Channel.WHATSAPP, settings.whatsapp_sender),
                (Channel.MESSENGER, settings.messenger_sender),
            )
            if own
        }

    async def erase(self, numbers: Sequence[str], provider_ids: Sequence[str]) -> int:
        """Delete what is this account's; gives how many messages it had."""
        http, client = connect(self._settings, concurrency=_AT_ONCE)
        slots = asyncio.Semaphore(_AT_ONCE)
        try:
            sids = [*provider_ids, *await self._with(client, numbers)]
            done = await asyncio.gather(
                *(self._delete(client, sid, slots) for sid in dict.fromkeys(sids))
            )
        finally:
            await http.close()
        if failed := sorted({why for why in done if why not in (_DONE, _GONE)}):
            raise NotErasedError(f"Twilio: {', '.join(failed)}")
        return done.count(_DONE)

    async def _with(self, client: Client, numbers: Iterable[str]) -> list[str]:
        """Find the messages between our senders and these numbers, on every channel."""
        found: list[str] = []
        for number in numbers:
            for prefix in set(PREFIX.values()):
                address = prefix + number.removeprefix(prefix)
                try:
                    async with asyncio.timeout(self._settings.timeout.total_seconds()):
                        to = await client.messages.list_async(to=address, page_size=_PAGE)
                        by = await client.messages.list_async(from_=address, page_size=_PAGE)
                except Exception as error:  # the text may quote the number: only its kind is told
                    raise NotErasedError(f"Twilio: {_kind(error)}") from None
                found += [str(one.sid) for one in (*to, *by) if self._is_ours(one)]
        return found

    def _is_ours(self, message: Any) -> bool:
        service = self._settings.messaging_service_sid
        return (
            message.from_ in self._senders
            or message.to in self._senders
            or (service is not None and message.messaging_service_sid == service)
        )

    async def _delete(self, client: Client, sid: str, slots: asyncio.Semaphore) -> str:
        """Delete one message; gives whether it was there, or why it could not be deleted."""
        async with slots:
            try:
                async with asyncio.timeout(self._settings.timeout.total_seconds()):
                    await client.messages(sid).delete_async()
            except TwilioRestException as error:
                return _GONE if error.status == 404 else _kind(error)
            except Exception as error:  # not reached, too slow, or not understood: asked again
                return _kind(error)
        return _DONE


def _kind(error: Exception) -> str:
    if isinstance(error, TwilioRestException):
        return f"error {error.code or error.status}"
    return type(error).__name__
