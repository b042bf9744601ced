"""Many rows in one statement, at the price of a few microseconds each.

Values go by column: a list has one for each row, anything else is the same for all and is encoded
once. On SQLite that is a statement for a hundred rows each, on PostgreSQL one ``COPY``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, count
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    String,
    Table,
    TableValuedAlias,
    TypeDecorator,
    bindparam,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType
from sqlmodel import Session

from signalpost.record.base import UtcDateTime, to_json


class _TextArray(UserDefinedType[str]):
    """PostgreSQL's own array, given in its text form: the driver takes five times as long for a list."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """Name it in SQL."""
        return "TEXT[]"


class _Texts(TypeDecorator[list[str]]):
    """A list of texts as one parameter: a JSON array on SQLite, an array on PostgreSQL."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        kind: Any = _TextArray() if dialect.name == "postgresql" else String()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        texts = list(value or ())
        return _array(texts) if dialect.name == "postgresql" else to_json(texts)


def _array(texts: Collection[str]) -> str:
    """Write an array as PostgreSQL reads it (its documentation, 8.15.6)."""
    quoted = (one.replace("\\", "\\\\").replace('"', '\\"') for one in texts)
    return "{" + ",".join(f'"{one}"' for one in quoted) + "}"


class _Among(FunctionElement[bool]):
    inherit_cache = True
    name = "among"
    type = Boolean()
    _is_implicitly_boolean = True  # else SQLite gets "… = 1", which no index serves


@compiles(_Among)
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - compiled SQL


@compiles(_Among, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(one, **options) for one in element.clauses)
    # Hidden from the planner in a query of its own, the list has no length: then a plan for any list is
    # as good as one for this list, and is kept. Seen, each short list would be planned for anew.
    return f"{column} = ANY((SELECT {values})::TEXT[])"


def among(column: ColumnElement[Any], name: str = "ids") -> ColumnElement[bool]:
    """Say that a column of text is one of the values of the parameter ``name``.

    The list is one parameter, so that thousands of values cost no more to compile than one.
    """
    return _Among(column, bindparam(name, type_=_Texts()))


class _Each(FunctionElement[Any]):
    inherit_cache = True
    name = "each"


@compiles(_Each)
def _each_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Each, "postgresql")
def _each_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"jsonb_each_text(CAST({compiler.process(element.clauses, **options)} AS JSONB))"


def each(name: str) -> TableValuedAlias:
    """Give the parameter ``name``, a JSON object of texts, as a table of ``key`` and ``value``.

    So a statement says something else of each of a thousand rows, and is one statement all the same.
    """
    return _Each(bindparam(name, type_=String())).table_valued("key", "value").alias(name)


_BY_INDEX = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


def look_up_by_index(session: Session) -> None:
    """Have PostgreSQL find rows by an index until this transaction ends, wherever there is one.

    A connection keeps the plan that was right for a small table while that grows, until the table is
    analysed. A campaign that began on an empty record then read all messages for each thousand ids.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_BY_INDEX)


def insert_columns(
    session: Session, table: Table, *, rows: int, columns: Mapping[str, Any]
) -> None:
    """Insert ``rows`` rows; a column that is not given stays NULL."""
    if not rows:
        return
    connection = session.connection()
    sqlite = connection.dialect.name == "sqlite"
    kinds = {name: _encoder(table.c[name].type, sqlite=sqlite) for name in columns}
    same = {
        name: encode(value) if (encode := kinds[name]) else value
        for name, value in columns.items()
        if not isinstance(value, list)
    }
    own = {
        name: map(encode, value) if (encode := kinds[name]) else value
        for name, value in columns.items()
        if isinstance(value, list)
    }
    told = list(zip(*own.values(), strict=True)) if own else [()] * rows
    names = (*same, *own)
    if sqlite:
        _insert(connection, _Insert(table.name, names, len(own)), [*same.values()], told)
    else:
        into = f"COPY {table.name} ({', '.join(names)}) FROM STDIN"
        _copy(connection, into, same=(*same.values(),), told=told)


#: Rows of one statement on SQLite. Python binds what is the same for all of them once, and lets go of
#: its lock once: a row takes half the time of one in an ``executemany``.
_TOGETHER = 100


class _Insert(NamedTuple):
    """An insertion into SQLite; the last ``own`` of the columns differ from row to row."""

    table: str
    columns: tuple[str, ...]
    own: int

    @lru_cache(maxsize=256)  # noqa: B019 - of a value, not of an object
    def sql(self, rows: int) -> str:
        """Write it for so many rows: first the values that all share, then each row's own."""
        same = len(self.columns) - self.own
        shared = [f"?{place}" for place in range(1, same + 1)]
        after = count(same + 1)
        values = [
            ", ".join([*shared, *(f"?{next(after)}" for _ in range(self.own))]) for _ in range(rows)
        ]
        listed = ", ".join(f"({row})" for row in values)
        return f"INSERT INTO {self.table} ({', '.join(self.columns)}) VALUES {listed}"  # noqa: S608 - our own names


def _insert(
    connection: Connection, into: _Insert, same: list[Any], told: Sequence[tuple[Any, ...]]
) -> None:
    whole = len(told) - len(told) % _TOGETHER
    many, one = into.sql(_TOGETHER), into.sql(1)
    with _cursor_for(connection, one) as cursor:
        for start in range(0, whole, _TOGETHER):
            some = told[start : start + _TOGETHER]
            cursor.execute(many, [*same, *chain.from_iterable(some)])
        cursor.executemany(one, [(*same, *own) for own in told[whole:]])


def _copy(
    connection: Connection, statement: str, *, same: tuple[Any, ...], told: Iterable[Any]
) -> None:
    with _cursor_for(connection, statement) as cursor, cursor.copy(statement) as copy:
        for own in told:
            copy.write_row(same + own)


@contextmanager
def _cursor_for(connection: Connection, statement: str) -> Iterator[Any]:
    """Give the driver's own cursor. Its errors are SQLAlchemy's, as those of any other statement are."""
    driver: Any = connection.connection.driver_connection
    errors: Any = connection.dialect.loaded_dbapi.Error
    try:
        with closing(driver.cursor()) as cursor:
            yield cursor
    except errors as error:
        if connection.dialect.is_disconnect(error, connection.connection, None):
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows, which all carry the same columns, into the columns of ``insert_columns``."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _encoder(kind: Any, *, sqlite: bool) -> Callable[[Any], Any] | None:
    if isinstance(kind, JSON):
        return _json_or_null if kind.none_as_null else _json
    if isinstance(kind, UtcDateTime):
        return moment_text if sqlite else _utc
    return None


def _json(value: Any) -> str | None:
    """Text that is JSON already stays as it is: whoever gives many the same encodes it once."""
    return value if isinstance(value, str) else to_json(value)


def _json_or_null(value: Any) -> str | None:
    return None if value is None else _json(value)


def _utc(value: datetime | None) -> datetime | None:
    """As ``UtcDateTime`` does: on SQLite another zone's text would not sort as time does."""
    if value is None or value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError("a datetime without a zone reached the record; make it aware")
    return value.astimezone(UTC)


@lru_cache(maxsize=1024)  # many rows of a batch hold the same one
def moment_text(value: datetime | None) -> str | None:
    """Write a moment as SQLite keeps it; PostgreSQL reads it too."""
    utc = _utc(value)
    return None if utc is None else utc.isoformat(" ", "microseconds")


def given(ids: Collection[str], **more: Any) -> dict[str, Any]:
    """Make the parameters of a statement with ``among``."""
    return {"ids": ids, **more}
