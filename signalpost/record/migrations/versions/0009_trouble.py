"""What providers' troubles leave: where each account stands, and which account took a message."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("account", sa.String(), nullable=True))
    op.create_table(
        "provider_accounts",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_probes", sa.Integer(), nullable=False),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("marketing_only", sa.Boolean(), nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("slow_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("slow_share", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_provider_accounts")),
    )
    undone = sa.text("status IN ('failed', 'retry', 'unknown')")
    op.create_index(
        "ix_hook_calls_undone", "hook_calls", ["id"],
        postgresql_where=undone, sqlite_where=undone,
    )  # fmt: skip
    aside = sa.text("outcome = 'set_aside'")
    op.create_index(
        "ix_campaign_people_set_aside", "campaign_people", ["campaign_run_id"],
        postgresql_where=aside, sqlite_where=aside,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_campaign_people_set_aside", "campaign_people")
    op.drop_index("ix_hook_calls_undone", "hook_calls")
    op.drop_table("provider_accounts")
    op.drop_column("deliveries", "account")
