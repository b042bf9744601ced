"""What a process that was told to stop still sends: what it has begun, or not even that."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from signalpost.domain.vocabulary import Purpose

_T = TypeVar("_T")


class Stopping:
    """Whether this process is to stop: ``soon``, begin nothing else; ``at_once``, wait for nothing."""

    def __init__(self) -> None:
        self._soon = False
        self._at_once = False
        self._waiting: set[Callable[[], None]] = set()

    def begin(self) -> None:
        """Begin no request any more but alerts; those under way are waited for."""
        self._soon = True

    def hasten(self) -> None:
        """Wait for no answer any more. Call it in the event loop of the requests."""
        self._soon = self._at_once = True
        for leave in list(self._waiting):
            leave()

    def holds(self, purpose: Purpose) -> bool:
        """Whether a message that is not on its way yet goes back to whoever comes next."""
        return self._soon and (self._at_once or purpose is not Purpose.SECURITY)

    async def answer(self, request: Awaitable[_T]) -> _T | None:
        """Wait for the answer to a request; None when it was left behind."""
        task = asyncio.ensure_future(request)
        if self._at_once:
            task.cancel()
        self._waiting.add(task.cancel)  # type: ignore[arg-type]
        try:
            return await task
        except asyncio.CancelledError:
            if not self._at_once:
                raise
            return None
        finally:
            self._waiting.discard(task.cancel)  # type: ignore[arg-type]
