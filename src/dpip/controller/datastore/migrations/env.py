"""Alembic's environment: runs the revisions on the connection that it is handed."""

from alembic import context

from dpip.controller.datastore.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
