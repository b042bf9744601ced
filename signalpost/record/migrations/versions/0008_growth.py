"""What a big record needs: the keys of a receipt are found when it is deleted."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_receipt_keys_receipt_id", "receipt_keys", ["receipt_id"])


def downgrade() -> None:
    op.drop_index("ix_receipt_keys_receipt_id", "receipt_keys")
