"""No index says anything of a message's status: on PostgreSQL an update then finds room beside the row.

PostgreSQL writes the table of messages anew for the generated column, and lets nobody else at it
meanwhile. SQLite works the column out when it is asked for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_PENDING = (
    "CASE WHEN status IN ('queued', 'unknown') OR status = 'sending' AND campaign_run_id IS NULL "
    "THEN status END"
)


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    on_postgres = op.get_bind().dialect.name == "postgresql"
    kind = "STORED" if on_postgres else "VIRTUAL"
    op.drop_index("ix_messages_open", "messages")
    if on_postgres:
        op.execute("ALTER TABLE messages SET (fillfactor = 50)")
    op.execute(
        f"ALTER TABLE messages ADD COLUMN pending VARCHAR GENERATED ALWAYS AS ({_PENDING}) {kind}"
    )
    _partial_index("ix_messages_pending", "messages", ["pending"], "pending IS NOT NULL")
    op.add_column("campaign_shards", sa.Column("in_flight", sa.String()))
    _partial_index(
        "ix_campaign_shards_in_flight",
        "campaign_shards",
        ["campaign_run_id", "number"],
        "in_flight > ''",
    )


def downgrade() -> None:
    op.drop_index("ix_campaign_shards_in_flight", "campaign_shards")
    op.drop_column("campaign_shards", "in_flight")
    op.drop_index("ix_messages_pending", "messages")
    op.drop_column("messages", "pending")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE messages RESET (fillfactor)")
    _partial_index(
        "ix_messages_open", "messages", ["status"], "status IN ('queued', 'sending', 'unknown')"
    )
