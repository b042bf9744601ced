"""An attempt has no provider's id until it is answered: those without one leave the index alone."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    answered = sa.text("provider_id IS NOT NULL")
    op.drop_index("ix_deliveries_provider_id", "deliveries")
    op.create_index(
        "ix_deliveries_provider_id",
        "deliveries",
        ["provider_id"],
        postgresql_where=answered,
        sqlite_where=answered,
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_provider_id", "deliveries")
    op.create_index("ix_deliveries_provider_id", "deliveries", ["provider_id"])
