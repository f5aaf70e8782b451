"""Changes of the tables over time, one revision a file."""

HEAD = "0013"
"""The newest revision. Compared before Alembic is loaded, which most starts do not need."""
