"""Alembic's entry: runs on the connection that ``record.migrate`` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON
from sqlmodel.sql.sqltypes import AutoString

from signalpost.record.base import UtcDateTime
from signalpost.record.migrate import compare_type, whole_metadata


def _render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write our own column types as the plain ones they are in the database."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=whole_metadata(),
    render_item=_render,
    compare_type=compare_type,
    render_as_batch=True,  # SQLite cannot alter most things in place
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
