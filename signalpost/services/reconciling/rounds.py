"""One round of all of it, as the service worker does it now and then, and the flow on request."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

from signalpost.record import reconciling
from signalpost.services.desk import Desk
from signalpost.services.reconciling import asking, sweeping
from signalpost.services.reconciling.asking import Silence
from signalpost.services.reconciling.polling import Poll
from signalpost.services.reconciling.sweeping import Swept

#: A claim that is over for less is taken up by the next worker that looks.
_OVERDUE = timedelta(seconds=5)


class Reconciler:
    """Does rounds, a unit at a time, and remembers between them up to where it has looked."""

    def __init__(self) -> None:
        self._silence = Silence()
        self._poll = Poll()

    async def is_needed(self, desk: Desk, *, now: datetime) -> bool:
        """Whether a round would find something to do; costs three looks at small indexes."""
        return await asyncio.to_thread(_is_needed, desk, now)

    async def sweep(self, desk: Desk, *, now: datetime) -> Swept:
        """Take claims that are over, and call what was on its way unknown."""
        return await asyncio.to_thread(sweeping.sweep, desk, now=now)

    async def note(self, desk: Desk, *, now: datetime) -> int:
        """Settle what receipts settle, and note the rest, to be asked about; gives the settled."""
        settled = await asyncio.to_thread(asking.note_unknown, desk, now=now)
        await asyncio.to_thread(self._silence.note, desk, now=now)
        return settled

    async def ask(self, desk: Desk, *, now: datetime) -> Counter[str]:
        """Ask providers about those who are due; gives outcome → deliveries."""
        return await asking.ask_providers(desk, now=now)

    async def poll(self, desk: Desk, *, now: datetime) -> int:
        """Fetch texts whose webhook was lost; gives how many."""
        return await self._poll.look(desk, now=now)


def _is_needed(desk: Desk, now: datetime) -> bool:
    with desk.database.reading() as session:
        return reconciling.anything(
            session,
            now=now,
            overdue=now - _OVERDUE,
            latest=sweeping.latest_end(desk, now),
            stray=now - sweeping.stray_after(desk),
            left=now - desk.lease,
        )
