"""Campaigns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaign_people",
        sa.Column("campaign_run_id", sa.String(length=36), nullable=False),
        sa.Column("customer_id", sa.String(length=36), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column(
            "verdicts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("campaign_run_id", "customer_id", name=op.f("pk_campaign_people")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("campaign_people", schema=None) as batch_op:
        batch_op.create_index(
            "ix_campaign_people_customer", ["customer_id", "campaign_run_id"], unique=False
        )
        batch_op.create_index(
            "ix_campaign_people_due",
            ["campaign_run_id", "shard", "due_at", "customer_id"],
            unique=False,
            sqlite_where=sa.text("outcome IS NULL"),
            postgresql_where=sa.text("outcome IS NULL"),
        )

    op.create_table(
        "campaign_shards",
        sa.Column("campaign_run_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_id", sa.String(length=36), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "counts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.PrimaryKeyConstraint("campaign_run_id", "number", name=op.f("pk_campaign_shards")),
    )
    op.create_table(
        "campaign_versions",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column(
            "definition", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_campaign_versions")),
    )
    with op.batch_alter_table("campaign_versions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_campaign_versions_campaign"), ["campaign"], unique=False
        )

    op.create_table(
        "marketing_holds",
        sa.Column("customer_id", sa.String(length=36), nullable=False),
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("campaign_run_id", sa.String(length=36), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "series", name=op.f("pk_marketing_holds")),
    )
    with op.batch_alter_table("marketing_holds", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_marketing_holds_series"), ["series"], unique=False)

    op.create_table(
        "channel_paces",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("next_free_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channel_paces")),
    )
    op.create_table(
        "campaign_runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("occurrence", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=True),
        sa.Column("series", sa.String(), nullable=True),
        sa.Column(
            "facts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("local_at", sa.String(), nullable=True),
        sa.Column("sample_of", sa.Integer(), nullable=True),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("plan", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("claim_id", sa.String(length=36), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["version"], ["campaign_versions.version"], name=op.f("fk_campaign_runs_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_runs")),
        sa.UniqueConstraint(
            "campaign", "occurrence", name=op.f("uq_campaign_runs_campaign_occurrence")
        ),
    )
    with op.batch_alter_table("campaign_runs", schema=None) as batch_op:
        batch_op.create_index("ix_campaign_runs_status", ["status"], unique=False)

    op.create_table(
        "campaign_acts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("campaign_run_id", sa.String(length=36), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column(
            "detail", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_run_id"], ["campaign_runs.id"], name=op.f("fk_campaign_acts_campaign_run_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_acts")),
    )
    with op.batch_alter_table("campaign_acts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_campaign_acts_campaign_run_id"), ["campaign_run_id"], unique=False
        )

    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("campaign_run_id", sa.String(length=36), nullable=True))
        batch_op.drop_index(batch_op.f("ix_messages_enrolment_id"))
        batch_op.drop_index(batch_op.f("ix_messages_status"))
        batch_op.create_index(
            "ix_messages_campaign_run",
            ["campaign_run_id"],
            unique=False,
            sqlite_where=sa.text("campaign_run_id IS NOT NULL"),
            postgresql_where=sa.text("campaign_run_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_messages_enrolment",
            ["enrolment_id"],
            unique=False,
            sqlite_where=sa.text("enrolment_id IS NOT NULL"),
            postgresql_where=sa.text("enrolment_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_messages_open",
            ["status"],
            unique=False,
            sqlite_where=sa.text("status IN ('queued', 'sending', 'unknown')"),
            postgresql_where=sa.text("status IN ('queued', 'sending', 'unknown')"),
        )


def downgrade() -> None:
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_messages_open",
            sqlite_where=sa.text("status IN ('queued', 'sending', 'unknown')"),
            postgresql_where=sa.text("status IN ('queued', 'sending', 'unknown')"),
        )
        batch_op.drop_index(
            "ix_messages_enrolment",
            sqlite_where=sa.text("enrolment_id IS NOT NULL"),
            postgresql_where=sa.text("enrolment_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_messages_campaign_run",
            sqlite_where=sa.text("campaign_run_id IS NOT NULL"),
            postgresql_where=sa.text("campaign_run_id IS NOT NULL"),
        )
        batch_op.create_index(batch_op.f("ix_messages_status"), ["status"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_messages_enrolment_id"), ["enrolment_id"], unique=False
        )
        batch_op.drop_column("campaign_run_id")

    with op.batch_alter_table("campaign_acts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_campaign_acts_campaign_run_id"))

    op.drop_table("campaign_acts")
    with op.batch_alter_table("campaign_runs", schema=None) as batch_op:
        batch_op.drop_index("ix_campaign_runs_status")

    op.drop_table("campaign_runs")
    op.drop_table("channel_paces")
    with op.batch_alter_table("marketing_holds", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_marketing_holds_series"))

    op.drop_table("marketing_holds")
    with op.batch_alter_table("campaign_versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_campaign_versions_campaign"))

    op.drop_table("campaign_versions")
    op.drop_table("campaign_shards")
    with op.batch_alter_table("campaign_people", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_campaign_people_due",
            sqlite_where=sa.text("outcome IS NULL"),
            postgresql_where=sa.text("outcome IS NULL"),
        )
        batch_op.drop_index("ix_campaign_people_customer")

    op.drop_table("campaign_people")
