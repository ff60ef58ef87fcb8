"""Make the tables. Frozen: what comes later is a migration of its own.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, Int, nullable=nullable)


def blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def make(name: str, *parts: Any, key: tuple[str, ...], rowid: bool = False, changes: bool = False) -> None:
    op.create_table(
        name,
        *parts,
        sa.PrimaryKeyConstraint(*key),
        sqlite_strict=True,
        sqlite_with_rowid=rowid,
        postgresql_with={"fillfactor": 80} if changes else {},
    )


def upgrade() -> None:
    make(
        "bursar_orders",
        text("order_key"),
        text("shop"),
        text("reference"),
        text("amount"),
        number("created_at"),
        text("document"),
        key=("order_key",),
    )
    by_number = text("order_key"), number("number"), text("document")
    make("bursar_payments", *by_number, key=("order_key", "number"))
    make(
        "bursar_facts",
        text("order_key"),
        number("payment"),
        text("document"),
        key=("order_key", "payment"),
        changes=True,
    )
    by_number = text("order_key"), number("number"), text("document")
    make("bursar_refunds", *by_number, key=("order_key", "number"), changes=True)
    by_number = text("order_key"), number("number"), text("document")
    make("bursar_acts", *by_number, key=("order_key", "number"))
    make(
        "bursar_transitions",
        text("order_key"),
        number("number"),
        number("at"),
        text("before", nullable=True),
        text("after"),
        text("cause"),
        text("state"),
        key=("order_key", "number"),
    )
    op.create_index("bursar_transitions_by_time", "bursar_transitions", ["at"])
    make(
        "bursar_deliveries",
        text("order_key"),
        blob("digest"),
        text("account"),
        text("event"),
        text("event_id"),
        number("received_at"),
        text("headers"),
        blob("body"),
        key=("order_key", "digest"),
        rowid=True,
    )
    make(
        "bursar_due",
        text("order_key"),
        number("version"),
        text("status"),
        number("needs_review"),
        number("target"),
        number("changed_at"),
        number("cursor"),
        number("wake_at", nullable=True),
        number("hold_until"),
        number("shop_hold_until"),
        number("attempts"),
        number("shop_attempts"),
        text("problem"),
        text("shop_problem"),
        text("lease_token"),
        number("leased_at"),
        number("lease_until"),
        number("due_at", nullable=True),
        key=("order_key",),
        changes=True,
    )
    is_due, in_review = sa.text("due_at IS NOT NULL"), sa.text("needs_review = 1")
    op.create_index(
        "bursar_due_by_time", "bursar_due", ["due_at"], sqlite_where=is_due, postgresql_where=is_due
    )
    op.create_index(
        "bursar_due_in_review",
        "bursar_due",
        ["order_key"],
        sqlite_where=in_review,
        postgresql_where=in_review,
    )
    make(
        "bursar_names",
        text("scope"),
        text("kind"),
        text("id"),
        text("order_key"),
        key=("scope", "kind", "id"),
    )
    make(
        "bursar_parked",
        text("scope"),
        text("kind"),
        text("id"),
        blob("digest"),
        text("event"),
        text("event_id"),
        number("received_at"),
        text("headers"),
        blob("body"),
        text("seen"),
        key=("scope", "kind", "id", "digest"),
        rowid=True,
    )


def downgrade() -> None:
    raise NotImplementedError("money's history is not thrown away by going back; restore a backup instead")
