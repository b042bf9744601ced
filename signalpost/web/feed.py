"""News of in-app inboxes for everybody who has one open: one query a second, however many they are.

The record is asked, since what is written may be written by another process; whoever writes in this
process calls ``notify`` and is heard at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from signalpost.content import Catalogue
from signalpost.record import inbox as record
from signalpost.record.database import Database
from signalpost.services.inbound import inbox

EVERY = 1.0  #: seconds between looks
#: A listener that does not read is let go; its page connects again and starts afresh.
_MOST_UNREAD_NEWS = 100

log = structlog.get_logger(__name__)


@dataclass
class _Known:
    """What the listeners of one person have been told."""

    fingerprint: tuple[Any, ...] | None = None
    states: dict[str, RowMapping] = field(default_factory=dict)


class Feed:
    """Tells listeners what is new in the inboxes they watch."""

    def __init__(
        self, *, database: Database, catalogue: Catalogue, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._listeners: dict[str, set[asyncio.Queue[inbox.News | None]]] = defaultdict(set)
        self._known: dict[str, _Known] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Look now: something was written. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def listen(self, root: str) -> AsyncGenerator[inbox.News, None]:
        """Give the unread count now, then whatever is new, until the listener goes away."""
        queue: asyncio.Queue[inbox.News | None] = asyncio.Queue(_MOST_UNREAD_NEWS)
        if root not in self._known:
            known = await run_in_threadpool(self._look, root)
            self._known.setdefault(root, known)
        self._listeners[root].add(queue)
        self._start()
        try:
            yield inbox.News(
                items=(), states=(), unread=await run_in_threadpool(self._unread, root)
            )
            while (news := await queue.get()) is not None:
                yield news
        finally:
            self._listeners[root].discard(queue)
            if not self._listeners[root]:
                del self._listeners[root]
                self._known.pop(root, None)

    def _start(self) -> None:
        if self._watching is None or self._watching.done():
            self._loop = asyncio.get_running_loop()
            self._wake = asyncio.Event()
            self._watching = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        while self._listeners:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), EVERY)
            self._wake.clear()
            try:
                await self._tell(sorted(self._listeners))
            except SQLAlchemyError as error:  # the record is away: look again in a while
                log.warning("inbox.feed_paused", error=type(error).__name__)

    async def _tell(self, roots: list[str]) -> None:
        prints = await run_in_threadpool(self._fingerprints, roots)
        for root in roots:
            known = self._known.get(root)
            if known is None or known.fingerprint == prints.get(root):
                continue
            news, states = await run_in_threadpool(self._news, root, known)
            self._known[root] = _Known(prints.get(root), states)
            for queue in list(self._listeners.get(root, ())):
                _offer(queue, news)

    def _fingerprints(self, roots: list[str]) -> dict[str, tuple[Any, ...]]:
        with self._database.reading() as session:
            return record.fingerprints(session, roots=roots)

    def _look(self, root: str) -> _Known:
        with self._database.reading() as session:
            prints = record.fingerprints(session, roots=[root])
            return _Known(prints.get(root), record.states(session, root=root, limit=inbox.WATCHED))

    def _news(self, root: str, known: _Known) -> tuple[inbox.News, dict[str, RowMapping]]:
        with self._database.reading() as session:
            return inbox.news(
                session,
                catalogue=self._catalogue,
                root=root,
                known=known.states,
                now=self._clock(),
            )

    def _unread(self, root: str) -> int:
        with self._database.reading() as session:
            return inbox.unread(session, root=root, now=self._clock())


def _offer(queue: "asyncio.Queue[inbox.News | None]", news: inbox.News) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
    else:
        queue.put_nowait(news)
