"""Erasure and its receipts, and restores."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _moment(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("customer_id", sa.String(length=36), nullable=False),
        sa.Column("customer_ids", _JSON, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("counts", _JSON, nullable=False),
        sa.Column("outstanding", _JSON, nullable=False),
        sa.Column("receipt", _JSON, nullable=False),
        _moment("requested_at"),
        _moment("done_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index(op.f("ix_erasures_customer_id"), "erasures", ["customer_id"])
    op.create_table(
        "erasure_steps",
        sa.Column("erasure_id", sa.String(length=36), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", _JSON, nullable=False),
        _moment("next_at"),
        _moment("done_at", nullable=True),
        sa.ForeignKeyConstraint(
            ["erasure_id"], ["erasures.id"], name=op.f("fk_erasure_steps_erasure_id")
        ),
        sa.PrimaryKeyConstraint("erasure_id", "step", name=op.f("pk_erasure_steps")),
    )
    op.create_table(
        "forgotten_addresses",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        _moment("at"),
        sa.PrimaryKeyConstraint(
            "fingerprint", "channel", "scope", "reason", name=op.f("pk_forgotten_addresses")
        ),
    )
    op.create_table(
        "lost_windows",
        sa.Column("id", sa.String(length=36), nullable=False),
        _moment("since"),
        _moment("until"),
        sa.Column("who", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lost_windows")),
    )
    op.add_column("customers", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("customers", "erased_at")
    op.drop_table("lost_windows")
    op.drop_table("forgotten_addresses")
    op.drop_table("erasure_steps")
    op.drop_index(op.f("ix_erasures_customer_id"), "erasures")
    op.drop_table("erasures")
