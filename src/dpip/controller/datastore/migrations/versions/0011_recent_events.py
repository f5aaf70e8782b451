"""Events of the last minute, of which there may be so many, however many processes count them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "recent_events",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("second", sa.BigInteger(), primary_key=True, index=True),
        sa.Column("events", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("recent_events")
