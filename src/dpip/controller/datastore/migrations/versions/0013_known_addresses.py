"""The addresses that logins have succeeded from, of each account."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "known_addresses",
        sa.Column("pair", sa.Text(), primary_key=True),
        sa.Column("at", sa.Double(), nullable=False, index=True),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("known_addresses")
