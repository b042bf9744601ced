"""The parts of one post office, put together."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from signalpost.postoffice.book import Book
from signalpost.postoffice.config import PostOfficeConfig
from signalpost.postoffice.courier import Courier
from signalpost.postoffice.faults import Faults
from signalpost.postoffice.life import Lives
from signalpost.postoffice.log import Entry, Log


class Office:
    """Config, log, book, courier, lives and faults of one running post office."""

    def __init__(self, config: PostOfficeConfig) -> None:
        self.config = config
        self.log = Log(config.log_path, clock=config.clock)
        self.book = Book()
        self.faults = Faults()
        self.courier = Courier(config, self.log, self.book)
        self._loaded = False
        self.lives = Lives(config, self.book, self.courier)

    def load(self) -> None:
        """Take the log and read it back, once; raises ConfigurationError when it cannot be had."""
        if self.config.keep and not self._loaded:
            for entry in self.log.open():
                self.book.apply(entry)
        self._loaded = True

    async def open(self) -> None:
        """Take up what a former process left unfinished."""
        self.load()
        await self.courier.open()
        self.lives.resume()

    async def close(self) -> None:
        """Stop the background work, and leave the log complete."""
        await self.courier.close()
        if self.config.keep:
            await self.log.close()

    async def record(self, kind: str, **fields: Any) -> Entry:
        """Write one entry; it is on disk on return. Nothing is written in null mode."""
        if not self.config.keep:
            return {}
        return await self.courier.record(kind, fields)

    async def forget(self, change: Callable[[Entry], Entry]) -> None:
        """Have the log say less than it did."""
        if self.config.keep:
            await self.log.rewrite(change)


def office_of(request: Request) -> Office:
    """Return the office that serves this request."""
    return request.app.state.office
