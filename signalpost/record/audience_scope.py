"""What a select of an audience looks at: whose rows, until when, and for whom they count.

A person is a family: what was written for a customer who was merged away counts for the one who
stands for them. Few are merged, so their rows are joined on from a small index instead of looking
every row's root up.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    func,
    select,
    true,
)

from signalpost.record import audience_values as sql
from signalpost.record.base import table_of
from signalpost.record.customers import Customer, was_merged

Roots = Any  #: a select of root ids; how its type is written differs between releases of SQLAlchemy

customers = table_of(Customer)


@dataclass(frozen=True)
class Scope:
    """What a select is made for.

    ``roots`` and ``family``: look at these people only, and at whose rows count for them.
    """

    now: datetime
    sql: sql.Postgres | sql.Sqlite
    roots: Collection[str] | None = None
    family: Collection[str] | None = None

    @property
    def is_postgres(self) -> bool:
        """Whether it is for PostgreSQL."""
        return isinstance(self.sql, sql.Postgres)

    def only(self, root: Any) -> ColumnElement[bool]:
        """The person is one of those to look at."""
        return true() if self.roots is None else root.in_(list(self.roots))

    def ago(self, length: timedelta) -> datetime:
        """Give the moment so long ago; the first there is when it would be before all of them."""
        try:
            return self.now - length
        except OverflowError:
            return datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Rooted:
    """Rows of a table with the root customer of each."""

    source: FromClause
    root: ColumnElement[Any]
    only: ColumnElement[bool]


def rooted(table: Any, scope: Scope, *, name: str = "merged") -> Rooted:
    """Join on who was merged into whom; ``name``: of the alias, where there are two of them."""
    merged = customers.alias(name)
    joined = table.outerjoin(merged, and_(merged.c.id == table.c.customer_id, was_merged(merged)))
    root = func.coalesce(merged.c.root_id, table.c.customer_id)
    only = true() if scope.family is None else table.c.customer_id.in_(list(scope.family))
    return Rooted(joined, root, and_(only, table.c.customer_id.is_not(None)))


def merged(condition: Callable[[Any], ColumnElement[bool]], scope: Scope) -> Roots:
    """Those into whom a customer was merged of whose row the condition is true."""
    other = customers.alias("other")
    found = select(other.c.root_id.label("root")).where(was_merged(other), condition(other))
    return found if scope.family is None else found.where(other.c.id.in_(list(scope.family)))
