"""When to look for due people again: PostgreSQL calls us, SQLite has to be asked."""

import asyncio

import structlog

from signalpost.domain.vocabulary import Lane
from signalpost.record.database import Database

log = structlog.get_logger()

CHANNEL = "signalpost_wake"  #: what the record notifies when somebody becomes due

#: Seconds between looks, by whether the lane is ``risk``. Finding nobody due costs one indexed query.
_SQLITE = {True: 0.04, False: 0.4}
_POSTGRESQL = {True: 0.25, False: 1.0}  # for those whose time comes; the rest is notified
_LISTEN_AGAIN = 5.0


class Wake:
    """Says when it is worth looking: now and then, and whenever somebody calls."""

    def __init__(self, database: Database, *, lane: str, every: float | None = None) -> None:
        """Prepare to wait ``every`` so many seconds at most; the lane's own measure when None."""
        self._database = database
        self._called = asyncio.Event()
        usual = (_SQLITE if database.is_sqlite else _POSTGRESQL)[lane == Lane.RISK]
        self.every = usual if every is None else every

    def call(self) -> None:
        """Look now."""
        self._called.set()

    async def wait(self) -> None:
        """Wait until it is worth looking again."""
        try:
            await asyncio.wait_for(self._called.wait(), self.every)
        except TimeoutError:
            return
        finally:
            self._called.clear()

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
            await connection.execute(f"LISTEN {CHANNEL}")
            async for _ in connection.notifies():
                self.call()
