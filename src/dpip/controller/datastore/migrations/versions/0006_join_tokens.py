"""Join tokens, and which of them let a worker in."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "join_tokens",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
    )
    op.add_column("workers", sa.Column("join_token", sa.Text()))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("workers", "join_token")
    op.drop_table("join_tokens")
