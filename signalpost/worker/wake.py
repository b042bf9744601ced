"""When to look for due people again: PostgreSQL calls us, SQLite counts its commits."""

import asyncio
from contextlib import suppress

import structlog
from sqlalchemy.pool import PoolProxiedConnection

from signalpost.domain.vocabulary import Lane
from signalpost.record.database import Database
from signalpost.record.enrolments import WAKE_CHANNEL

log = structlog.get_logger()


#: Seconds between looks for those whose time comes.
_EVERY = {Lane.RISK: 0.25, Lane.SERVICE: 0.5, Lane.MARKETING: 0.5}
#: Seconds between glances at SQLite's counter of commits, which takes some microseconds. Marketing does
#: without: its own campaigns commit all the time, and each glance would find something to look for.
_GLANCE = {Lane.RISK: 0.02, Lane.SERVICE: 0.1, Lane.MARKETING: 0.5}
_LISTEN_AGAIN = 5.0


class Wake:
    """Says when it is worth looking: when the record changed or somebody calls, and now and then."""

    def __init__(self, database: Database, *, lane: str, every: float | None = None) -> None:
        """Prepare to wait ``every`` so many seconds at most; the lane's own measure when None."""
        self._every = _EVERY[Lane(lane)] if every is None else every
        self._glance = _GLANCE[Lane(lane)] if database.is_sqlite else self._every
        self._database = database
        self._called = asyncio.Event()
        self._counter: PoolProxiedConnection | None = None
        self._seen = 0

    def call(self) -> None:
        """Look now."""
        self._called.set()

    async def wait(self) -> None:
        """Wait until it is worth looking again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._every
        while (left := end - loop.time()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), min(self._glance, left))
            if self._called.is_set() or self._changed():
                break
        self._called.clear()

    def _changed(self) -> bool:
        """Whether anybody committed to SQLite since the last time we asked."""
        if not self._database.is_sqlite:
            return False
        if self._counter is None:
            self._counter = self._database.engine.raw_connection()
        before = self._seen
        self._seen = self._counter.cursor().execute("PRAGMA data_version").fetchone()[0]
        return self._seen != before

    def close(self) -> None:
        """Let go of the record."""
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    async def listen(self) -> None:
        """Turn PostgreSQL's notifications into calls; with SQLite there is nothing to listen to."""
        if self._database.is_sqlite:
            return
        while True:
            try:
                await self._listen()
            except Exception as error:  # the polling goes on meanwhile
                log.warning("wake.listening_failed", error=type(error).__name__)
                await asyncio.sleep(_LISTEN_AGAIN)

    async def _listen(self) -> None:
        import psycopg

        url = self._database.engine.url.set(drivername="postgresql")
        address = url.render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
            await connection.execute(f"LISTEN {WAKE_CHANNEL}")
            async for _ in connection.notifies():
                self.call()
