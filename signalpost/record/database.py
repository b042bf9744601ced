"""Opening the record: SQLite in WAL mode, or PostgreSQL by its address."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlmodel import Session

from signalpost.errors import ConfigurationError
from signalpost.record.audience_values import prepare_sqlite
from signalpost.record.base import to_json
from signalpost.record.turns import Turns

Given = ParamSpec("Given")
Result = TypeVar("Result")
_PLANS_LAST = 5.0  #: seconds
_BUSY = 30  #: seconds to wait for somebody else's write to SQLite


def _address(url: str) -> str:
    """Give the address with the driver we use; refuse what we do not support."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "SIGNALPOST_DATABASE_URL is not a database address; write for instance "
            "sqlite:///signalpost.db or postgresql://user:password@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return url
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    raise ConfigurationError(
        f"SIGNALPOST_DATABASE_URL names {backend!r}; only sqlite and postgresql are supported"
    )


def _file_of(address: str | URL) -> str | None:
    """Give the file of a SQLite address; None when it is kept in memory."""
    path = make_url(address).database
    return path if path and path != ":memory:" else None


def open_engine(url: str, *, pool_size: int = 10, durable: bool = True) -> Engine:
    """Open the database at ``url``. Without ``durable``, SQLite does not wait for the disk (tests).

    Raises:
        ConfigurationError: the address is malformed or names another kind of database.
    """
    address = _address(url)
    options: dict[str, Any] = {
        "json_serializer": to_json,
        "json_deserializer": orjson.loads,
        "hide_parameters": True,  # an error's text must not carry anybody's data into a log
    }
    if make_url(address).get_backend_name() == "sqlite":
        if path := _file_of(address):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            address,
            connect_args={"check_same_thread": False, "timeout": _BUSY},
            # What one connection writes makes the pages stale that another holds: take the last one.
            **({"pool_use_lifo": True} if _file_of(address) else {}),
            **options,
        )
        _prepare_sqlite(engine, durable=durable)
        return engine
    return create_engine(address, pool_size=pool_size, pool_pre_ping=True, **options)


def _prepare_sqlite(engine: Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        cursor = connection.cursor()
        # For a file that is new. A batch changes most rows of the pages that it touches, and each page
        # goes through the log whole: half as many of them, and a commit costs a third less.
        cursor.execute("PRAGMA page_size=8192")
        _use_wal(cursor)
        for pragma in (
            # FULL: a 2xx means committed, also when the power goes
            f"synchronous={'FULL' if durable else 'OFF'}",
            "foreign_keys=ON",
            "secure_delete=ON",  # what is erased is overwritten, whatever SQLite was built with
            f"busy_timeout={_BUSY * 1000}",
            "cache_size=-24000",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        prepare_sqlite(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # A transaction that reads first and writes later would fail when another one wrote in
        # between; taking the write lock at the start makes writers queue instead.
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Have the file keep a write-ahead log, which one that is new does not yet.

    Of several processes that find it new, all but one are told at once that it is locked: for this
    SQLite waits for nobody, whatever its timeout.
    """
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


class Database:
    """The record's two doors: one to write through and one to read through."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # Turns come before connections, see ``pool_use_lifo``.
        self._turns = Turns(_file_of(engine.url)) if engine.dialect.name == "sqlite" else None
        self._reading = engine.execution_options(sqlite_begin="DEFERRED", postgresql_readonly=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether the record is kept in SQLite."""
        return self.engine.dialect.name == "sqlite"

    @property
    def in_company(self) -> bool:
        """Whether bulk work keeps others from writing: they are there, and there is one writer."""
        return self._turns is not None and self._turns.in_company

    async def in_bulk(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """Do bulk work on the record beside the event loop, as ``asyncio.to_thread`` does.

        On SQLite one thread does all of it. There is one writer, and Python runs one thread at a time:
        several would wait for each other, and what moves from core to core leaves the caches behind,
        which costs a tenth.
        """
        if not self.is_sqlite:
            return await asyncio.to_thread(work, *args, **kwargs)
        call = partial(copy_context().run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._bulk_thread, call)

    @cached_property
    def _bulk_thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="bulk")

    @contextmanager
    def writing(self, *, courteous: bool = False) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises.

        ``courteous``: for bulk work, which on SQLite lets everybody else go first. On PostgreSQL its
        plans are fresh (``_plan_anew``).
        """
        with (
            self._turns.taken(courteous=courteous) if self._turns else nullcontext(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            if courteous:
                self._plan_anew(session)
            yield session

    @contextmanager
    def reading(self, *, bulk: bool = False) -> Iterator[Session]:
        """A session to look things up in; what is changed in it is thrown away, or refused.

        ``bulk``: about many thousands of people; on PostgreSQL its plans are fresh (``_plan_anew``).
        """
        with Session(self._reading, expire_on_commit=False) as session:
            if bulk:
                self._plan_anew(session)
            yield session
            if not self.is_sqlite:
                # Rolled back, psycopg would forget the statements that it has prepared.
                session.expunge_all()
                session.commit()

    @contextmanager
    def one_connection(self) -> Iterator[Callable[..., AbstractContextManager[Session]]]:
        """Give a maker of courteous transactions on one connection, which keeps temporary tables.

        Only with ``writes=True`` does such a transaction touch the record itself.
        """
        with self.engine.connect() as connection, self._temporary_on_disk(connection):

            @contextmanager
            def transaction(*, writes: bool) -> Iterator[Session]:
                begin = "IMMEDIATE" if writes else "DEFERRED"
                connection.execution_options(sqlite_begin=begin)
                turns = self._turns if writes else None
                with (
                    turns.taken(courteous=True) if turns else nullcontext(),
                    Session(connection, expire_on_commit=False) as session,
                    session.begin(),
                ):
                    yield session

            yield transaction

    @contextmanager
    def _temporary_on_disk(self, connection: Connection) -> Iterator[None]:
        """Keep SQLite's temporary tables on disk meanwhile: a million rows are too many for memory."""
        if not self.is_sqlite:
            yield
            return
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA temp_store=FILE")
        try:
            yield
        finally:
            driver.execute("PRAGMA temp_store=MEMORY")

    def compact(self) -> None:
        """Write SQLite's file anew, so that nothing deleted is left in it; PostgreSQL does so itself.

        Raises:
            TimeoutError: somebody reads or writes all the while; nothing is lost, try again.
        """
        if self._turns is None:
            return
        with self._turns.taken(courteous=True), self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute("VACUUM")
                # The pages as they were are in the log until it is cut off.
                busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                raise TimeoutError("the database is busy") from error
        if busy:
            raise TimeoutError("somebody reads an old state of the database")

    def copy_to(self, file: Path) -> None:
        """Copy SQLite's record into a file while others write; it is whole, as of one moment."""
        with self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            target = sqlite3.connect(file)
            try:
                driver.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
            finally:
                target.close()

    def _plan_anew(self, session: Session) -> None:
        """Have PostgreSQL forget this connection's plans, when it has kept them for some seconds.

        A plan that was made while a table was small looks through all of it, and goes on doing so while
        a million rows come to it, until somebody analyses the table.
        """
        if self.is_sqlite:
            return
        known, now = session.connection().info, time.monotonic()
        if now - known.setdefault("planned", now) > _PLANS_LAST:
            known["planned"] = now
            session.execute(text("DISCARD PLANS"))

    def ping(self) -> None:
        """Ask the database for a sign of life; raises what the driver raises.

        It waits for nobody who writes.
        """
        with self._reading.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection, and end the thread for bulk work."""
        if "_bulk_thread" in self.__dict__:
            self._bulk_thread.shutdown(wait=False)
            del self._bulk_thread
        self.engine.dispose()
