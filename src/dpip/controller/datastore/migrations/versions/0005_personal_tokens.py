"""Personal tokens, and the bytes that each workload keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    """Add them, and count what is stored already."""
    op.add_column("tokens", sa.Column("id", sa.String(length=26)))
    op.add_column("tokens", sa.Column("name", sa.Text()))
    op.add_column("tokens", sa.Column("scope", sa.Text()))
    op.add_column("tokens", sa.Column("last_used_at", sa.Double()))
    op.create_index("tokens_by_id", "tokens", ["id"], unique=True)
    op.add_column(
        "workloads",
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.execute(
        "UPDATE workloads SET stored_bytes = "
        "(SELECT COALESCE(SUM(size), 0) FROM images WHERE images.workload_id = workloads.id)"
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_column("workloads", "stored_bytes")
    op.drop_index("tokens_by_id", table_name="tokens")
    for name in ("id", "name", "scope", "last_used_at"):
        op.drop_column("tokens", name)
