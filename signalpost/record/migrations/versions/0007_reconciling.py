"""What reconciling keeps: which deliveries their provider is asked about."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lookups",
        sa.Column("delivery_id", sa.String(36), primary_key=True),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_lookups_message_id", "lookups", ["message_id"])
    there = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_lookups_due", "lookups", ["due_at"], postgresql_where=there, sqlite_where=there
    )


def downgrade() -> None:
    op.drop_table("lookups")
