"""Open a database: read its URL, set its connections up so that a commit is durable, and say plainly what is wrong."""

from pathlib import Path
from sqlite3 import sqlite_version, sqlite_version_info
from typing import Any, Final

import sqlalchemy.exc
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from bursar.errors import ConfigError

__all__ = ["POSTGRES", "SQLITE", "make_engine", "where"]

SQLITE: Final = "sqlite"
POSTGRES: Final = "postgresql"
_OLDEST_SQLITE: Final = (3, 37, 0)
"""The first with strict tables."""
_WAIT_SECONDS: Final = 10
_FORMS: Final = "sqlite:///path/to/file.db or postgresql://user:password@host/name"


def make_engine(url: str) -> Engine:
    """Return an engine for *url*; raise `ConfigError` for one that cannot serve. Nothing is connected yet."""
    try:
        parsed = make_url(url)
    except sqlalchemy.exc.ArgumentError:
        # What was given is not repeated: it may hold a password.
        raise ConfigError(f"the database URL is not one; write {_FORMS}") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            return _make_sqlite(parsed)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return _make_postgres(parsed)
        case other:
            raise ConfigError(f"the database URL begins with {other!r}; write {_FORMS}")


def where(engine: Engine) -> str:
    """Name the database for people, without its password."""
    return engine.url.render_as_string(hide_password=True)


def _make_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigError(
            "an SQLite database is a file, or nothing would be kept: write sqlite:///path/to/file.db"
        )
    folder = Path(url.database).absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"the database's folder {str(folder)!r} does not exist; make it first")
    if sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigError(f"SQLite is {sqlite_version}; 3.37 or newer is needed")
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        connect_args={"timeout": _WAIT_SECONDS},
        hide_parameters=True,
        pool_timeout=_WAIT_SECONDS,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    # The driver would begin transactions by itself, too late and without the lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    # The first ask of a new file for the journal is not made to wait by SQLite itself when two come at once.
    cursor.execute(f"PRAGMA busy_timeout={_WAIT_SECONDS * 1000}")
    if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_postgres(url: URL) -> Engine:
    try:
        import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise ConfigError("PostgreSQL needs psycopg: install bursar[postgres]") from None
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        paramstyle="format",
        hide_parameters=True,
        connect_args={} if "connect_timeout" in url.query else {"connect_timeout": _WAIT_SECONDS},
        pool_timeout=_WAIT_SECONDS,
    )
    event.listen(engine, "connect", _set_up_postgres)
    return engine


def _set_up_postgres(connection: Any, _: object) -> None:
    # A server, database or role may have it off, and then a crash would lose what was acknowledged.
    connection.autocommit = True
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.autocommit = False
