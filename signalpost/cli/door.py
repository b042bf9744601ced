"""The record, opened for one command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlmodel import Session

from signalpost.errors import NotFoundError
from signalpost.record.database import Database, open_engine
from signalpost.services.reading import sheet
from signalpost.settings import Settings

if TYPE_CHECKING:
    from signalpost.bootstrap import Signalpost


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the record, and let go of it at the end.

    Raises:
        NotFoundError: it is kept in SQLite, and the file is not there yet.
    """
    _check(settings)
    database = Database(open_engine(settings.database_address))
    try:
        yield database
    finally:
        database.close()


@contextmanager
def built(settings: Settings) -> Iterator["Signalpost"]:
    """Wire the whole product for one command, and let go of it at the end.

    Raises:
        NotFoundError: the record is kept in SQLite, and the file is not there yet.
        ConfigurationError: a message, a journey or a campaign is wrong.
    """
    from signalpost.bootstrap import build

    _check(settings)
    product = build(settings)
    try:
        yield product
    finally:
        product.close()


def _check(settings: Settings) -> None:
    address = settings.database_address
    file = address.removeprefix("sqlite:///")
    if file != address and not Path(file).is_file():
        raise NotFoundError(
            f"There is no record at {file} yet. Run `signalpost up`, or set SIGNALPOST_HOME or "
            "SIGNALPOST_DATABASE_URL to where it is."
        )


@contextmanager
def reading(settings: Settings) -> Iterator[Session]:
    """Open the record to look something up."""
    with opened(settings) as database, database.reading() as session:
        yield session


def actor() -> str:
    """Who acts, for the audit log: the operating system's user, whatever the environment says."""
    try:
        import pwd

        return f"cli:{pwd.getpwuid(os.geteuid()).pw_name}"
    except (ImportError, KeyError):  # not Unix, or a container's user without a name
        uid = getattr(os, "geteuid", lambda: "unknown")()
        return f"cli:{uid}"


def find(session: Session, text: str) -> str:
    """Find a customer by whatever was typed.

    Raises:
        NotFoundError: nobody is known by that.
    """
    found = sheet.search(session, text=text)
    if found is None:
        raise NotFoundError(
            f"Nobody on the record is known by {text!r}. Give a customer id, user id, email, phone "
            "or order id."
        )
    return found
