"""Bring a database to the newest schema, however many processes start at the same moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy.exc
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine

from bursar.errors import ConfigError
from bursar.store.engine import POSTGRES, where

__all__ = ["migrate"]

_LOCK_KEY: Final = 0x627572736172
"""`bursar`: the advisory lock under which PostgreSQL lets one process migrate."""


def migrate(engine: Engine) -> None:
    """Migrate to the newest schema; raise `ConfigError` where the database cannot be used."""
    try:
        _in_one_transaction(engine, _upgrade)
    except sqlalchemy.exc.DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise ConfigError(f"the database {where(engine)} cannot be used: {reason}") from None
    except CommandError as error:
        raise ConfigError(
            f"the database {where(engine)} was made by a newer version; install that one again ({error})"
        ) from None


def _in_one_transaction(engine: Engine, upgrade: Callable[[Connection], None]) -> None:
    # On SQLite this begins with the write lock, so a second process waits and then finds nothing to do.
    with engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == POSTGRES:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        upgrade(connection)


def _upgrade(connection: Connection) -> None:
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    ScriptDirectory.from_config(config)
    command.upgrade(config, "head")
