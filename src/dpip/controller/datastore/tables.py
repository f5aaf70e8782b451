"""The tables. Times are seconds since 1970, in UTC."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("weight", Integer, nullable=False, server_default=text("1")),
    Column("created_at", Double, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("worker", Text, index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    # Of personal tokens, which have an id, a name and a scope, unlike those of a login.
    Column("id", String(26)),
    Column("name", Text),
    Column("scope", Text),
    Column("last_used_at", Double),
    Index("tokens_by_id", "id", unique=True),
)

workloads = Table(
    "workloads",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("name", Text, nullable=False),
    # No foreign key: the workloads of a removed user stay for the administrators.
    Column("owner_id", String(26), nullable=False),
    Column("pipeline", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started", Boolean, nullable=False),
    Column("pending", Integer, nullable=False),
    Column("leased", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False, server_default=text("0")),
    # As JSON.
    Column("requirements", Text, nullable=False, server_default=text("'{}'")),
    Index("workloads_of_owner", "owner_id", "id"),
    Index(
        "workloads_active",
        "id",
        sqlite_where=text("pending > 0 OR leased > 0"),
        postgresql_where=text("pending > 0 OR leased > 0"),
    ),
)

images = Table(
    "images",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("workload_id", ForeignKey("workloads.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("source_id", String(26)),
    Column("format", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("bands", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("upload_key", Text),
    # Codes separated by commas.
    Column("notes", Text, nullable=False, server_default=text("''")),
    Index("images_of_workload", "workload_id"),
    Index(
        "images_by_upload_key",
        "workload_id",
        "upload_key",
        unique=True,
        sqlite_where=text("upload_key IS NOT NULL"),
        postgresql_where=text("upload_key IS NOT NULL"),
    ),
)

removed_workloads = Table(
    "removed_workloads",
    metadata,
    # Whose directories in the image store are to go, if they have not gone yet.
    Column("id", String(26), primary_key=True),
    Column("name", Text, nullable=False),
    Column("removed_at", Double, nullable=False),
)

removed_images = Table(
    "removed_images",
    metadata,
    # Whose files in the image store are to go, and have not gone yet; each as JSON.
    Column("id", String(26), primary_key=True),
    Column("image", Text, nullable=False),
)

image_store = Table(
    "image_store",
    metadata,
    # One row: the id that the image store has, too.
    Column("id", String(26), primary_key=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("workload_id", ForeignKey("workloads.id"), nullable=False),
    Column("image_id", ForeignKey("images.id"), nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("retry_at", Double, nullable=False),
    Column("worker", Text),
    # Of an earlier lease that goes on beside the one of ``attempt`` and ``worker``.
    Column("rival_attempt", Integer),
    Column("rival_worker", Text),
    # Why each was placed where it was, as JSON.
    Column("why", Text),
    Column("rival_why", Text),
    Column("position", Integer),
    Column("filtered_image_id", ForeignKey("images.id")),
    Column("milliseconds", Double),
    Column("failure_code", Text),
    Column("failure_reason", Text),
    # As JSON: the workers that have failed it, by name, each with the code of its failure.
    Column("failed_by", Text),
    Index(
        "jobs_leased",
        "id",
        sqlite_where=text("state = 'leased'"),
        postgresql_where=text("state = 'leased'"),
    ),
    Index(
        "jobs_pending_of_workload",
        "workload_id",
        "id",
        "state",  # So that SQLite can count by the index alone.
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index("jobs_in_upload_order", "workload_id", "image_id"),
    Index("jobs_as_settled", "workload_id", "position"),
    # Asked by the database itself, before it lets go of an image.
    Index("jobs_by_result", "filtered_image_id"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("instance", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("prefetch", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("resources", Text, nullable=False),
    Column("running", Integer, nullable=False),
    Column("joined_at", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("join_token", Text),
    # Ids as JSON: of the jobs that are held against it.
    Column("refused_jobs", Text),
    # Its results that were accepted since the latest of these.
    Column("accepted_since", Integer, nullable=False, server_default=text("0")),
    # What an administrator has told it: to pause, or to drain and leave.
    Column("command", Text),
    # Why it takes no jobs for now, in its own words, or why it is quarantined.
    Column("paused", Text),
    Index(
        "workers_quarantined",
        "name",
        sqlite_where=text("state = 'quarantined'"),
        postgresql_where=text("state = 'quarantined'"),
    ),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("secret_hash", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
)

recent_events = Table(
    "recent_events",
    metadata,
    Column("key", Text, primary_key=True),
    Column("second", BigInteger, primary_key=True, index=True),
    Column("events", Integer, nullable=False),
)

known_addresses = Table(
    "known_addresses",
    metadata,
    # Address and account.
    Column("pair", Text, primary_key=True),
    # Of the latest login that succeeded.
    Column("at", Double, nullable=False, index=True),
)

leadership = Table(
    "leadership",
    metadata,
    Column("part", Text, primary_key=True),
    Column("term", Integer, nullable=False),
    Column("holder", Text),
    # Grows with each sign of life of the holder.
    Column("beat", Integer, nullable=False),
)

cost_models = Table(
    "cost_models",
    metadata,
    Column("key", Text, primary_key=True),
    # As JSON.
    Column("model", Text, nullable=False),
)

utilisation = Table(
    "utilisation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("worker", Text, nullable=False),
    Column("at", Double, nullable=False, index=True),
    Column("resources", Text, nullable=False),
    Column("running", Integer, nullable=False),
)

activities = Table(
    "activities",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
