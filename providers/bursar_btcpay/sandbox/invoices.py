"""The invoice and its state machine, as InvoiceWatcher of BTCPay Server 2.4.1 runs it: status, additional status, events.

Everything that moves an invoice lives here, and nothing here knows of stores, webhooks or HTTP. A payment is first put
in (its event tells the status as it was), then `check` runs one pass over the invoice, and returns the events that the
pass publishes, in order. What no event tells (back to New, PaidPartial, PaidOver set or cleared) is silent here too.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import attrs

from bursar_btcpay.sandbox.wire import EXACT, round_up

__all__ = [
    "CONFIRMATIONS",
    "LEGAL",
    "Checkout",
    "Currency",
    "Event",
    "Extra",
    "Invoice",
    "Payment",
    "PaymentState",
    "Receipt",
    "Speed",
    "Status",
    "check",
    "mark",
    "markable",
]


class Status(StrEnum):
    NEW = "New"
    PROCESSING = "Processing"
    SETTLED = "Settled"
    EXPIRED = "Expired"
    INVALID = "Invalid"


class Extra(StrEnum):
    """The server's `additionalStatus`."""

    NONE = "None"
    PARTIAL = "PaidPartial"
    LATE = "PaidLate"
    OVER = "PaidOver"
    MARKED = "Marked"


class Speed(StrEnum):
    HIGH = "HighSpeed"
    MEDIUM = "MediumSpeed"
    LOW_MEDIUM = "LowMediumSpeed"
    LOW = "LowSpeed"


class PaymentState(StrEnum):
    INVALID = "Invalid"
    PROCESSING = "Processing"
    SETTLED = "Settled"


CONFIRMATIONS: Final = {Speed.HIGH: 0, Speed.MEDIUM: 1, Speed.LOW_MEDIUM: 2, Speed.LOW: 6}
LEGAL: Final = frozenset(
    {
        (Status.NEW, Extra.NONE),
        (Status.NEW, Extra.PARTIAL),
        (Status.PROCESSING, Extra.NONE),
        (Status.PROCESSING, Extra.OVER),
        (Status.SETTLED, Extra.NONE),
        (Status.SETTLED, Extra.OVER),
        (Status.SETTLED, Extra.MARKED),
        (Status.EXPIRED, Extra.NONE),
        (Status.EXPIRED, Extra.PARTIAL),
        (Status.EXPIRED, Extra.LATE),
        (Status.INVALID, Extra.NONE),
        (Status.INVALID, Extra.OVER),
        (Status.INVALID, Extra.MARKED),
    }
)


@attrs.frozen
class Event:
    """One event of an invoice: its type, and the members that lead its body."""

    type: str
    members: dict[str, Any] = attrs.field(factory=dict[str, Any])


@attrs.frozen
class Currency:
    code: str
    decimals: int


@attrs.define
class Payment:
    """One output of a transaction that pays an invoice's address. *value* and *fee* are bitcoin; *fee* is what of the
    value pays the invoice's network fee."""

    transaction: str
    output: int
    value: Decimal
    fee: Decimal
    received: int
    destination: str
    replaceable: bool = False
    confirmations: int = 0
    state: PaymentState = PaymentState.PROCESSING

    @property
    def id(self) -> str:
        return f"{self.transaction}-{self.output}"


@attrs.frozen
class Checkout:
    """What an invoice was created with. *expiration* and *monitoring* are seconds, *tolerance* per cent."""

    speed: Speed = Speed.MEDIUM
    expiration: int = 900
    monitoring: int = 86_400
    tolerance: Decimal = Decimal("0.0")
    on_chain: bool = True
    lazy: bool = False
    default_method: str | None = None
    redirect_url: str | None = None
    redirect_automatically: bool = False
    language: str | None = None


@attrs.frozen
class Receipt:
    enabled: bool = True
    show_qr: bool = True
    show_payments: bool = True


@attrs.define
class Invoice:
    """Hold one invoice. Times are whole Unix seconds; *price* is in *currency*, of which one bitcoin costs *rate*."""

    id: str
    store: str
    price: Decimal
    currency: Currency
    rate: Decimal
    created: int
    expires: int
    monitored_until: int
    checkout: Checkout
    metadata: dict[str, Any]
    top_up: bool = False
    receipt: Receipt = Receipt()
    terms: tuple[str, ...] = ()
    address: str | None = None
    key_index: int = 0
    next_fee: Decimal = Decimal(0)
    """The network fee that a further payment owes, in bitcoin; kept when the first payment turns out invalid."""
    fee_rate: Decimal = Decimal(5)
    status: Status = Status.NEW
    extra: Extra = Extra.NONE
    archived: bool = False
    payments: list[Payment] = attrs.field(factory=list[Payment])

    @property
    def accounted(self) -> list[Payment]:
        return [payment for payment in self.payments if payment.state is not PaymentState.INVALID]

    @property
    def gross(self) -> Decimal:
        """All that was received, in bitcoin."""
        return sum((payment.value for payment in self.accounted), Decimal(0))

    @property
    def net(self) -> Decimal:
        """What was received less the network fees, in the invoice's currency."""
        return self._worth(payment.value - payment.fee for payment in self.accounted)

    @property
    def settled(self) -> Decimal:
        """As `net`, of confirmed payments alone."""
        done = [payment for payment in self.accounted if payment.state is PaymentState.SETTLED]
        return self._worth(payment.value - payment.fee for payment in done)

    @property
    def minimum(self) -> Decimal:
        """The least that counts as paid, in the invoice's currency."""
        return self.price * (100 - self.checkout.tolerance) / 100

    @property
    def underpaid(self) -> bool:
        if self.top_up and not self.price:
            return self.gross == 0
        return self.net < self.minimum

    @property
    def overpaid(self) -> bool:
        # An exact payment is never over because of what the rounding up to a satoshi added.
        return self.net > self.price and self.due < 0

    @property
    def owed_fee(self) -> Decimal:
        """The network fees in what is asked, in bitcoin: those paid, and the next payment's if there must be one."""
        paid = sum((payment.fee for payment in self.accounted), Decimal(0))
        return paid + (self.next_fee if self.net < self.minimum else 0)

    @property
    def asked(self) -> Decimal:
        """The whole that is asked, network fees included, in bitcoin."""
        return round_up(self.bitcoin + self.owed_fee)

    @property
    def due(self) -> Decimal:
        """What is left to pay, in bitcoin; below zero when too much was paid."""
        return round_up(self.bitcoin + self.owed_fee - self.gross)

    @property
    def bitcoin(self) -> Decimal:
        """The price in bitcoin, unrounded."""
        return EXACT.divide(self.price, self.rate)

    def _worth(self, amounts: Any) -> Decimal:
        return sum((EXACT.multiply(amount, self.rate) for amount in amounts), Decimal(0))

    def needed(self, payment: Payment) -> int:
        """Return how many confirmations settle *payment*: a replaceable one is never taken without any."""
        return max(CONFIRMATIONS[self.checkout.speed], int(payment.replaceable))


def check(invoice: Invoice, now: float) -> list[Event]:
    """Run one pass of the watcher over *invoice* at *now*, and return what it publishes."""
    events: list[Event] = []
    if invoice.status is Status.NEW and invoice.expires <= now:
        invoice.status = Status.EXPIRED
        partly = invoice.extra is Extra.PARTIAL
        events.append(Event("InvoiceExpired", {"partiallyPaid": partly}))
        if partly:
            events.append(Event("InvoiceExpiredPaidPartial"))
    if invoice.status in {Status.NEW, Status.EXPIRED}:
        events += _look_for_payment(invoice)
    if invoice.status is Status.PROCESSING:
        _follow_changes(invoice)
    if invoice.status is Status.PROCESSING:
        if invoice.settled >= invoice.minimum:
            invoice.status = Status.SETTLED
            over = invoice.extra is Extra.OVER
            events.append(Event("InvoiceSettled", {"manuallyMarked": False, "overPaid": over}))
        elif invoice.monitored_until < now:
            invoice.status = Status.INVALID
            events.append(Event("InvoiceInvalid", {"manuallyMarked": False}))
    return events


def _look_for_payment(invoice: Invoice) -> list[Event]:
    if invoice.underpaid:
        if invoice.accounted:
            invoice.extra = Extra.PARTIAL
        return []
    if invoice.status is Status.EXPIRED:
        if invoice.extra is Extra.LATE:
            return []
        invoice.extra = Extra.LATE
        return [Event("InvoicePaidAfterExpiration")]
    if invoice.top_up and not invoice.price:
        invoice.price = max(invoice.net, Decimal(0))
    invoice.status = Status.PROCESSING
    invoice.extra = Extra.OVER if invoice.overpaid else Extra.NONE
    return [Event("InvoiceProcessing", {"overPaid": invoice.extra is Extra.OVER})]


def _follow_changes(invoice: Invoice) -> None:
    invoice.extra = Extra.OVER if invoice.overpaid else Extra.NONE
    if invoice.underpaid:
        invoice.status = Status.NEW
        invoice.extra = Extra.PARTIAL if invoice.accounted else Extra.NONE


def markable(invoice: Invoice) -> list[Status]:
    """Return what a merchant may mark *invoice* as now."""
    if invoice.status is Status.SETTLED:
        return [Status.INVALID] if invoice.extra is Extra.MARKED else []
    if invoice.status is Status.INVALID:
        return [Status.SETTLED]
    return [Status.SETTLED, Status.INVALID]


def mark(invoice: Invoice, status: Status) -> list[Event]:
    """Mark *invoice* by hand as *status*, which must be `markable`."""
    invoice.status, invoice.extra = status, Extra.MARKED
    if status is Status.SETTLED:
        return [Event("InvoiceSettled", {"manuallyMarked": True, "overPaid": False})]
    return [Event("InvoiceInvalid", {"manuallyMarked": True})]
