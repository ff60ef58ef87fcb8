"""Due work: claim it under a lease, give it back, and say when there is more.

There is no queue, only one row per order that every change rewrites; so nothing here can lose a change, and what is
given back late or twice is harmless.
"""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, case, func, select, update

from bursar.store import schema
from bursar.store.database import Database
from bursar.store.loading import Loader
from bursar.store.timing import Timing
from bursar.work import Claimed, Visit

__all__ = ["DueWork"]

_LEASE_COLUMNS: Final = (
    "target",
    "changed_at",
    "cursor",
    "wake_at",
    "hold_until",
    "shop_hold_until",
    "attempts",
    "shop_attempts",
    "problem",
    "shop_problem",
    "lease_token",
    "leased_at",
)


class DueWork:
    """Hand out due orders and take them back."""

    def __init__(self, database: Database, loader: Loader, timing: Timing) -> None:
        self._database, self._loader, self._timing = database, loader, timing
        compiler, due, orders = database.compiler, schema.due, schema.orders
        d = due.c
        waiting = (
            select(d.order_key)
            .where(
                d.due_at <= bindparam("now", type_=schema.Int),
                d.lease_until <= bindparam("now2", type_=schema.Int),
            )
            .order_by(d.due_at)
            .limit(bindparam("limit", type_=schema.Int))
        )
        if database.on_postgres:
            # Materialized: otherwise the limit may be evaluated again for each row.
            picked = (
                waiting.with_for_update(skip_locked=True)
                .cte("picked")
                .prefix_with("MATERIALIZED", dialect="postgresql")
            )
            among = d.order_key.in_(select(picked.c.order_key))
        else:
            among = d.order_key.in_(waiting)
        self._claim = (
            update(due)
            .where(among)
            .values(
                lease_token=bindparam("token"),
                leased_at=bindparam("leased_at"),
                lease_until=bindparam("until"),
            )
            .returning(
                d.order_key,
                d.due_at,
                d.target,
                d.changed_at,
                d.cursor,
                d.wake_at,
                d.hold_until,
                d.shop_hold_until,
                d.attempts,
                d.shop_attempts,
            )
        )
        self._shops = compiler.lookup(orders, ("order_key",), ("order_key", "shop"))
        self._leases = compiler.lookup(due, ("order_key",), ("order_key", *_LEASE_COLUMNS), lock=True)
        self._give_back = compiler.update(
            due,
            "cursor",
            "wake_at",
            "hold_until",
            "shop_hold_until",
            "attempts",
            "shop_attempts",
            "problem",
            "shop_problem",
            "lease_token",
            "lease_until",
            "due_at",
        )
        # Orders under a lease are due when it ends; all that are due before the first free one are looked at.
        free = (
            select(d.due_at)
            .where(d.due_at.is_not(None), d.lease_until <= d.due_at)
            .order_by(d.due_at)
            .limit(1)
        ).scalar_subquery()
        until = case((d.lease_until > d.due_at, d.lease_until), else_=d.due_at)
        self._next = select(func.min(until)).where(
            d.due_at.is_not(None), d.due_at <= func.coalesce(free, 2**62)
        )

    def claim(self, *, now: int, limit: int, lease: int, owner: str) -> list[Claimed]:
        """Take up to *limit* orders that are due and free, those first that have waited longest."""
        token, until = f"{owner}/{secrets.token_hex(8)}", now + lease
        values = {"now": now, "now2": now, "limit": limit, "token": token, "leased_at": now, "until": until}

        def take(connection: Connection) -> tuple[list[Any], dict[str, str]]:
            rows = list(connection.execute(self._claim, values))
            return rows, dict(self._shops(connection, [(row.order_key,) for row in rows]))

        rows, shops = self._database.write(take)
        return [
            self._claimed(row, shops[row.order_key], token, until, now)
            for row in sorted(rows, key=lambda row: (row.due_at, row.order_key))
        ]

    def finish(self, visits: Sequence[Visit]) -> None:
        """Give orders back. What changed meanwhile stays due; a visit whose lease has passed on changes nothing."""
        by_key = {visit.order_key: visit for visit in visits}
        if by_key:
            self._database.write(lambda connection: self._finish(connection, by_key))

    def next_due(self) -> int | None:
        """Return when the next order is due (one under a lease: not before it ends), None where none is."""
        return self._database.read(lambda connection: connection.execute(self._next).scalar())

    def _claimed(self, row: Any, shop: str, token: str, until: int, now: int) -> Claimed:
        errands_at = self._timing.errands_at(wake_at=row.wake_at, hold_until=row.hold_until)
        telling_at = self._timing.telling_at(
            shop,
            target=row.target,
            changed_at=row.changed_at,
            cursor=row.cursor,
            shop_hold_until=row.shop_hold_until,
        )
        return Claimed(
            row.order_key,
            token,
            until,
            errands_due=errands_at is not None and errands_at <= now,
            shop_due=telling_at is not None and telling_at <= now,
            attempts=row.attempts,
            shop_attempts=row.shop_attempts,
        )

    def _finish(self, connection: Connection, visits: dict[str, Visit]) -> None:
        rows = self._leases(connection, [(key,) for key in sorted(visits)])
        own = [row for row in rows if row.lease_token == visits[row.order_key].token]
        orders = self._loader.load(connection, [row.order_key for row in own], lock=False)
        given = [self._given_back(row, visits[row.order_key], orders[row.order_key].dossier) for row in own]
        if given:
            connection.exec_driver_sql(self._give_back, given)

    def _given_back(self, row: Any, visit: Visit, dossier: Any) -> tuple[Any, ...]:
        hold, attempts, problem = row.hold_until, row.attempts, row.problem
        if visit.hold_until:
            hold, attempts, problem = visit.hold_until, attempts + 1, visit.problem
        elif hold <= row.leased_at:
            # It was not held back when it was claimed, so this visit has tried, and nothing failed.
            hold, attempts, problem = 0, 0, visit.problem
        shop_hold, shop_attempts, shop_problem = row.shop_hold_until, row.shop_attempts, row.shop_problem
        if visit.shop_hold_until:
            shop_hold, shop_attempts, shop_problem = (
                visit.shop_hold_until,
                shop_attempts + 1,
                visit.shop_problem,
            )
        elif visit.delivered is not None:
            shop_hold, shop_attempts, shop_problem = 0, 0, visit.shop_problem
        cursor = max(row.cursor, min(visit.delivered or 0, row.target))
        wake_at = self._timing.wake(dossier)
        due_at = self._timing.due_at(
            dossier.order.shop,
            wake_at=wake_at,
            target=row.target,
            changed_at=row.changed_at,
            cursor=cursor,
            hold_until=hold,
            shop_hold_until=shop_hold,
        )
        return (
            cursor,
            wake_at,
            hold,
            shop_hold,
            attempts,
            shop_attempts,
            problem,
            shop_problem,
            "",
            0,
            due_at,
            row.order_key,
        )
