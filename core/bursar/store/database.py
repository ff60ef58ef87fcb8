"""Run transactions on either database, and say truthfully what a failed one means: nothing was taken, or unknown."""

from collections.abc import Callable
from contextlib import nullcontext
from threading import Lock
from typing import Any, Final, TypeVar

import sqlalchemy.exc
from sqlalchemy import Connection, Engine

from bursar.errors import Busy, OutcomeUnknown
from bursar.store.engine import POSTGRES
from bursar.store.statements import Compiler

__all__ = ["Again", "Database"]

T = TypeVar("T")

_TRIES: Final = 6
_CONTENDED: Final = frozenset({"40001", "40P01", "23505", "55P03"})
"""Serialization failure, deadlock, unique violation, lock not available: another transaction came first."""


class Again(Exception):
    """Ask for the transaction to be rolled back and run once more, from what others have committed meanwhile."""


class _Lost(Exception):
    """The connection went away before the commit was sent."""


class Database:
    """Hold one database; all methods are safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.on_postgres = engine.dialect.name == POSTGRES
        self.compiler = Compiler(engine.dialect)
        self._writing = engine.execution_options(writes=True)
        self._reading = (
            engine.execution_options(isolation_level="REPEATABLE READ") if self.on_postgres else engine
        )
        # SQLite has one writer; waiting here is fair and wakes at once, its own way is to sleep and look again.
        self._turn = nullcontext() if self.on_postgres else Lock()

    def write(self, action: Callable[[Connection], T]) -> T:
        """Run *action* in one durable transaction and return its result.

        It is run again where another transaction came first, so it must have no effect but through its connection.
        Raises `Busy` where nothing was taken, `OutcomeUnknown` where the connection was lost while committing and
        the server cannot be asked, and whatever else went wrong, with nothing kept.
        """
        for _ in range(_TRIES):
            try:
                with self._turn:
                    return self._write_once(action)
            except (Again, _Lost):
                continue
            except sqlalchemy.exc.TimeoutError:
                raise Busy("all connections to the database are in use") from None
            except sqlalchemy.exc.DBAPIError as error:
                if self._is_lost(error) or _sqlstate(error) in _CONTENDED:
                    continue
                if _is_locked(error):
                    raise Busy("the database is locked by another process") from error
                raise
        raise Busy("the database cannot be reached, or others keep coming first")

    def read(self, action: Callable[[Connection], T]) -> T:
        """Run *action* on one consistent snapshot and return its result. Raises `Busy` where that is impossible now."""
        for _ in range(2):
            try:
                with self._reading.connect() as connection:
                    return action(connection)
            except sqlalchemy.exc.TimeoutError:
                raise Busy("all connections to the database are in use") from None
            except sqlalchemy.exc.DBAPIError as error:
                if _is_locked(error):
                    raise Busy("the database is locked by another process") from error
                if not self._is_lost(error):
                    raise
        raise Busy("the database cannot be reached")

    def close(self) -> None:
        self.engine.dispose()

    def _write_once(self, action: Callable[[Connection], T]) -> T:
        with self._writing.connect() as connection:
            transaction = connection.begin()
            try:
                result = action(connection)
                number = self._number(connection)
            except BaseException:
                if transaction.is_active:
                    transaction.rollback()
                raise
            try:
                transaction.commit()
            except sqlalchemy.exc.DBAPIError as error:
                if not self._is_lost(error):
                    raise
            else:
                return result
        if self._was_committed(number):
            return result
        raise _Lost

    def _number(self, connection: Connection) -> str | None:
        if not self.on_postgres:
            return None
        found: str | None = connection.exec_driver_sql(
            "SELECT pg_current_xact_id_if_assigned()::text"
        ).scalar()
        return found

    def _was_committed(self, number: str | None) -> bool:
        """Ask the server what became of a transaction whose commit was sent and never answered."""
        if number is None:
            # It had changed nothing, so there was nothing to lose.
            return True
        try:
            with self._reading.connect() as connection:
                for _ in range(_TRIES):
                    match connection.exec_driver_sql("SELECT pg_xact_status(%s::xid8)", (number,)).scalar():
                        case "committed":
                            return True
                        case "aborted":
                            return False
                        case _:
                            connection.exec_driver_sql("SELECT pg_sleep(0.5)")
        except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError):
            pass
        raise OutcomeUnknown("the database was lost while it committed, and cannot be asked whether it did")

    def _is_lost(self, error: sqlalchemy.exc.DBAPIError) -> bool:
        if not self.on_postgres:
            return False
        # A connection that could not be made has no SQLSTATE, nor has one that broke.
        operational = isinstance(error, sqlalchemy.exc.OperationalError)
        return error.connection_invalidated or (operational and _sqlstate(error) is None)


def _sqlstate(error: sqlalchemy.exc.DBAPIError) -> str | None:
    origin: Any = error.orig
    return getattr(origin, "sqlstate", None)


def _is_locked(error: sqlalchemy.exc.DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
