"""What audiences look at: who did something within a time, what it came to, and who was merged."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_VALUE = (
    "CASE WHEN jsonb_typeof(facts -> 'total') = 'object' THEN facts #> '{total,amount}'"
    " ELSE facts -> 'total' END"
)
_TEXT = f"(({_VALUE}) #>> '{{}}')"
_TOTAL = (
    f"CASE WHEN jsonb_typeof({_VALUE}) = 'number' THEN CAST({_TEXT} AS NUMERIC)"
    f" WHEN jsonb_typeof({_VALUE}) = 'string' AND {_TEXT} ~ '^-?[0-9]{{1,15}}([.][0-9]{{1,10}})?$'"
    f" THEN CAST({_TEXT} AS NUMERIC) END"
)
_CURRENCY = (
    "CASE WHEN facts #>> '{total,currency}' ~ '^[A-Z]{3}$' THEN facts #>> '{total,currency}' END"
)


def upgrade() -> None:
    on_postgres = op.get_bind().dialect.name == "postgresql"
    total, currency, kind = (
        (_TOTAL, _CURRENCY, "STORED") if on_postgres else ("NULL", "NULL", "VIRTUAL")
    )
    for column in (f"total NUMERIC GENERATED ALWAYS AS ({total}) {kind}",
                   f"currency TEXT GENERATED ALWAYS AS ({currency}) {kind}"):  # fmt: skip
        op.execute(sa.text(f"ALTER TABLE events ADD COLUMN {column}".replace(":", r"\:")))
    happened = sa.text("status IN ('accepted', 'historic')")
    op.create_index(
        "ix_events_did",
        "events",
        ["name", "occurred_at"],
        postgresql_include=["customer_id", "total", "currency"],
        postgresql_where=happened,
        sqlite_where=happened,
    )
    merged = sa.text("CAST(id = root_id AS INTEGER) = 0")
    op.create_index(
        "ix_customers_merged",
        "customers",
        ["id", "root_id"],
        postgresql_where=merged,
        sqlite_where=merged,
    )


def downgrade() -> None:
    op.drop_index("ix_customers_merged", "customers")
    op.drop_index("ix_events_did", "events")
    op.execute("ALTER TABLE events DROP COLUMN currency")
    op.execute("ALTER TABLE events DROP COLUMN total")
