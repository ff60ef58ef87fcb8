"""The port for platforms: what an adapter plugin is.

An adapter is level-triggered: it is given the order as it stands and makes the platform agree: read, compare, write only
the difference, read back when the outcome is unknown. Core calls it with one writer per (order, shop), again until it
succeeds, and with the latest state only: a hundred events are one call. Like a provider it does no I/O of its own.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import attrs

from bursar.flows import Flow
from bursar.lifecycle import OrderState
from bursar.orders import Order
from bursar.providers import Finding
from bursar.refunds import Refund

__all__ = ["Adapter", "Converged", "Standpoint"]


@attrs.frozen
class Standpoint:
    """Hold an order as it stands: *number* is that of its last transition, *at* when that was (Unix seconds)."""

    order: Order
    state: OrderState
    number: int
    at: int
    refunds: tuple[Refund, ...] = ()
    payment_ids: tuple[str, ...] = ()


@attrs.frozen
class Converged:
    """Report that the platform agrees: what was written (nothing where it already agreed), and a *note* for people."""

    wrote: tuple[str, ...] = ()
    note: str = ""
    needs_review: str = ""


@runtime_checkable
class Adapter(Protocol):
    """Keep one shop's orders in step. It is made with an instance of its own `Settings`, as a provider is."""

    name: ClassVar[str]
    title: ClassVar[str]
    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any) -> None: ...

    def converge(self, standpoint: Standpoint, *, now: int) -> Flow[Converged]:
        """Make the platform's order agree with *standpoint*. Raise `Unavailable` or `OutcomeUnknown` to be called again."""
        ...

    def check(self, *, now: int) -> Flow[Sequence[Finding]]:
        """Check credentials and mapping for the doctor."""
        ...
