"""An order, the attempts to pay it, and what the merchant did about it: the words that the lifecycle reads.

`Dossier` is all that is kept of one order, and the only thing that the rules are given: `bursar.lifecycle` says what
it means, `bursar.agenda` what it still owes the world, and the durable step changes it.
"""

import re
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

import attrs

from bursar.errors import BadInput
from bursar.facts import Facts, Observation
from bursar.money import Money
from bursar.policy import Policy
from bursar.refunds import Refund, RefundObservation, Sending

__all__ = [
    "Act",
    "ActKind",
    "Checkout",
    "Dossier",
    "Instruction",
    "Opened",
    "Order",
    "Payment",
    "Rate",
    "Seen",
    "Terms",
]

Seen: TypeAlias = Observation | RefundObservation
"""What one delivery or one poll can be about."""

_REFERENCE: Final = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


def _check_reference(_: object, __: object, reference: str) -> None:
    if not _REFERENCE.fullmatch(reference) or reference != reference.strip():
        raise BadInput("an order's id is 1 to 128 printable characters without spaces at its ends")


def _check_amount(_: object, __: object, amount: Money) -> None:
    if amount.minor < 0:
        raise BadInput(f"an order cannot ask for less than nothing: {amount}")


@attrs.frozen
class Order:
    """Hold what a buyer owes a merchant.

    *key* is ours (a UUIDv7), *reference* the merchant's own id, unique within its *shop*; *token* lets the buyer, and
    whoever has it, read the order; *policy* holds what this order overrides of the account's policy, as
    (setting, value) pairs in the words of the configuration.
    """

    key: str
    reference: str = attrs.field(validator=_check_reference)
    amount: Money = attrs.field(validator=_check_amount)
    created_at: int = 0
    shop: str = "shop"
    token: str = attrs.field(default="", repr=False)
    description: str = ""
    return_url: str = ""
    policy: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Rate:
    """Keep the rate at which an order was billed in another currency: *value* units of *bought* for one of *sold*."""

    source: str
    sold: str
    bought: str
    value: Decimal
    at: int


@attrs.frozen
class Terms:
    """Hold what was agreed when a payment was opened.

    *worth* is the part of the order it pays, in the order's currency; *billed* the same in the currency the provider
    bills, converted at a kept rate where they differ; *asks* the amounts that a buyer is told to send, one an asset;
    *expires_at* the end of the buyer's window in Unix seconds.
    """

    worth: Money
    billed: Money
    asks: tuple[Money, ...] = ()
    expires_at: int | None = None
    policy: Policy = Policy()
    rate: Rate | None = None

    def value(self, sent: Money) -> Money | None:
        """Return what *sent* is worth in the order's currency by this payment's own quote; None where it has none."""
        if sent.asset == self.billed.asset and (self.billed or sent.asset == self.worth.asset):
            return self.in_order_currency(sent)
        for ask in self.asks:
            if ask.asset == sent.asset and ask.minor > 0:
                return self.worth.share(sent, ask)
        return None

    def in_order_currency(self, billed: Money) -> Money:
        """Return *billed* money in the order's currency, by the rate of this payment, rounded down."""
        if billed.asset == self.worth.asset:
            return billed
        if self.billed.minor == 0:
            return Money.zero(self.worth.asset)
        return self.worth.share(billed, self.billed)


@attrs.frozen
class Instruction:
    """Tell a buyer one way to pay: send *amount* to *address*; *uri* says both to a wallet."""

    method: str
    amount: Money
    address: str
    uri: str = ""


@attrs.frozen
class Checkout:
    """Hold where and how a buyer pays: the provider's own page at *url*, its modal's *script*, and *instructions*."""

    url: str = ""
    script: str = ""
    instructions: tuple[Instruction, ...] = ()


@attrs.frozen
class Opened:
    """Report a payment as the provider opened it.

    *billed* is what it says it asks for, to be compared with what was wanted, None where the first payment decides it; *asks* what a buyer has to send, one an
    asset; *expires_at* the end of the buyer's window in Unix seconds; *facts* what its answer already says.
    """

    payment_id: str
    billed: Money | None
    checkout: Checkout
    asks: tuple[Money, ...] = ()
    expires_at: int | None = None
    seen: Observation | None = None


@attrs.frozen
class Payment:
    """Follow one attempt to pay an order at one provider; *number* counts from 1 within the order.

    *attempt* is our random id, which travels with the request that opens the payment, so that an unknown outcome can be
    looked up; *payment_id* the provider's id once it is known. *polled_at* is when the provider was last asked, by our
    clock, *polls* how often; *cancelling* is set once the merchant wants it cancelled at the provider.
    """

    number: int
    terms: Terms
    facts: Facts = Facts()
    account: str = ""
    attempt: str = ""
    sending: Sending = Sending.DONE
    payment_id: str | None = None
    checkout: Checkout = Checkout()
    method: str = ""
    created_at: int = 0
    sent_at: int = 0
    polled_at: int = 0
    polls: int = 0
    cancelling: Sending | None = None
    problem: str = ""

    @property
    def abandoned(self) -> bool:
        """Whether it was never opened at the provider, and is known not to have been."""
        return self.sending is Sending.REFUSED


class ActKind(Enum):
    """Name what a merchant can do to an order."""

    CANCEL = "cancel"
    FULFIL = "fulfil"
    ACCEPT = "accept"
    RESOLVE = "resolve"


@attrs.frozen
class Act:
    """Record what a merchant did: who, when (Unix seconds) and why. For RESOLVE, *subject* is the review's key."""

    kind: ActKind
    at: int
    who: str = ""
    why: str = ""
    subject: str = ""


@attrs.frozen
class Dossier:
    """Hold all that is kept of one order."""

    order: Order
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    acts: tuple[Act, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the merchant takes what the policy holds; of accepting and cancelling, the later act holds."""
        return self._last_of(ActKind.ACCEPT, ActKind.CANCEL) is ActKind.ACCEPT

    @property
    def cancelled(self) -> bool:
        """Whether the merchant has cancelled the order and has not accepted it since."""
        return self._last_of(ActKind.ACCEPT, ActKind.CANCEL) is ActKind.CANCEL

    def _last_of(self, *kinds: ActKind) -> ActKind | None:
        return next((act.kind for act in reversed(self.acts) if act.kind in kinds), None)

    def payment(self, number: int) -> Payment:
        """Return the payment *number*; raise `BadInput` where there is none."""
        for payment in self.payments:
            if payment.number == number:
                return payment
        raise BadInput(f"order {self.order.reference!r} has no payment {number}")

    def refund(self, number: int) -> Refund:
        """Return the refund *number*; raise `BadInput` where there is none."""
        for refund in self.refunds:
            if refund.number == number:
                return refund
        raise BadInput(f"order {self.order.reference!r} has no refund {number}")

    def with_payment(self, payment: Payment) -> "Dossier":
        """Return this dossier with *payment* put in, or in the place of the one with its number."""
        others = tuple(p for p in self.payments if p.number != payment.number)
        return attrs.evolve(self, payments=tuple(sorted((*others, payment), key=lambda p: p.number)))

    def with_refund(self, refund: Refund) -> "Dossier":
        """Return this dossier with *refund* put in, or in the place of the one with its number."""
        others = tuple(r for r in self.refunds if r.number != refund.number)
        return attrs.evolve(self, refunds=tuple(sorted((*others, refund), key=lambda r: r.number)))

    def with_act(self, act: Act) -> "Dossier":
        """Return this dossier with *act* added."""
        return attrs.evolve(self, acts=(*self.acts, act))
