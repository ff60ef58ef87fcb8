"""Read what is kept, for people and for the service: each answer from one consistent snapshot."""

from sqlalchemy import bindparam, select

from bursar.lifecycle import OrderStatus
from bursar.store import schema
from bursar.store.codec import read_headers, read_state
from bursar.store.database import Database
from bursar.store.loading import Loader
from bursar.work import Kept, KeptDelivery, Name, ParkedDelivery, Summary, Transition

__all__ = ["Reading"]


class Reading:
    """Answer questions; change nothing."""

    def __init__(self, database: Database, loader: Loader) -> None:
        self._database, self._loader = database, loader

    def get(self, order_key: str) -> Kept | None:
        found = self._database.read(
            lambda connection: self._loader.load(connection, [order_key], lock=False).get(order_key)
        )
        return found.kept if found else None

    def find(self, name: Name) -> str | None:
        return self._database.read(lambda connection: self._loader.find(connection, [name]).get(name))

    def history(self, order_key: str) -> list[Transition]:
        """Return the transitions of an order, the first first; none where there is no such order."""
        t = schema.transitions.c
        wanted = select(schema.transitions).where(t.order_key == order_key).order_by(t.number)
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return [
            Transition(
                row.number,
                row.at,
                OrderStatus(row.before) if row.before is not None else None,
                OrderStatus(row.after),
                read_state(row.state),
                row.cause,
            )
            for row in rows
        ]

    def deliveries(self, order_key: str) -> list[KeptDelivery]:
        """Return the deliveries that concern an order, the first first; for the empty key, those that concern none."""
        d = schema.deliveries.c
        wanted = (
            select(schema.deliveries)
            .where(d.order_key == order_key)
            .order_by(d.received_at, d.event_id, d.digest)
        )
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return [
            KeptDelivery(
                row.account, row.event, row.event_id, row.received_at, row.body, read_headers(row.headers)
            )
            for row in rows
        ]

    def orders(
        self, *, needs_review: bool | None = None, status: OrderStatus | None = None, limit: int = 50
    ) -> list[Summary]:
        """Return the orders asked for, the last changed first."""
        o, d, t = schema.orders.c, schema.due.c, schema.transitions.c
        columns = (
            o.order_key,
            o.shop,
            o.reference,
            o.amount,
            d.status,
            d.needs_review,
            o.created_at,
            d.changed_at,
        )
        wanted = select(*columns).join(schema.due, d.order_key == o.order_key)
        if needs_review:
            # Few, and an index knows them.
            wanted = wanted.where(d.needs_review == 1).order_by(d.changed_at.desc(), o.order_key.desc())
        else:
            # Along the times of transitions, of which the last of each order counts.
            last = (t.order_key == d.order_key) & (t.number == d.target)
            wanted = wanted.join(schema.transitions, last).order_by(t.at.desc(), t.order_key.desc())
        if needs_review is False:
            wanted = wanted.where(d.needs_review == 0)
        if status is not None:
            wanted = wanted.where(d.status == status.value)
        rows = self._database.read(
            lambda connection: connection.execute(wanted.limit(bindparam("limit")), {"limit": limit}).all()
        )
        return [
            Summary(
                row.order_key,
                row.shop,
                row.reference,
                row.amount,
                OrderStatus(row.status),
                bool(row.needs_review),
                row.created_at,
                row.changed_at,
            )
            for row in rows
        ]

    def parked(self, *, limit: int = 50) -> list[ParkedDelivery]:
        """Return deliveries that wait for their payment or refund, the longest waiting first."""
        p = schema.parked.c
        wanted = (
            select(p.scope, p.id, p.event, p.received_at)
            .order_by(p.received_at, p.scope, p.kind, p.id, p.digest)
            .limit(limit)
        )
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return [ParkedDelivery(*row) for row in rows]
