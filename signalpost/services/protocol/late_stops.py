"""A STOP is heard until the last moment: who says it after they were decided on is not sent to.

Between the decision and a request lie a commit and, for texts at a provider's pace, many other requests.
So the record is asked for suppressions once more before the first request leaves, and every second
while others wait for their turn. Whoever is held back is put to the gate again, which then says why.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from signalpost.domain.gate import objection
from signalpost.record import standings
from signalpost.services.desk import Desk
from signalpost.services.protocol.draft import Draft

log = structlog.get_logger(__name__)

#: Seconds between looks at the record while requests wait for their turn.
LOOK = 1.0


class LateStops:
    """Whose address was suppressed since the messages on their way were decided."""

    def __init__(self, desk: Desk, drafts: Sequence[Draft]) -> None:
        self._desk, self._drafts = desk, drafts
        self._attempts: frozenset[str] = frozenset()

    def look(self) -> None:
        """Ask the record, in a thread; raises SQLAlchemyError when it is away."""
        with self._desk.database.reading() as session:
            blocks = standings.blocks(session, addresses={one.address for one in self._drafts})
        self._attempts = frozenset(
            one.delivery_id
            for one in (self._drafts if blocks else ())
            if objection(
                blocks.get((one.channel, one.address), ()), purpose=one.purpose, topic=one.topic
            )
        )

    def among(self, attempts: Collection[str]) -> Collection[str]:
        """Give those of some attempts that may not be made for this reason, as far as is known."""
        return self._attempts.intersection(attempts)

    def concern(self, draft: Draft) -> bool:
        """Whether a message may not leave for this reason, as far as is known."""
        return draft.delivery_id in self._attempts

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Look every second while requests are made."""
        looking = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await asyncio.to_thread(self.look)
            except Exception as error:  # must not cost the answers of those who are being sent to
                log.warning("delivery.stops_not_read", error=type(error).__name__)
