"""One transaction of the protocol, with the places at which the harness makes a process die."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlmodel import Session

from signalpost.crash_points import reach
from signalpost.services.desk import Desk


@contextmanager
def transaction(
    desk: Desk, *, writing: str | None, written: str, courteous: bool = False
) -> Iterator[Session]:
    """Commit what the block writes; ``writing`` and ``written`` name the moments around the commit.

    ``courteous``: as in ``Database.writing``.
    """
    with desk.database.writing(courteous=courteous) as session:
        yield session
        if writing is not None:
            reach(writing)
    reach(written)
