"""Keys of repeated uploads, and the indexes that removing a workload needs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WHERE = sa.text("upload_key IS NOT NULL")


def upgrade() -> None:
    """Add them."""
    op.add_column("images", sa.Column("upload_key", sa.Text()))
    op.create_index("images_of_workload", "images", ["workload_id"])
    op.create_index(
        "images_by_upload_key",
        "images",
        ["workload_id", "upload_key"],
        unique=True,
        sqlite_where=_WHERE,
        postgresql_where=_WHERE,
    )
    op.create_index("jobs_by_result", "jobs", ["filtered_image_id"])


def downgrade() -> None:
    """Remove them."""
    op.drop_index("jobs_by_result", table_name="jobs")
    op.drop_index("images_by_upload_key", table_name="images")
    op.drop_index("images_of_workload", table_name="images")
    op.drop_column("images", "upload_key")
