"""The tables (`bursar_…` in the database). Every one that a change touches leads with `order_key`; only `names` and `parked` are keyed from outside.

What is written once (an order, what was agreed for a payment) is kept apart from what changes with every delivery (the
facts, and one small row in `due`), so that a change rewrites little. Amounts are text, times Unix seconds. The
reasons are in `docs/decisions/storage.md`; a change here needs a migration, and a test compares the two.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

__all__ = [
    "FILLFACTOR",
    "Int",
    "acts",
    "deliveries",
    "due",
    "facts",
    "metadata",
    "names",
    "orders",
    "parked",
    "payments",
    "refunds",
    "transitions",
]

metadata = MetaData()

Int = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both: SQLite's strict tables know no BIGINT, and their INTEGER is as wide."""

FILLFACTOR: Final = 80
"""Leave room in PostgreSQL's pages, so that an update finds it next to the row it replaces."""


def _table(name: str, *parts: Any, rowid: bool = False, changes: bool = False) -> Table:
    with_ = {"fillfactor": FILLFACTOR} if changes else None
    # The prefix lets a database be shared with a shop that has tables of these names itself.
    return Table(
        f"bursar_{name}",
        metadata,
        *parts,
        sqlite_strict=True,
        sqlite_with_rowid=rowid,
        postgresql_with=with_ or {},
    )


def _text(name: str) -> Column[str]:
    return Column(name, Text(), nullable=False)


def _int(name: str) -> Column[int]:
    return Column(name, Int, nullable=False)


orders = _table(
    "orders",
    _text("order_key"),
    _text("shop"),
    _text("reference"),
    _text("amount"),
    _int("created_at"),
    _text("document"),
    PrimaryKeyConstraint("order_key"),
)

payments = _table(
    "payments",
    _text("order_key"),
    _int("number"),
    _text("document"),
    PrimaryKeyConstraint("order_key", "number"),
)
"""What was agreed and asked for; what is known of the payment is in `facts`, which changes far more often."""

facts = _table(
    "facts",
    _text("order_key"),
    _int("payment"),
    _text("document"),
    PrimaryKeyConstraint("order_key", "payment"),
    changes=True,
)

refunds = _table(
    "refunds",
    _text("order_key"),
    _int("number"),
    _text("document"),
    PrimaryKeyConstraint("order_key", "number"),
    changes=True,
)

acts = _table(
    "acts",
    _text("order_key"),
    _int("number"),
    _text("document"),
    PrimaryKeyConstraint("order_key", "number"),
)

transitions = _table(
    "transitions",
    _text("order_key"),
    _int("number"),
    _int("at"),
    Column("before", Text()),
    _text("after"),
    _text("cause"),
    _text("state"),
    PrimaryKeyConstraint("order_key", "number"),
    # Rows are only ever added, so this index grows at its end and costs no update; it serves the list of orders.
    Index("bursar_transitions_by_time", "at"),
)

deliveries = _table(
    "deliveries",
    _text("order_key"),
    Column("digest", LargeBinary(), nullable=False),
    _text("account"),
    _text("event"),
    _text("event_id"),
    _int("received_at"),
    _text("headers"),
    Column("body", LargeBinary(), nullable=False),
    PrimaryKeyConstraint("order_key", "digest"),
    # Long rows: in arrival order in a table with rowids, and only the short key in a tree of its own.
    rowid=True,
)
"""Bytes as they came. *order_key* is empty for a delivery that concerns no order."""

due = _table(
    "due",
    _text("order_key"),
    # A random number, new with every change: equal versions are equal orders, whoever wrote them.
    _int("version"),
    _text("status"),
    _int("needs_review"),
    # The last transition, and when it was.
    _int("target"),
    _int("changed_at"),
    # The last transition that the shop was told of.
    _int("cursor"),
    Column("wake_at", Int),
    _int("hold_until"),
    _int("shop_hold_until"),
    _int("attempts"),
    _int("shop_attempts"),
    _text("problem"),
    _text("shop_problem"),
    _text("lease_token"),
    _int("leased_at"),
    _int("lease_until"),
    # When the order is next due for anything: the only column with an index that changes often.
    Column("due_at", Int),
    PrimaryKeyConstraint("order_key"),
    changes=True,
)

Index(
    "bursar_due_by_time",
    due.c.due_at,
    sqlite_where=due.c.due_at.is_not(None),
    postgresql_where=due.c.due_at.is_not(None),
)
Index(
    "bursar_due_in_review",
    due.c.order_key,
    sqlite_where=due.c.needs_review == 1,
    postgresql_where=due.c.needs_review == 1,
)

names = _table(
    "names",
    _text("scope"),
    _text("kind"),
    _text("id"),
    _text("order_key"),
    PrimaryKeyConstraint("scope", "kind", "id"),
)
"""Which order a name from outside means. Written once; a name never changes hands."""

parked = _table(
    "parked",
    _text("scope"),
    _text("kind"),
    _text("id"),
    Column("digest", LargeBinary(), nullable=False),
    _text("event"),
    _text("event_id"),
    _int("received_at"),
    _text("headers"),
    Column("body", LargeBinary(), nullable=False),
    _text("seen"),
    PrimaryKeyConstraint("scope", "kind", "id", "digest"),
    rowid=True,
)
"""Deliveries that wait for their payment or refund to become known, with what they say of it."""
