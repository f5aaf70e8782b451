"""Images that were removed and whose files are to go."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "removed_images",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("image", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("removed_images")
