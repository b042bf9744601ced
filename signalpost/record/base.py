"""Column types, ids and the metadata that every table shares."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar

import orjson
import uuid_utils
from sqlalchemy import JSON, DateTime, Index, MetaData, String
from sqlalchemy import Table as SqlTable
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, Session, SQLModel

#: Names for constraints, so that migrations can drop what they made on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Table(SQLModel):
    """Base of every table of the record."""

    metadata = metadata
    __tablename__: ClassVar[Any]  # each table says its own


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; a naive one is refused rather than guessed at.

    SQLite keeps it as text, ``2026-03-02 09:00:00.000000+00:00``, which sorts as time does.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """Choose the column: text on SQLite, which has no type for time."""
        column = String(32) if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(column)

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | str | None:
        """Turn an aware datetime into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a zone reached the record; make it aware")
        utc = value if value.tzinfo is UTC else value.astimezone(UTC)
        return utc.isoformat(" ", "microseconds") if dialect.name == "sqlite" else utc

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        """Give back an aware datetime in UTC; with nothing in between, for there are many."""
        del dialect, coltype
        return _aware


@lru_cache(maxsize=4096)  # rows that were written together carry the same moment
def _aware(value: datetime | str | None) -> datetime | None:
    if value is None:
        return None
    return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


#: JSON everywhere, the binary kind on PostgreSQL.
Json = JSON().with_variant(JSONB(), "postgresql")
Id = String(36)


def to_json(value: Any) -> str:
    """Write a value for a column of JSON.

    Raises:
        TypeError: it holds what JSON has no word for, or half a character.
    """
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def new_id() -> str:
    """Make a UUIDv7 as text: sorted by the time of making (RFC 9562)."""
    return str(uuid_utils.uuid7())


def first_id_of(moment: datetime) -> str:
    """Give the lowest id that can have been made at a moment, by this machine's clock."""
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


def pk() -> Any:
    """A primary key filled with a UUIDv7."""
    return Field(default_factory=new_id, primary_key=True, sa_type=Id)


def moment(**options: Any) -> Any:
    """A column for an aware moment."""
    return Field(sa_type=UtcDateTime, **options)


def document(**options: Any) -> Any:
    """A column for a JSON document."""
    options.setdefault("default_factory", dict)
    return Field(sa_type=Json, **options)


def partial_index(name: str, *columns: str, where: str) -> Index:
    """An index over the rows of which ``where`` is true."""
    return Index(name, *columns, sqlite_where=sql(where), postgresql_where=sql(where))


def table_of(model: type[SQLModel]) -> SqlTable:
    """Give the Core table of a model, for statements on many rows at once."""
    return model.__table__  # type: ignore[attr-defined]


def insert_new(
    session: Session,
    table: SqlTable,
    rows: Sequence[Mapping[str, Any]],
    *,
    conflict: Sequence[str] = (),
    returning: str | None = None,
) -> set[Any]:
    """Insert rows, leaving out those that are there already (by the ``conflict`` columns).

    Gives the ``returning`` column of the rows that were new, else nothing. Safe against a concurrent
    writer on both databases.
    """
    if not rows:
        return set()
    dialect = session.get_bind().dialect.name
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = make(table).on_conflict_do_nothing(index_elements=list(conflict) or None)
    if returning is None:
        session.connection().execute(statement, list(rows))
        return set()
    result = session.connection().execute(statement.returning(table.c[returning]), list(rows))
    return set(result.scalars())


def insert_rows(session: Session, table: SqlTable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows in one statement; all carry the same keys."""
    if rows:
        session.connection().execute(table.insert(), list(rows))
