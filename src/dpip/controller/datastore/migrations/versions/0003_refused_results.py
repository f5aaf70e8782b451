"""Refused results of workers, and the index of those that are quarantined for them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_WHERE = sa.text("state = 'quarantined'")


def upgrade() -> None:
    """Add them."""
    op.add_column("workers", sa.Column("refused_jobs", sa.Text()))
    op.create_index(
        "workers_quarantined",
        "workers",
        ["name"],
        sqlite_where=_WHERE,
        postgresql_where=_WHERE,
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_index("workers_quarantined", table_name="workers")
    op.drop_column("workers", "refused_jobs")
