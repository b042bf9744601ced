"""Since when somebody is known by what was told too late to act on, also of those imported already."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OF_WHAT_WAS_TOLD = """
    UPDATE customers SET known_since = earliest.occurred_at, learned_at = earliest.received_at
    FROM (
        SELECT customer_id, occurred_at, received_at, row_number() OVER (
            PARTITION BY customer_id ORDER BY occurred_at, received_at
        ) AS place
        FROM events WHERE status = 'historic' AND customer_id IS NOT NULL
    ) AS earliest
    WHERE earliest.place = 1 AND earliest.customer_id = customers.id
    AND earliest.occurred_at < customers.created_at AND customers.erased_at IS NULL
"""


def upgrade() -> None:
    op.add_column("customers", sa.Column("known_since", sa.DateTime(timezone=True)))
    op.add_column("customers", sa.Column("learned_at", sa.DateTime(timezone=True)))
    op.execute(_OF_WHAT_WAS_TOLD)


def downgrade() -> None:
    op.drop_column("customers", "learned_at")
    op.drop_column("customers", "known_since")
