"""Has Twilio forget messages: ``DELETE /Messages/{Sid}.json``, text, number and all.

A message that is still under way cannot be deleted (error 20009); it is asked again later. Only
messages that this product knows are deleted: the account may serve other systems too.
"""

import asyncio
from collections.abc import Sequence

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from signalpost.domain.erasure import Erased, NotErasedError
from signalpost.providers.twilio.provider import connect
from signalpost.providers.twilio.settings import TwilioSettings

_AT_ONCE = 8
_GONE = 404


class TwilioEraser:
    """Erases message by message, either way they went."""

    name = "twilio"

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings

    async def erase(self, *, emails: Sequence[str], provider_ids: Sequence[str]) -> Erased:
        """Delete these messages; those that are gone already are fine.

        Raises:
            NotErasedError: Twilio cannot be reached, refuses, or has some of them under way.
        """
        del emails
        http, client = connect(self._settings, concurrency=_AT_ONCE)
        slots = asyncio.Semaphore(_AT_ONCE)
        try:
            done = await asyncio.gather(
                *(self._delete(client, sid, slots) for sid in dict.fromkeys(provider_ids))
            )
        finally:
            await http.close()
        if failed := sorted({why for why in done if why}):
            raise NotErasedError(f"Twilio: {', '.join(failed)}")
        return Erased(messages=len(done))

    async def _delete(self, client: Client, sid: str, slots: asyncio.Semaphore) -> str | None:
        """Delete one message; gives why not."""
        async with slots:
            try:
                async with asyncio.timeout(self._settings.timeout.total_seconds()):
                    await client.messages(sid).delete_async()
            except TwilioRestException as error:
                return None if error.status == _GONE else f"error {error.code or error.status}"
            except Exception as error:  # not reached, too slow, or not understood: asked again
                return type(error).__name__
        return None
