"""Finding who was merged into people without reading the people themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    merged = sa.text("CAST(id = root_id AS INTEGER) = 0")
    op.create_index(
        "ix_customers_merged_into",
        "customers",
        ["root_id", "id"],
        postgresql_where=merged,
        sqlite_where=merged,
    )


def downgrade() -> None:
    op.drop_index("ix_customers_merged_into", "customers")
