"""One transaction of the protocol, with the places at which the harness makes a process die."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from signalpost.crash_points import reach
from signalpost.record.bulk import look_up_by_index
from signalpost.services.desk import Desk

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Beside(Protocol):
    """Does blocking work in a thread beside the event loop, as ``asyncio.to_thread`` does."""

    def __call__(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Coroutine[Any, Any, Result]:
        """Give the work's result."""
        ...


@contextmanager
def transaction(
    desk: Desk, *, writing: str | None, written: str, courteous: bool = False
) -> Iterator[Session]:
    """Commit what the block writes; ``writing`` and ``written`` name the moments around the commit.

    ``courteous``: as in ``Database.writing``. Whom and what it is about is named by ids, hundreds of
    them: they are looked up by index.
    """
    with desk.database.writing(courteous=courteous) as session:
        look_up_by_index(session)
        yield session
        if writing is not None:
            reach(writing)
    reach(written)


#: Seconds that a sender keeps what a provider has answered, while the record is away.
_PATIENCE = 300.0
_LOOK = 0.5


async def record_is_back(desk: Desk, *, beside: Beside = asyncio.to_thread) -> None:
    """Wait until the record answers, for some minutes: answers that are written nowhere are lost.

    Meanwhile the lease may run out. Then the answers are written all the same: they know more than
    whoever called the messages unknown.
    """
    patience = time.monotonic() + _PATIENCE
    while time.monotonic() < patience:
        try:
            await beside(desk.database.ping)
        except SQLAlchemyError:
            await asyncio.sleep(_LOOK)
        else:
            return
