"""Notes on results: codes separated by commas."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add them: none to the results that are there."""
    op.add_column(
        "images", sa.Column("notes", sa.Text(), nullable=False, server_default=sa.text("''"))
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_column("images", "notes")
