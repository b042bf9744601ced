"""The parts of one post office, put together."""

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
        self.log = Log(config.log_path)
        self.book = Book()
        self.faults = Faults()
        self.courier = Courier(config, self.log, self.book)
        self.lives = Lives(config, self.book, self.courier)

    async def open(self) -> None:
        """Read the log back, and take up what was unfinished."""
        if self.config.keep:
            for entry in self.log.open():
                self.book.apply(entry)
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


def office_of(request: Request) -> Office:
    """Return the office that serves this request."""
    return request.app.state.office
