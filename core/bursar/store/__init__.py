"""Keep orders durably: the durable step, group commit in front of it, and what is due, on SQLite or PostgreSQL."""

from bursar.store.store import Store, open_store
from bursar.store.writer import Writer

__all__ = ["Store", "Writer", "open_store"]
