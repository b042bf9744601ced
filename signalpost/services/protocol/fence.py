"""The fence: how a sender knows, at the last moment before a request leaves, that it may still send.

A lease on the record is worth nothing to a process that was stopped after it had looked. So a sender
carries along how long its lease runs, by two clocks: the one that everybody's leases go by, in case it
was set forward, and this machine's monotonic one, which goes on while the process is stopped. Asking
costs less than a microsecond, so adapters ask for each single request.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

#: The part of a lease that is not used: clocks of two machines differ, and a request takes a moment.
MARGIN = 0.1


class Fence:
    """What a sender knows about its own lease. It may lapse early, never late."""

    def __init__(
        self, *, clock: Callable[[], datetime], lease: timedelta, now: datetime | None = None
    ) -> None:
        """Begin with a lease that counts from ``now``: read before its transaction began."""
        self.lease = lease
        self._clock = clock
        self._use = lease * (1 - MARGIN)
        self._is_lost = False
        self.renewed(now=now or clock(), began=time.monotonic())

    def renewed(self, *, now: datetime, began: float) -> None:
        """Take note of a lease that counts from ``now``, when the monotonic clock showed ``began``.

        Both are read before the transaction that extended it on the record.
        """
        self._until = now + self._use
        self._deadline = began + self._use.total_seconds()

    def holds(self) -> bool:
        """Whether a request may leave at this moment."""
        return (
            not self._is_lost and time.monotonic() < self._deadline and self._clock() < self._until
        )

    def lose(self) -> None:
        """Let nothing leave any more: somebody else holds the claim."""
        self._is_lost = True

    def extend(self, extend: Callable[[datetime], bool]) -> bool:
        """Extend the lease on the record until the moment that ``extend`` is given, and then here.

        ``extend`` commits, and says whether the claim was still held; if not, the fence is lost.
        """
        now, began = self._clock(), time.monotonic()
        if not extend(now + self.lease):
            self.lose()
            return False
        self.renewed(now=now, began=began)
        return True


@asynccontextmanager
async def kept_alive(fence: Fence, extend: Callable[[datetime], bool]) -> AsyncIterator[None]:
    """Keep a lease alive while something slow is awaited: a short lease, yet never a lost one."""

    async def keep_on() -> None:
        while True:
            await asyncio.sleep(fence.lease.total_seconds() / 3)
            with suppress(SQLAlchemyError):  # one that fails lets the fence lapse, if it has to
                await asyncio.to_thread(fence.extend, extend)

    extending = asyncio.create_task(keep_on())
    try:
        yield
    finally:
        extending.cancel()
        with suppress(asyncio.CancelledError):
            await extending
