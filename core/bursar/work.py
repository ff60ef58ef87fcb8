"""The port to the store: what can be asked of the durable step, and what it answers.

There is one way to change anything: hand the step some work. It loads the orders concerned, applies pure functions to
their dossiers, and keeps bytes, facts, transitions and what is due in one transaction; only then does it answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import attrs

from bursar.lifecycle import OrderState, OrderStatus
from bursar.orders import Dossier, Seen

__all__ = [
    "Applied",
    "Arrival",
    "Claimed",
    "Dossiers",
    "Kept",
    "KeptDelivery",
    "Name",
    "NewOrder",
    "OnOrder",
    "ParkedDelivery",
    "Summary",
    "Transition",
    "Visit",
    "Work",
]


@attrs.frozen(order=True)
class Name:
    """Name an order from outside: *kind* is `reference`, `idempotency`, `payment` or `refund`; *scope* a shop or account."""

    kind: str
    scope: str
    id: str


@attrs.frozen
class NewOrder:
    """Keep a new order under *names*; where one of them is taken already, the order that has it is answered instead."""

    dossier: Dossier
    names: tuple[Name, ...]
    at: int
    cause: str = "order opened"


@attrs.frozen
class OnOrder:
    """Change one order by a pure function of its latest dossier; what that raises is raised to the caller, and nothing kept."""

    order_key: str
    change: Callable[[Dossier], Dossier]
    at: int
    cause: str


@attrs.frozen
class Arrival:
    """Keep a verified delivery and what it says. What it says of a payment or refund that is unknown is parked."""

    account: str
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    at: int
    event: str = ""
    event_id: str = ""
    seen: tuple[Seen, ...] = ()


Work: TypeAlias = NewOrder | OnOrder | Arrival


@attrs.frozen
class Applied:
    """Report what became of one piece of work, after it is durable.

    *kept* is the order as it stands now (None for a delivery that concerns none); *fresh* is false for an order that
    was there already and for a delivery whose bytes were; *parked* is true where something it says has to wait for
    its payment.
    """

    kept: "Kept | None"
    fresh: bool = True
    parked: bool = False


@attrs.frozen
class Transition:
    """Record that an order changed: *number* counts from 1 within the order and is never given twice."""

    number: int
    at: int
    before: OrderStatus | None
    after: OrderStatus
    state: OrderState
    cause: str


@attrs.frozen
class Kept:
    """Hold an order as it is kept.

    *number* is that of its last transition, at *changed_at*; *delivered* of the last one that its shop was told of;
    *problem* why the shop could not be told.
    """

    dossier: Dossier
    state: OrderState
    number: int
    changed_at: int
    delivered: int = 0
    problem: str = ""


@attrs.frozen
class Summary:
    """Hold one line of a list of orders."""

    order_key: str
    shop: str
    reference: str
    amount: str
    status: OrderStatus
    needs_review: bool
    created_at: int
    changed_at: int


@attrs.frozen
class KeptDelivery:
    """Hold a delivery as it came in, byte for byte."""

    account: str
    event: str
    event_id: str
    received_at: int
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)


@attrs.frozen
class ParkedDelivery:
    """Hold a delivery that waits for its payment or refund *subject* to become known."""

    account: str
    subject: str
    event: str
    received_at: int


@attrs.frozen
class Claimed:
    """Hold an order that one courier may visit until *lease_until*; *token* proves that the lease is still its own.

    *errands_due* and *shop_due* say what it is due for; *attempts* and *shop_attempts* how often each failed in a row.
    """

    order_key: str
    token: str
    lease_until: int
    errands_due: bool
    shop_due: bool
    attempts: int
    shop_attempts: int


@attrs.frozen
class Visit:
    """Report what a visit came to.

    *delivered* is the number of the transition that the shop now knows (None: it was not told). *hold_until* and
    *shop_hold_until* postpone the next errand or telling after a failure (0: none failed); *problem* and *shop_problem*
    say why. What has changed since is never overwritten: a newer transition stays due.
    """

    order_key: str
    token: str
    at: int
    delivered: int | None = None
    hold_until: int = 0
    shop_hold_until: int = 0
    problem: str = ""
    shop_problem: str = ""


class Dossiers(Protocol):
    """Keep orders durably. All calls are synchronous, safe from any thread, and take time as an argument."""

    def step(self, work: Sequence[Work]) -> list[Applied | Exception]:
        """Do all *work* in one transaction and answer one by one; a member that fails does not spoil the others."""
        ...

    def get(self, order_key: str) -> Kept | None: ...

    def find(self, name: Name) -> str | None:
        """Return the key of the order that has *name*."""
        ...

    def history(self, order_key: str) -> list[Transition]: ...

    def deliveries(self, order_key: str) -> list[KeptDelivery]: ...

    def orders(
        self, *, needs_review: bool | None = None, status: OrderStatus | None = None, limit: int = 50
    ) -> list[Summary]:
        """Return the orders asked for, the last changed first."""
        ...

    def parked(self, *, limit: int = 50) -> list[ParkedDelivery]: ...

    def claim(self, *, now: int, limit: int, lease: int, owner: str) -> list[Claimed]:
        """Take up to *limit* due orders, for *lease* seconds; no two couriers ever hold one order at a time."""
        ...

    def finish(self, visits: Sequence[Visit]) -> None:
        """Give claimed orders back; a visit whose lease has passed to another changes nothing."""
        ...

    def next_due(self) -> int | None:
        """Return when the next order is due, None where none is."""
        ...

    def close(self) -> None: ...
