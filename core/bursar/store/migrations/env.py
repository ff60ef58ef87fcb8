"""Run the migrations on the connection that `bursar.store.migrating` hands in, inside its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="bursar_version")
context.run_migrations()
