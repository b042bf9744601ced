"""The record as it was at a moment, in a database of its own, and what came to it afterwards.

A simulation plays on such a copy. What was on the record at the moment is copied into the tables; what
came later is kept beside them (``later_…``) and let in as time goes on. Rows are never invented: each
is as it is on the record, without what was not known yet.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Boolean, Engine, Table, event, text

from signalpost.record.base import UtcDateTime, metadata
from signalpost.record.database import Database, open_engine

_MANY = 5_000  #: rows that are carried at once from another kind of database
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class History:
    """How a table's rows tell what was known when.

    ``born``: since when a row is on the record. ``later``: moments of it that came afterwards, unknown
    until then. ``shown``: what stands in a column instead, as SQL (``:t`` is the moment that is looked
    at); ``where``: which rows, as SQL, with ``values`` for its parameters. Columns in ``without`` are
    left empty: they are large, and nobody asks for them. ``alone``: what of a row that is there already
    is written over when something of it becomes known; empty: all of it. ``dated``: what a column is
    taken to be on the record itself, as SQL, so that other moments count than those written there.
    """

    table: str
    born: str
    later: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    where: str = "1=1"
    values: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)
    alone: tuple[str, ...] = ()
    dated: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[Any]:
        """The columns that are copied: all but those that a database computes itself."""
        return [one for one in metadata.tables[self.table].columns if one.computed is None]


def any_of(name: str, values: Collection[Any], found: dict[str, Any]) -> str:
    """Write ``(:name0, :name1)`` for ``IN``, and put the values among the parameters."""
    marks = []
    for number, value in enumerate(sorted(values)):
        found[f"{name}{number}"] = value
        marks.append(f":{name}{number}")
    return f"({', '.join(marks) or 'NULL'})"


@contextmanager
def scratch(folder: Path) -> Iterator[Database]:
    """Open an empty record that is fast and forgotten afterwards: nothing of it must last."""
    engine = open_engine(f"sqlite:///{folder / 'scratch.db'}", durable=False)

    @event.listens_for(engine, "connect")
    def _fast(connection: Any, _record: Any) -> None:
        for pragma in ("foreign_keys=OFF", "cache_size=-200000", "wal_autocheckpoint=20000"):
            connection.execute(f"PRAGMA {pragma}")

    database = Database(engine)
    metadata.create_all(engine)
    try:
        yield database
    finally:
        database.close()


class Copy:
    """A record's copy: filled as of ``since``, with what came until ``until`` waiting to be let in."""

    def __init__(
        self,
        source: Engine,
        database: Database,
        *,
        since: datetime,
        until: datetime,
        histories: Sequence[History],
    ) -> None:
        self.database, self.since, self.until = database, since, until
        self.histories = histories
        self._reached = since - _INSTANT
        with _carrier(source, database) as carry:
            for history in histories:
                self._fill(history, carry)
        self._moments = {one.table: self._moments_of(one) for one in histories}

    def _fill(self, history: History, carry: "_Carrier") -> None:
        before, end = self._reached, self.until
        of_period = " OR ".join(
            f"({one} > :t AND {one} < :end)" for one in (history.born, *history.later)
        )
        carry(
            history,
            f"later_{history.table}",
            {"t": before, "end": end},
            f"{history.born} < :end AND ({of_period}) AND ({history.where})",
            shown=False,
        )
        carry(
            history,
            history.table,
            {"t": before},
            f"{history.born} <= :t AND ({history.where})",
            shown=True,
        )

    def _moments_of(self, history: History) -> list[str]:
        """Give the moments at which something of a table becomes known, in order."""
        moments: set[str] = set()
        with self.database.reading() as session:
            for one in (history.born, *history.later):
                asked = f"SELECT DISTINCT {one} FROM later_{history.table}"  # noqa: S608
                moments |= {row[0] for row in session.execute(text(asked)) if row[0] is not None}
        return sorted(moments)

    def next_of(self, table: str, moment: datetime) -> datetime | None:
        """Give when, after ``moment``, something of a table becomes known next; None: nothing does."""
        moments = self._moments.get(table, [])
        place = bisect_right(moments, text_of(moment))
        return datetime.fromisoformat(moments[place]) if place < len(moments) else None

    def let_in(self, moment: datetime) -> None:
        """Put on the copy what the record learnt until ``moment``, that moment included."""
        before, now = text_of(self._reached), text_of(moment)
        changed = [
            history
            for history in self.histories
            if bisect_right(self._moments[history.table], now)
            > bisect_right(self._moments[history.table], before)
        ]
        self._reached = max(moment, self._reached)
        if not changed:
            return
        with self.database.writing() as session:
            for history in changed:
                touched = " OR ".join(
                    f"({one} > :before AND {one} <= :t)" for one in (history.born, *history.later)
                )
                changes = ", ".join(f"{one} = excluded.{one}" for one in history.alone)
                session.execute(
                    text(
                        f"INSERT {'' if changes else 'OR REPLACE'} "  # noqa: S608 - our own names
                        f"INTO {history.table} ({_names(history)}) "
                        f"SELECT {_shown(history)} FROM later_{history.table} "
                        f"WHERE {history.born} <= :t AND ({touched})"
                        f"{f' ON CONFLICT (id) DO UPDATE SET {changes}' if changes else ''}"
                    ),
                    {"before": before, "t": now},
                )


def _shown(history: History, *, trimmed: bool = False) -> str:
    """Say each column as it was known at ``:t``; ``trimmed``: without what is left empty."""
    said = []
    for one in history.columns:
        if trimmed and one.name in history.without:
            said.append(history.without[one.name])
        elif one.name in history.shown:
            said.append(history.shown[one.name])
        elif one.name in history.later:
            said.append(f"CASE WHEN {one.name} <= :t THEN {one.name} END")
        else:
            said.append(one.name)
    return ", ".join(said)


def _names(history: History) -> str:
    return ", ".join(one.name for one in history.columns)


def _raw(history: History) -> str:
    return ", ".join(history.without.get(one.name, one.name) for one in history.columns)


def text_of(moment: datetime) -> str:
    """Write a moment as SQLite keeps it."""
    return UtcDateTime().process_bind_param(moment, _Sqlite)  # type: ignore[arg-type, return-value]


class _Sqlite:
    name = "sqlite"


class _Carrier:
    """Carries rows of a table from a record into the copy."""

    def __call__(
        self,
        history: History,
        into: str,
        moments: Mapping[str, datetime],
        where: str,
        *,
        shown: bool,
    ) -> None:
        """Copy the rows that ``where`` names; with ``shown``, as they were known at ``:t``."""
        raise NotImplementedError


@contextmanager
def _carrier(source: Engine, database: Database) -> Iterator[_Carrier]:
    raw = database.engine.raw_connection()
    connection: Any = raw.driver_connection
    try:
        if source.dialect.name == "sqlite":
            connection.execute("ATTACH DATABASE ? AS source", (source.url.database,))
            connection.execute("BEGIN")
            yield _Attached(connection)
            connection.execute("COMMIT")
            connection.execute("DETACH DATABASE source")
        else:
            with source.connect().execution_options(
                isolation_level="REPEATABLE READ", stream_results=True, max_row_buffer=_MANY
            ) as reading:
                connection.execute("BEGIN")
                yield _Fetched(connection, reading)
                connection.execute("COMMIT")
    finally:
        raw.close()


def _later(connection: Any, history: History, into: str) -> None:
    """Make the table beside the one of the record, with an index for each of its moments."""
    if into == history.table:
        return
    connection.execute(
        f"CREATE TABLE {into} AS SELECT {_names(history)} FROM {history.table} WHERE 0"  # noqa: S608
    )
    for one in (history.born, *history.later):
        connection.execute(f"CREATE INDEX ix_{into}_{one} ON {into} ({one})")


class _Attached(_Carrier):
    """From SQLite: by the database itself, file to file."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __call__(
        self,
        history: History,
        into: str,
        moments: Mapping[str, datetime],
        where: str,
        *,
        shown: bool,
    ) -> None:
        """Copy the rows."""
        _later(self._connection, history, into)
        listed = _shown(history, trimmed=True) if shown else _raw(history)
        values = {
            key: text_of(value) if isinstance(value, datetime) else value
            for key, value in {**history.values, **moments}.items()
        }
        self._connection.execute(
            f"INSERT INTO main.{into} ({_names(history)}) SELECT {listed} "  # noqa: S608 - our own names
            f"FROM {_sourced(_dated(history))} WHERE {_sourced(where)}",
            values,
        )


def _dated(history: History) -> str:
    """Name the table of the record; where moments of it are taken for others, a select of them."""
    table = f"of_record.{history.table} AS {history.table}"
    if not history.dated:
        return table
    columns = ", ".join(
        f"{history.dated[one.name]} AS {one.name}" if one.name in history.dated else one.name
        for one in history.columns
    )
    return f"(SELECT {columns} FROM {table}) AS {history.table}"  # noqa: S608 - our own names


def _sourced(said: str) -> str:
    """Look tables up on the record, which are marked ``of_record.``."""
    return said.replace("of_record.", "source.")


class _Fetched(_Carrier):
    """From PostgreSQL: fetched as text, in the form that SQLite keeps."""

    def __init__(self, connection: Any, reading: Any) -> None:
        self._connection, self._reading = connection, reading

    def __call__(
        self,
        history: History,
        into: str,
        moments: Mapping[str, datetime],
        where: str,
        *,
        shown: bool,
    ) -> None:
        """Copy the rows; those of the copy's own table are put as they were known afterwards."""
        _later(self._connection, history, into)
        table = metadata.tables[history.table]
        listed = ", ".join(
            f"{history.without[one.name]} AS {one.name}"
            if one.name in history.without
            else _as_text(table, one.name)
            for one in history.columns
        )
        asked = f"SELECT {listed} FROM {_dated(history)} WHERE {where}"  # noqa: S608 - our own names
        found = self._reading.execute(
            text(asked.replace("of_record.", "")), {**history.values, **moments}
        )
        names = _names(history)
        marks = ", ".join("?" * len(history.columns))
        fill = f"INSERT INTO {into} ({names}) VALUES ({marks})"  # noqa: S608 - our own names
        through = "TEMP_rows" if shown else None
        if through:
            self._connection.execute(
                f"CREATE TEMP TABLE {through} AS SELECT {names} FROM {history.table} WHERE 0"  # noqa: S608
            )
            fill = f"INSERT INTO {through} ({names}) VALUES ({marks})"  # noqa: S608
        for rows in found.partitions(_MANY):
            self._connection.executemany(fill, [tuple(row) for row in rows])
        if through:
            self._connection.execute(
                f"INSERT INTO {into} ({names}) SELECT {_shown(history)} FROM {through}",  # noqa: S608
                {"t": text_of(moments["t"])},
            )
            self._connection.execute(f"DROP TABLE {through}")


def _as_text(table: Table, column: str) -> str:
    kind = table.columns[column].type
    if isinstance(kind, UtcDateTime):
        form = r"YYYY-MM-DD HH24\:MI\:SS.US"
        return f"to_char({column} AT TIME ZONE 'UTC', '{form}') || '+00:00' AS {column}"
    if isinstance(kind, JSON):
        return f"{column}::text AS {column}"
    if isinstance(kind, Boolean):
        return f"{column}::int AS {column}"
    return column
