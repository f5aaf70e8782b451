"""The image store that the database belongs with, and workloads whose files are to go."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add them."""
    op.create_table("image_store", sa.Column("id", sa.String(26), primary_key=True))
    op.create_table(
        "removed_workloads",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("removed_workloads")
    op.drop_table("image_store")
