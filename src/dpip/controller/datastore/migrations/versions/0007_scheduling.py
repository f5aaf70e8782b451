"""What placement goes by: requirements, weights, second leases, leadership and cost models."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_IS_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Add them."""
    op.add_column(
        "users", sa.Column("weight", sa.Integer(), nullable=False, server_default=sa.text("1"))
    )
    op.add_column(
        "workloads",
        sa.Column("requirements", sa.Text(), nullable=False, server_default=sa.text("'{}'")),
    )
    op.add_column("jobs", sa.Column("rival_attempt", sa.Integer()))
    op.add_column("jobs", sa.Column("rival_worker", sa.Text()))
    op.add_column("jobs", sa.Column("why", sa.Text()))
    op.add_column("jobs", sa.Column("rival_why", sa.Text()))
    op.drop_index("jobs_pending", "jobs")
    op.create_index(
        "jobs_pending_of_workload",
        "jobs",
        ["workload_id", "id", "state"],
        sqlite_where=_IS_PENDING,
        postgresql_where=_IS_PENDING,
    )
    op.add_column("workers", sa.Column("command", sa.Text()))
    op.add_column("workers", sa.Column("paused", sa.Text()))
    op.create_table(
        "leadership",
        sa.Column("part", sa.Text(), primary_key=True),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("beat", sa.Integer(), nullable=False),
    )
    op.create_table(
        "cost_models",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("cost_models")
    op.drop_table("leadership")
    op.drop_column("workers", "paused")
    op.drop_column("workers", "command")
    op.drop_index("jobs_pending_of_workload", "jobs")
    op.create_index(
        "jobs_pending", "jobs", ["id"], sqlite_where=_IS_PENDING, postgresql_where=_IS_PENDING
    )
    op.drop_column("jobs", "rival_why")
    op.drop_column("jobs", "why")
    op.drop_column("jobs", "rival_worker")
    op.drop_column("jobs", "rival_attempt")
    op.drop_column("workloads", "requirements")
    op.drop_column("users", "weight")
