"""Which workers have failed a job, and how many results a worker has had accepted since."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add them."""
    op.add_column("jobs", sa.Column("failed_by", sa.Text()))
    op.add_column(
        "workers",
        sa.Column("accepted_since", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_column("workers", "accepted_since")
    op.drop_column("jobs", "failed_by")
