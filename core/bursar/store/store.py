"""The store: all that `bursar.work.Dossiers` promises, on SQLite or PostgreSQL."""

from collections.abc import Callable, Sequence

from bursar.lifecycle import OrderStatus
from bursar.orders import Dossier
from bursar.store.database import Database
from bursar.store.due import DueWork
from bursar.store.engine import make_engine
from bursar.store.keeping import Keeper
from bursar.store.loading import Loader
from bursar.store.migrating import migrate
from bursar.store.reading import Reading
from bursar.store.step import Step
from bursar.store.timing import Timing
from bursar.work import (
    Applied,
    Claimed,
    Kept,
    KeptDelivery,
    Name,
    ParkedDelivery,
    Summary,
    Transition,
    Visit,
    Work,
)

__all__ = ["Store", "open_store"]


def open_store(url: str, *, wake: Callable[[Dossier], int | None], tell: Callable[[str], bool]) -> "Store":
    """Open the database at *url* and bring its schema up to date.

    *wake* says when an order next has something to do (Unix seconds, None for never); *tell* whether a shop wants to
    hear of changes. Raises `ConfigError` for a URL that cannot serve and for a server that cannot be reached.
    """
    engine = make_engine(url)
    try:
        migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(Database(engine), Timing(wake, tell))


class Store:
    """Keep orders durably. Safe from any thread, and from any number of processes on one database."""

    def __init__(self, database: Database, timing: Timing) -> None:
        self.database = database
        loader = Loader(database.compiler)
        self._step = Step(database, loader, Keeper(database.compiler, timing))
        self._reading = Reading(database, loader)
        self._due = DueWork(database, loader, timing)

    def step(self, work: Sequence[Work]) -> list[Applied | Exception]:
        """Do all *work* in one transaction and answer one by one; a member that fails does not spoil the others.

        Raises `Busy` where nothing was taken and trying again is safe.
        """
        return self._step(list(work))

    def get(self, order_key: str) -> Kept | None:
        """Return the order as it is kept, None where there is none."""
        return self._reading.get(order_key)

    def find(self, name: Name) -> str | None:
        """Return the key of the order that has *name*, None where none has."""
        return self._reading.find(name)

    def history(self, order_key: str) -> list[Transition]:
        """Return the transitions of an order, the first first."""
        return self._reading.history(order_key)

    def deliveries(self, order_key: str) -> list[KeptDelivery]:
        """Return the deliveries that concern an order, the first first; for the empty key, those that concern none."""
        return self._reading.deliveries(order_key)

    def orders(
        self, *, needs_review: bool | None = None, status: OrderStatus | None = None, limit: int = 50
    ) -> list[Summary]:
        """Return the orders asked for, the last changed first."""
        return self._reading.orders(needs_review=needs_review, status=status, limit=limit)

    def parked(self, *, limit: int = 50) -> list[ParkedDelivery]:
        """Return deliveries that wait for their payment or refund, the longest waiting first."""
        return self._reading.parked(limit=limit)

    def claim(self, *, now: int, limit: int, lease: int, owner: str) -> list[Claimed]:
        """Take up to *limit* due orders for *lease* seconds; no two couriers ever hold one order at a time."""
        return self._due.claim(now=now, limit=limit, lease=lease, owner=owner)

    def finish(self, visits: Sequence[Visit]) -> None:
        """Give claimed orders back; a visit whose lease has passed to another changes nothing."""
        self._due.finish(visits)

    def next_due(self) -> int | None:
        """Return when the next order is due, None where none is."""
        return self._due.next_due()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()
