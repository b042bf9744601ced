"""One round of all of it, as the service worker does it now and then, and the flow on request."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from signalpost.services.desk import Desk
from signalpost.services.reconciling import asking, sweeping
from signalpost.services.reconciling.asking import Silence
from signalpost.services.reconciling.polling import Poll


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round came to, in counts."""

    swept: sweeping.Swept
    settled_by_receipts: int = 0
    asked: dict[str, int] = field(default_factory=dict)  #: outcome → deliveries
    texts: int = 0  #: that customers sent, and whose webhook was lost

    def __bool__(self) -> bool:
        return bool(self.swept or self.settled_by_receipts or self.asked or self.texts)


class Reconciler:
    """Does rounds, and remembers between them up to where it has looked."""

    def __init__(self) -> None:
        self._silence = Silence()
        self._poll = Poll()

    async def go(self, desk: Desk, *, now: datetime) -> Round:
        """Do one round."""
        swept = await asyncio.to_thread(sweeping.sweep, desk, now=now)
        settled = await asyncio.to_thread(asking.note_unknown, desk, now=now)
        await asyncio.to_thread(self._silence.note, desk, now=now)
        asked = await asking.ask_providers(desk, now=now)
        texts = await self._poll.look(desk, now=now)
        return Round(swept=swept, settled_by_receipts=settled, asked=dict(asked), texts=texts)
