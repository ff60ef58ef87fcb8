"""The port for sandboxes: faithful fakes of payment services, played by hand, by the demo and by tests.

A sandbox is an ASGI application that answers the service's API, and a set of signed deliveries that are due. It reads no
clock and opens no connection of its own: time is passed in, and whoever runs it carries the deliveries.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Protocol, TypeAlias

import attrs

__all__ = ["ASGIApp", "Outgoing", "Sandbox"]

ASGIApp: TypeAlias = Callable[..., Any]


@attrs.frozen
class Outgoing:
    """Hold one delivery attempt: POST *body* with *headers* to *url*. *id* is the attempt's own."""

    id: str
    url: str
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    event: str = ""
    payment_id: str = ""


class Sandbox(Protocol):
    """Fake one payment service.

    *clock* returns Unix seconds; *url* is where `app` is served, without a trailing slash. Ids come from *seed*, so that
    a story can be played again. The buyer's and the chain's verbs take the service's own payment id.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, *, clock: Callable[[], float], url: str, seed: int = 0) -> None: ...

    @property
    def app(self) -> ASGIApp:
        """The service's API, and under `/panel` a page where a person plays buyer, chain and merchant."""
        ...

    def account(self, *, webhook_url: str) -> dict[str, str]:
        """Register *webhook_url* and return the settings of an account that talks to this sandbox, secrets in clear."""
        ...

    def due(self) -> Sequence[Outgoing]:
        """Return the deliveries to attempt now, in the service's order; each must be told to `answered` before the next call."""
        ...

    def answered(self, outgoing: Outgoing, status: int | None) -> None:
        """Tell how an attempt was answered: the HTTP status, or None for no answer."""
        ...

    def wakes_at(self) -> float | None:
        """Return when something is next due: a retry, an expiry; None for never."""
        ...

    def tick(self) -> None:
        """Do what the service does by itself as time passes (expire, give up waiting for confirmations)."""
        ...

    def payments(self) -> Sequence[str]:
        """Return the ids of all payments, oldest first."""
        ...

    def pay(self, payment_id: str, *, share: Decimal = Decimal(1)) -> str:
        """Send *share* of what was first asked, unconfirmed; return the transfer's id."""
        ...

    def confirm(self, payment_id: str) -> None:
        """Confirm all that was sent, as far as the service asks."""
        ...

    def double_spend(self, payment_id: str) -> None:
        """Take back all that is unconfirmed."""
        ...
