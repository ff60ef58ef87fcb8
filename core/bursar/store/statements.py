"""Statements of SQLAlchemy Core, compiled once for a database and run with bare rows.

Compiling and matching names to values costs several times what the database takes for a small row; on the path of the
durable step both happen once, at start-up. Rows are tuples in the order in which a statement names its columns.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    and_,
    bindparam,
    column,
    insert,
    select,
    update,
    values,
)
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["Compiler", "Lookup", "Row"]

Row: TypeAlias = Sequence[Any]

_LOOKUP_LIMIT: Final = 512
"""Rows asked for at a time: six columns of them stay far below the 32766 parameters that SQLite takes."""


class Compiler:
    """Compile statements for one database; both write their parameters by position."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.on_postgres = dialect.name == "postgresql"

    def text(self, statement: ClauseElement) -> str:
        return str(statement.compile(dialect=self.dialect))

    def insert(self, table: Table) -> str:
        """Insert rows of all columns of *table*."""
        return self.text(insert(table))

    def insert_new(self, table: Table) -> str:
        """Insert rows of all columns, passing over those whose key is there."""
        if self.on_postgres:
            return self.text(postgresql.insert(table).on_conflict_do_nothing())
        return self.text(sqlite.insert(table).on_conflict_do_nothing())

    def put(self, table: Table, *changed: str) -> str:
        """Insert rows of all columns, or replace the *changed* ones of those whose key is there."""
        key = [c.name for c in table.primary_key.columns]
        made = postgresql.insert(table) if self.on_postgres else sqlite.insert(table)
        new = {name: made.excluded[name] for name in changed}
        return self.text(made.on_conflict_do_update(index_elements=key, set_=new))

    def update(self, table: Table, *changed: str) -> str:
        """Set the *changed* columns, then name the row by its key."""
        pairs = [(table.c[name], bindparam(f"new_{name}", type_=table.c[name].type)) for name in changed]
        return self.text(update(table).where(_is_key(table)).ordered_values(*pairs))

    def delete(self, table: Table) -> str:
        """Delete the row of a key."""
        return self.text(table.delete().where(_is_key(table)))

    def lookup(self, table: Table, by: Sequence[str], want: Sequence[str], *, lock: bool = False) -> "Lookup":
        """Find the columns *want* of *table* by many values of the columns *by*; *lock* takes the rows for this transaction."""
        return Lookup(self, table, by, want, lock=lock)


class Lookup:
    """Find rows by many keys in one statement, whatever their number: its text has as many places as the next power of two."""

    def __init__(
        self, compiler: Compiler, table: Table, by: Sequence[str], want: Sequence[str], *, lock: bool
    ) -> None:
        self._by, self._table, self._want, self._lock = by, table, want, lock
        self._compiler = compiler
        self._texts: dict[int, str] = {}

    def __call__(self, connection: Connection, keys: Sequence[Row]) -> list[Any]:
        """Return the rows of *keys*, which are distinct; in order of key where they are locked."""
        found: list[Any] = []
        for start in range(0, len(keys), _LOOKUP_LIMIT):
            part = keys[start : start + _LOOKUP_LIMIT]
            places = 1 << (len(part) - 1).bit_length()
            text = self._texts.get(places) or self._compile(places)
            flat = [value for key in part for value in key]
            # Nothing is equal to NULL, so the places left over find nothing.
            flat += [None] * ((places - len(part)) * len(self._by))
            found += connection.exec_driver_sql(text, tuple(flat)).fetchall()
        return found

    def _compile(self, places: int) -> str:
        columns = [self._table.c[name] for name in self._by]
        want = select(*(self._table.c[name] for name in self._want))
        if len(columns) == 1:
            among: ColumnElement[bool] = columns[0].in_(
                [bindparam(f"k{place}", type_=columns[0].type) for place in range(places)]
            )
            wanted = want.where(among)
        else:
            # A comparison of whole rows would make SQLite read the table from end to end.
            asked = (
                values(*(column(f"w{i}", c.type) for i, c in enumerate(columns)), name="wanted")
                .data(
                    [
                        tuple(bindparam(f"k{place}_{i}", type_=c.type) for i, c in enumerate(columns))
                        for place in range(places)
                    ]
                )
                .cte("wanted")
            )
            on = and_(*(c == asked.c[f"w{i}"] for i, c in enumerate(columns)))
            wanted = want.select_from(asked.join(self._table, on))
        if self._lock:
            wanted = wanted.order_by(*columns).with_for_update(of=self._table)
        return self._texts.setdefault(places, self._compiler.text(wanted))


def _is_key(table: Table) -> ColumnElement[bool]:
    return and_(*(c == bindparam(f"key_{c.name}", type_=c.type) for c in table.primary_key.columns))
