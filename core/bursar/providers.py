"""The port for payment services: what a provider plugin is.

A provider reads and asks; it never writes records, never sees the database, never sleeps and never touches the network:
every operation is a generator that yields `httpx.Request` and is sent `httpx.Response` (`bursar.flows`). It gets time
and ids as arguments. Its readers are pure, and their last case is the cautious one.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Protocol, runtime_checkable

import attrs

from bursar.facts import Observation
from bursar.flows import Flow
from bursar.habits import Capabilities
from bursar.money import Asset, Money
from bursar.orders import Opened, Seen
from bursar.refunds import RefundObservation
from bursar.signatures import Scheme

__all__ = [
    "AcceptsConnection",
    "Cancels",
    "Connection",
    "Delivery",
    "Finding",
    "Level",
    "ListsMethods",
    "OpenRequest",
    "Opened",
    "Provider",
    "Reading",
    "RefundRequest",
    "Refunds",
    "Seen",
]


@attrs.frozen
class Delivery:
    """Hold one verified HTTP request to our webhook URL: raw bytes, header names in lower case, when it came."""

    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    received_at: int


@attrs.frozen
class Reading:
    """Hold what one delivery says.

    *event_id* is the provider's id of it, for people; *event* its name. No *seen* means that it is genuine and means
    nothing to us (a test, an unknown kind, another product): it is kept and answered, and changes nothing.
    """

    event: str
    event_id: str = ""
    seen: tuple[Seen, ...] = ()


@attrs.frozen
class OpenRequest:
    """Ask for a payment to be opened.

    *attempt* is our random id for this attempt and the idempotency key; *reference* the merchant's order id; *window* in
    seconds where the integrator set one; *metadata* only what the integrator chose to give away.
    """

    attempt: str
    reference: str
    amount: Money
    description: str = ""
    method: str = ""
    return_url: str = ""
    window: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class RefundRequest:
    """Ask for money to go back: *amount* in the currency that the payment was billed in; *operation* is our id."""

    operation: str
    payment_id: str
    amount: Money
    paid: Money
    method: str = ""
    reason: str = ""


class Level(Enum):
    """Say how much a finding of the doctor matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen
class Finding:
    """Report one thing that the doctor looked at: *subject*, what was found, and the *cure* where one is needed."""

    level: Level
    subject: str
    message: str
    cure: str = ""


@attrs.frozen
class Connection:
    """Hold what a set-up produced: settings to put into the account; secrets are marked as such by the settings class."""

    settings: Mapping[str, str] = attrs.field(repr=False)
    findings: tuple[Finding, ...] = ()


@runtime_checkable
class Provider(Protocol):
    """Speak one payment service's API for one account.

    A class with these members is a provider; `bursar.testing` checks the whole contract. It is made with an instance of
    its own `Settings`, an attrs class whose fields are the account's keys in the configuration (secrets of type
    `bursar.secrets.Secret`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    scheme: ClassVar[Scheme]
    Settings: ClassVar[type[Any]]
    assets: ClassVar[tuple[Asset, ...]]
    """The assets that it names beyond the currencies of ISO 4217."""

    def __init__(self, settings: Any) -> None: ...

    def secrets(self) -> Sequence[bytes]:
        """Return the keys that a webhook may be signed with: the current one first, old ones while rotating."""
        ...

    def open_payment(self, request: OpenRequest, *, now: int) -> Flow[Opened]:
        """Open a payment. Raise `Declined`, `Unavailable` (nothing happened) or `OutcomeUnknown`."""
        ...

    def find_payment(self, request: OpenRequest, *, now: int) -> Flow[Opened | None]:
        """Find what `open_payment` with the same *request* made, by its attempt id; None where nothing is found.

        With `Recovery.KEY` this sends the same request with the same key again. Otherwise it only reads.
        """
        ...

    def look_up(self, payment_id: str, *, billed: Money, now: int) -> Flow[Observation]:
        """Read how the payment stands at the service, with the service's own clock where it has one."""
        ...

    def read_opened(self, payment_id: str, *, now: int) -> Flow[Opened]:
        """Read a payment that exists at the service as `open_payment` would have reported it."""
        ...

    def read_webhook(self, delivery: Delivery) -> Reading:
        """Read verified bytes. Raise `BadDelivery` where they are not what the service sends."""
        ...

    def check(self, *, now: int) -> Flow[Sequence[Finding]]:
        """Check credentials, permissions and set-up for the doctor; never raise for what it finds."""
        ...


@runtime_checkable
class Refunds(Protocol):
    """Send money back by the service's own API (`Capabilities.refunding` is `API`)."""

    def refund(self, request: RefundRequest, *, now: int) -> Flow[RefundObservation]: ...

    def find_refund(self, request: RefundRequest, *, now: int) -> Flow[RefundObservation | None]:
        """Find what `refund` with the same *request* made, by its operation id."""
        ...

    def look_up_refund(self, refund_id: str, *, now: int) -> Flow[RefundObservation]: ...

    def withdraw_refund(self, refund_id: str, *, now: int) -> Flow[RefundObservation]:
        """Take back a refund that was not paid out yet."""
        ...


@runtime_checkable
class Cancels(Protocol):
    """Cancel a payment at the service (`Capabilities.cancels`); repeating it is harmless."""

    def cancel(self, payment_id: str, *, now: int) -> Flow[None]: ...


@runtime_checkable
class ListsMethods(Protocol):
    """List the payment methods that the account can offer (`Capabilities.methods`)."""

    def list_methods(self, *, now: int) -> Flow[Sequence[str]]: ...


@runtime_checkable
class AcceptsConnection(Protocol):
    """Set an account up from the service's own consent page (`Capabilities.connects`)."""

    def authorize_url(self, *, callback: str, shop: str) -> str:
        """Return the page to send the merchant's browser to; *callback* carries our one-time nonce in its query."""
        ...

    def read_callback(
        self, form: Mapping[str, Sequence[str]], *, webhook_url: str, now: int
    ) -> Flow[Connection]:
        """Read what the service posted to *callback*, prove it, register the webhook, and return the settings."""
        ...
