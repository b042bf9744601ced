"""Since when somebody is known by what was told too late to act on, also of those imported already."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

#: Looked up before the columns are made: from then on nobody else can read a customer.
_WHAT_WAS_TOLD = """
    CREATE TEMPORARY TABLE told_of AS
    SELECT customer_id, occurred_at, received_at FROM (
        SELECT customer_id, occurred_at, received_at, row_number() OVER (
            PARTITION BY customer_id ORDER BY occurred_at, received_at
        ) AS place
        FROM events WHERE status = 'historic' AND customer_id IS NOT NULL
    ) AS earliest
    WHERE place = 1
"""
_LEARN = """
    UPDATE customers SET known_since = told_of.occurred_at, learned_at = told_of.received_at
    FROM told_of WHERE told_of.customer_id = customers.id
    AND told_of.occurred_at < customers.created_at AND customers.erased_at IS NULL
"""


def upgrade() -> None:
    op.execute(_WHAT_WAS_TOLD)
    op.add_column("customers", sa.Column("known_since", sa.DateTime(timezone=True)))
    op.add_column("customers", sa.Column("learned_at", sa.DateTime(timezone=True)))
    op.execute(_LEARN)
    op.execute("DROP TABLE told_of")


def downgrade() -> None:
    op.drop_column("customers", "learned_at")
    op.drop_column("customers", "known_since")
