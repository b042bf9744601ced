"""A net for lost webhooks: texts that customers sent us are fetched from the provider's list too.

A STOP must count even when its webhook was lost. A webhook and the list are told to be the same by the
vendor's id, so whichever comes second changes nothing.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from signalpost.domain.delivery import Inbound
from signalpost.record import replies as record
from signalpost.services.desk import Desk
from signalpost.services.inbound import replies

log = structlog.get_logger(__name__)

#: A webhook may still be on its way, and its answer can say something back; this cannot.
_AFTER = timedelta(minutes=2)
_FIRST = timedelta(hours=24)  #: how far the first look of a process goes back
_OVERLAP = timedelta(minutes=15)


@dataclass
class Poll:
    """Fetches what came; remembers up to when it has looked."""

    looked_to: datetime | None = None

    async def look(self, desk: Desk, *, now: datetime) -> int:
        """Look once; gives how many texts were not on the record."""
        since = self.looked_to - _OVERLAP if self.looked_to else now - _FIRST
        new, complete = 0, True
        for tracer in desk.tracers:
            got = await tracer.received(since=since)
            complete &= got is not None or not tracer.is_forgetful
            for inbound in got or ():
                if inbound.at <= now - _AFTER:
                    new += await asyncio.to_thread(_take, desk, inbound, now)
        if complete:
            self.looked_to = now - _AFTER
        return new


def _take(desk: Desk, inbound: Inbound, now: datetime) -> bool:
    with desk.database.reading() as session:
        if record.seen(session, provider_id=inbound.provider_id):
            return False
    with desk.database.writing() as session:
        taken = replies.take(session, inbound=inbound, desk=desk, now=now)
    if taken.reply_id is None:
        return False
    log.warning("reply.webhook_was_lost", reply_id=taken.reply_id, meaning=taken.meaning)
    return True
