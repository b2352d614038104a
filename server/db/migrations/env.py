"""Alembic's entry point. `server.db.upgrading` runs it with a connection, `scripts/migration.py` with the tables too."""

from alembic import context

from server.db.upgrading import is_of_the_tables

attributes = context.config.attributes
connection = attributes.get("connection")
if connection is None:
    raise RuntimeError("run migrations through `python init_db.py`, which knows the database")

context.configure(
    connection=connection,
    target_metadata=attributes.get("metadata"),
    compare_type=True,
    include_object=is_of_the_tables,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
