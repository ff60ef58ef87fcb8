"""Refunds: pull payments (a link that entitles to a claim) and payouts (the claims), with their states and events.

Making a refund moves no money and is bounded by nothing: neither by what was paid nor by earlier refunds.
"""

from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

import attrs

from bursar_btcpay.sandbox.ids import Ids, is_address
from bursar_btcpay.sandbox.invoices import Extra, Invoice, Status
from bursar_btcpay.sandbox.problems import Crash, Problem, invalid, not_found, refused
from bursar_btcpay.sandbox.rates import CHAIN, Rates
from bursar_btcpay.sandbox.wire import EXACT, round_up

__all__ = [
    "Offer",
    "Payout",
    "PayoutState",
    "PullPayment",
    "Refunds",
    "check_destination",
    "is_refundable",
    "missing_pull",
    "paid_bitcoin",
    "refund_amount",
    "round_to",
]

_DUST: Final = Decimal("0.00000294")


class PayoutState(StrEnum):
    AWAITING_APPROVAL = "AwaitingApproval"
    AWAITING_PAYMENT = "AwaitingPayment"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"


@attrs.frozen
class Offer:
    """What a pull payment is made of. *starts* and *expires* are Unix seconds."""

    name: str
    description: str
    currency: str
    amount: Decimal
    automatic: bool
    starts: int
    expires: int | None = None
    bolt11_days: int = 30


@attrs.define
class PullPayment:
    id: str
    store: str
    offer: Offer
    invoice: str = ""
    archived: bool = False


@attrs.define
class Payout:
    """A claim. *amount* is in *currency*; *bitcoin* is what will be sent, once that is approved."""

    id: str
    store: str
    pull: str | None
    destination: str
    amount: Decimal
    currency: str
    date: int
    bitcoin: Decimal | None = None
    state: PayoutState = PayoutState.AWAITING_APPROVAL
    transaction: str = ""

    @property
    def counts(self) -> bool:
        return self.state is not PayoutState.CANCELLED


def is_refundable(invoice: Invoice) -> bool:
    """Tell whether the server makes a refund of *invoice*."""
    if invoice.status is Status.EXPIRED:
        return invoice.extra in {Extra.LATE, Extra.PARTIAL, Extra.OVER}
    return invoice.status in {Status.SETTLED, Status.INVALID}


def paid_bitcoin(invoice: Invoice) -> Decimal:
    """Return what counts as paid: an invoice marked settled with nothing received counts as paid in full."""
    if invoice.status is Status.SETTLED and invoice.extra is Extra.MARKED and not invoice.gross:
        return invoice.asked
    return invoice.gross


@attrs.define
class Refunds:
    """Keep pull payments and payouts. Every change returns the events to publish, as (type, payout)."""

    ids: Ids
    rates: Rates
    pulls: dict[str, PullPayment] = attrs.field(factory=dict[str, PullPayment])
    payouts: dict[str, Payout] = attrs.field(factory=dict[str, Payout])

    def open(self, store: str, offer: Offer, *, invoice: str = "") -> PullPayment:
        """Make a pull payment."""
        if offer.amount <= 0:
            raise Crash
        pull = PullPayment(self.ids.medium(), store, offer, invoice)
        self.pulls[pull.id] = pull
        return pull

    def claim(
        self, pull: PullPayment, destination: str, method: str, amount: Decimal | None, *, now: float
    ) -> tuple[Payout, list[tuple[str, Payout]]]:
        """Claim *amount* of *pull* (None: what is left) for *destination*."""
        destination = check_destination(destination, method)
        if pull.archived:
            raise refused("archived", "This pull payment has been archived")
        if pull.offer.expires is not None and pull.offer.expires <= now:
            raise refused("expired", "This pull payment has expired")
        if pull.offer.starts > now:
            raise refused("not-started", "This pull payment has not yet started")
        claims = [payout for payout in self.of(pull) if payout.counts]
        self._check_unused(destination)
        left = pull.offer.amount - sum((payout.amount for payout in claims), Decimal(0))
        asked = left if amount is None else amount
        if asked > left:
            raise refused("overdraft", "The payout amount overdraft the pull payment's limit")
        if asked <= 0:
            raise refused("amount-too-low", "The requested payout amount is too low")
        payout = self._add(pull.store, pull.id, destination, asked, pull.offer.currency, now)
        events = [("PayoutCreated", attrs.evolve(payout))]
        if pull.offer.automatic:
            events += self.approve(payout)
        return payout, events

    def create(
        self, store: str, destination: str, method: str, amount: Decimal, *, approved: bool, now: float
    ) -> tuple[Payout, list[tuple[str, Payout]]]:
        """Make a payout without a pull payment."""
        destination = check_destination(destination, method)
        self._check_unused(destination)
        payout = self._add(store, None, destination, amount, "BTC", now)
        events = [("PayoutCreated", attrs.evolve(payout))]
        return payout, events + (self.approve(payout) if approved else [])

    def approve(self, payout: Payout, revision: int | None = None) -> list[tuple[str, Payout]]:
        """Approve *payout* at the present rate. The state is checked before the revision."""
        if payout.state is not PayoutState.AWAITING_APPROVAL:
            raise refused("invalid-state", "The payout is not in a state that can be approved")
        if revision not in {None, 0}:
            raise refused("old-revision", "The payout's revision is not the latest one")
        rate = self.rates.of(payout.currency)
        if rate is None:
            raise refused("rate-unavailable", f"The rate of {payout.currency} is not available")
        bitcoin = round_up(EXACT.divide(payout.amount, rate))
        if bitcoin < _DUST:
            # Cancelled without an event, as the server does it.
            payout.state = PayoutState.CANCELLED
            raise refused("amount-too-low", "The payout amount is too low")
        payout.bitcoin, payout.state = bitcoin, PayoutState.AWAITING_PAYMENT
        return [("PayoutApproved", attrs.evolve(payout))]

    def cancel(self, payout: Payout) -> list[tuple[str, Payout]]:
        """Cancel *payout* unless it was sent; one already cancelled is told of again."""
        if payout.state in {PayoutState.IN_PROGRESS, PayoutState.COMPLETED}:
            raise refused("invalid-state", "The payout is not in a state that can be cancelled")
        return self._move(payout, PayoutState.CANCELLED)

    def mark(self, payout: Payout, state: PayoutState) -> list[tuple[str, Payout]]:
        """Set *payout* to *state* by hand, once it was approved."""
        if state is PayoutState.CANCELLED:
            return self.cancel(payout)
        if payout.state not in {PayoutState.AWAITING_PAYMENT, PayoutState.IN_PROGRESS}:
            raise refused(
                "invalid-state", "The payout is not in a state that can be marked with the specified state"
            )
        return self._move(payout, state)

    def archive(self, pull: PullPayment) -> list[tuple[str, Payout]]:
        """Withdraw *pull*: its claims that were not sent are cancelled, those cancelled before once more."""
        pull.archived = True
        events: list[tuple[str, Payout]] = []
        for payout in self.of(pull):
            if payout.state not in {PayoutState.IN_PROGRESS, PayoutState.COMPLETED}:
                events += self.cancel(payout)
        return events

    def send(self, payout: Payout) -> list[tuple[str, Payout]]:
        """Pay *payout* from the store's wallet; a block completes it (`mine`)."""
        if payout.state is not PayoutState.AWAITING_PAYMENT:
            raise refused("invalid-state", "The payout is not in a state that can be paid")
        payout.transaction = self.ids.transaction()
        return self._move(payout, PayoutState.IN_PROGRESS)

    def mine(self) -> list[tuple[str, Payout]]:
        """Confirm all payouts that were sent."""
        sent = [payout for payout in self.payouts.values() if payout.state is PayoutState.IN_PROGRESS]
        return [event for payout in sent for event in self._move(payout, PayoutState.COMPLETED)]

    def of(self, pull: PullPayment) -> list[Payout]:
        """Return all claims of *pull*, oldest first."""
        return [payout for payout in self.payouts.values() if payout.pull == pull.id]

    def visible(self, payout: Payout) -> bool:
        """Tell whether *payout* is shown at all: those of an archived pull payment are not."""
        return payout.pull is None or not self.pulls[payout.pull].archived

    def _add(
        self, store: str, pull: str | None, destination: str, amount: Decimal, currency: str, now: float
    ) -> Payout:
        payout = Payout(self.ids.medium(), store, pull, destination, amount, currency, int(now))
        self.payouts[payout.id] = payout
        return payout

    def _check_unused(self, destination: str) -> None:
        if any(payout.destination == destination and payout.counts for payout in self.payouts.values()):
            raise refused("duplicate-destination", "This address is already used for another payout")

    @staticmethod
    def _move(payout: Payout, state: PayoutState) -> list[tuple[str, Payout]]:
        payout.state = state
        return [("PayoutUpdated", attrs.evolve(payout))]


def check_destination(destination: str, method: str) -> str:
    """Return the address in *destination* (plain, or in a `bitcoin:` link)."""
    if method != CHAIN:
        raise invalid(("PayoutMethodId", "Invalid payment method"))
    address = destination.strip()
    if address.lower().startswith("bitcoin:"):
        address = address[8:].partition("?")[0]
    if not is_address(address):
        raise invalid(("Destination", "A valid address was not provided"))
    return address


def refund_amount(
    invoice: Invoice, variant: str, rates: Rates, custom: tuple[Decimal, str] | None, percent: Decimal
) -> tuple[str, Decimal, bool]:
    """Return the currency and amount of a refund, and whether its variant may approve claims by itself."""
    paid = paid_bitcoin(invoice)
    worth = round_to(EXACT.multiply(paid, invoice.rate), invoice.currency.decimals)
    code = invoice.currency.code
    match variant:
        case "RateThen":
            currency, amount, automatic = "BTC", paid, True
        case "CurrentRate":
            rate = rates.of(code)
            if rate is None:
                raise Crash
            currency, amount, automatic = "BTC", round_to(EXACT.divide(worth, rate), 8), True
        case "Fiat":
            currency, amount, automatic = code, worth, False
        case "OverpaidAmount":
            if invoice.extra is not Extra.OVER:
                raise invalid(("RefundVariant", "Invoice is not overpaid"))
            currency, amount, automatic = "BTC", paid - invoice.asked, True
        case _:
            assert custom is not None
            amount, currency = custom
            automatic = currency == "BTC"
    if percent:
        amount = round_to(
            amount * (100 - percent) / 100, 8 if currency == "BTC" else rates.decimals(currency)
        )
    return currency, amount, automatic


def round_to(amount: Decimal, decimals: int) -> Decimal:
    """Round to *decimals* if there are more; an amount with fewer keeps its own."""
    if -int(amount.as_tuple().exponent) <= decimals:
        return amount
    return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, EXACT)


def missing_pull() -> Problem:
    """Answer 404 for a pull payment."""
    return not_found("pullpayment", "pull payment")
