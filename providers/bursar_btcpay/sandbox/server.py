"""The server's whole state: stores, keys, invoices, the chain below them; and time, which is passed in.

Before anything is asked of it or done to it, `catch_up` does what would have happened by itself until then: each
invoice is looked at one second after it expires and one second after its monitoring ends, at those very instants.
"""

import heapq
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

import attrs

from bursar.errors import NotFound, Refused
from bursar_btcpay.sandbox.answers import payment_json
from bursar_btcpay.sandbox.ids import Ids
from bursar_btcpay.sandbox.invoices import (
    Event,
    Extra,
    Invoice,
    Payment,
    PaymentState,
    Status,
    check,
    markable,
)
from bursar_btcpay.sandbox.invoices import mark as mark_invoice
from bursar_btcpay.sandbox.permissions import Key
from bursar_btcpay.sandbox.rates import CHAIN, Rates
from bursar_btcpay.sandbox.refunds import Payout, Refunds
from bursar_btcpay.sandbox.webhooks import Postbox
from bursar_btcpay.sandbox.wire import EXACT, in_database_order, round_up

__all__ = ["Server", "Store"]

_SATOSHI: Final = Decimal("0.00000001")
_TYPICAL_SIZE: Final = 100
_TOP_UP_UNIT: Final = Decimal("0.0002")
# The server's clean-up deletes what expired unpaid, six months after it was made.
_KEPT_FOR: Final = 184 * 86_400
_OPEN: Final = frozenset({Status.NEW, Status.PROCESSING})


@attrs.frozen
class Store:
    """A store with the server's default settings."""

    id: str
    name: str
    currency: str = "USD"
    fee_mode: str = "MultiplePaymentsOnly"


class Server:
    """Run the server. *clock* gives Unix seconds, *url* is the address that it is reached at."""

    def __init__(self, clock: Callable[[], float], url: str, seed: int) -> None:
        self.clock, self.url, self.ids = clock, url.rstrip("/"), Ids(seed)
        self.rates = Rates()
        self.fee_rate = 5
        """The network fee of the moment, in satoshi per virtual byte."""
        self.height = 133
        self.stores: dict[str, Store] = {}
        self.keys: dict[str, Key] = {}
        self.invoices: dict[str, Invoice] = {}
        self.post = Postbox(self.ids)
        self.refunds = Refunds(self.ids, self.rates)
        self.gone: dict[str, tuple[str, float]] = {}
        """Deleted webhooks whose store the server still remembers: id -> (store, when last asked for)."""
        self._agenda: list[tuple[float, str]] = []
        self._addresses = 0
        self._unseen: list[tuple[Invoice, Payment]] | None = None
        """While the server is down: what the chain has seen and it has not."""
        self.user = self.ids.user()

    def now(self) -> float:
        return self.clock()

    def add_store(self, name: str) -> Store:
        """Make a store."""
        store = Store(self.ids.long(), name)
        self.stores[store.id] = store
        return store

    def add_key(
        self, label: str, permissions: Iterable[str], *, identifier: str = "", redirect: str = ""
    ) -> Key:
        """Make an API key with *permissions* (`policy` or `policy:STORE`)."""
        key = Key(self.ids.key(), label, tuple(permissions), self.user, identifier, redirect)
        self.keys[key.secret] = key
        return key

    def add_invoice(self, invoice: Invoice) -> None:
        """Keep a new *invoice*, tell of it, and look at it once."""
        self.invoices[invoice.id] = invoice
        if invoice.checkout.on_chain and not invoice.checkout.lazy:
            self.activate(invoice)
        self._plan(invoice)
        self.publish(invoice, [Event("InvoiceCreated")], invoice.metadata)
        self.look_at(invoice, self.now())

    def activate(self, invoice: Invoice) -> None:
        """Give *invoice* an address, if it is new and has none."""
        if invoice.address is None and invoice.checkout.on_chain and invoice.status is Status.NEW:
            self._addresses += 1
            invoice.key_index, invoice.address = self._addresses, self.ids.address()
            invoice.fee_rate = Decimal(self.fee_rate)

    def invoice(self, id: str) -> Invoice:
        """Return the invoice *id*; raise `NotFound`."""
        found = self.invoices.get(id)
        if found is None:
            raise NotFound(f"the BTCPay sandbox has no invoice {id!r}")
        return found

    def publish(
        self, invoice: Invoice, events: Iterable[Event], metadata: Any = None, *, at: float | None = None
    ) -> None:
        """Queue *events* of *invoice* for its store's webhooks, in order."""
        told = in_database_order(invoice.metadata) if metadata is None else metadata
        last = {"storeId": invoice.store, "invoiceId": invoice.id, "metadata": told}
        now = self.now() if at is None else at
        for event in events:
            self.post.publish(invoice.store, event.type, first=event.members, last=last, now=now)

    def publish_payouts(self, events: Iterable[tuple[str, Payout]]) -> None:
        """Queue events of payouts, in order."""
        for type, payout in events:
            last = {
                "storeId": payout.store,
                "payoutId": payout.id,
                "pullPaymentId": payout.pull,
                "payoutState": payout.state.value,
            }
            self.post.publish(payout.store, type, first={}, last=last, now=self.now())

    def look_at(self, invoice: Invoice, now: float) -> None:
        """Run the watcher over *invoice* and publish what it finds."""
        self.publish(invoice, check(invoice, now), at=now)

    def catch_up(self) -> None:
        """Do what was due by itself until now, each thing at its own instant."""
        if self._unseen is not None:
            return
        now = self.now()
        while self._agenda and self._agenda[0][0] <= now:
            at, id = heapq.heappop(self._agenda)
            if self._stands(at, id):
                self.look_at(self.invoices[id], at)
        for invoice in [i for i in self.invoices.values() if _is_stale(i, now)]:
            del self.invoices[invoice.id]

    def wakes_at(self) -> float | None:
        """Return when something is next due by itself, deliveries included."""
        while self._agenda and not self._stands(*self._agenda[0]):
            heapq.heappop(self._agenda)
        times = [self._agenda[0][0]] if self._agenda else []
        post = self.post.wakes_at()
        return min([*times, *([] if post is None else [post])], default=None)

    def _stands(self, at: float, id: str) -> bool:
        """Tell whether the invoice *id* is still to be looked at *at* that time: it may be done, or have been moved."""
        invoice = self.invoices.get(id)
        return invoice is not None and invoice.status in _OPEN and at in _instants(invoice)

    def _plan(self, invoice: Invoice) -> None:
        for at in _instants(invoice):
            heapq.heappush(self._agenda, (at, invoice.id))

    def shift(self, invoice: Invoice, seconds: int) -> None:
        """Move *invoice* that many *seconds* into the past, all its times alike."""
        invoice.created -= seconds
        invoice.expires -= seconds
        invoice.monitored_until -= seconds
        self._plan(invoice)

    def mark(self, invoice: Invoice, status: Status) -> None:
        """Mark *invoice* by hand; raise `Refused` where the server would not."""
        if status not in markable(invoice):
            raise Refused(
                f"invoice {invoice.id} is {invoice.status}/{invoice.extra}: not to be marked {status}"
            )
        self.publish(invoice, mark_invoice(invoice, status))

    def quote(self, invoice: Invoice, share: Decimal) -> Decimal:
        """Return what a buyer sends to pay *share* of what was first asked, in bitcoin.

        A further payment owes the network fee on top, as the checkout page asks for it. A top-up invoice asks for
        nothing: there, *share* counts in units of 0.0002 bitcoin.
        """
        asked = _TOP_UP_UNIT if invoice.top_up else round_up(invoice.bitcoin)
        part = EXACT.multiply(asked, share).quantize(_SATOSHI, ROUND_DOWN, EXACT)
        return max(part, _SATOSHI) + invoice.next_fee

    def send(self, invoice: Invoice, value: Decimal, *, replaceable: bool = False) -> Payment:
        """Let a transaction that pays *value* bitcoin to *invoice* appear in the mempool."""
        if invoice.address is None:
            # The buyer's checkout page activates the method before it can show an address.
            self.activate(invoice)
        if invoice.address is None:
            raise Refused(f"invoice {invoice.id} has no address to pay to")
        payment = Payment(
            transaction=self.ids.transaction(),
            output=self.ids.output(),
            value=_trimmed(value),
            fee=invoice.next_fee,
            received=int(self.now()),
            destination=invoice.address,
            replaceable=replaceable,
        )
        if self._unseen is not None:
            self._unseen.append((invoice, payment))
            return payment
        self._receive(invoice, payment)
        self.look_at(invoice, self.now())
        return payment

    def send_to_both(self, first: Invoice, second: Invoice) -> Payment:
        """Let one transaction pay what is due on two invoices, by an output each."""
        paid = self.send(first, first.due)
        other = attrs.evolve(
            paid,
            output=paid.output + 1,
            value=_trimmed(second.due),
            fee=second.next_fee,
            destination=str(second.address),
        )
        self._receive(second, other)
        self.look_at(second, self.now())
        return paid

    def replace(self, invoice: Invoice, value: Decimal | None = None) -> Payment:
        """Replace the last unconfirmed payment of *invoice* by one that pays *value* (None: the same)."""
        old = next((p for p in reversed(invoice.payments) if p.state is PaymentState.PROCESSING), None)
        if old is None:
            raise Refused(f"invoice {invoice.id} has no unconfirmed payment to replace")
        new = attrs.evolve(
            old,
            transaction=self.ids.transaction(),
            output=1 - old.output,
            value=old.value if value is None else _trimmed(value),
            fee=invoice.next_fee,
            received=int(self.now()),
            confirmations=0,
        )
        self._receive(invoice, new)
        old.state = PaymentState.INVALID
        # Its event told the fee of a further payment; from then on it has that of the one it replaced.
        new.fee = old.fee
        self.look_at(invoice, self.now())
        return new

    def _receive(self, invoice: Invoice, payment: Payment) -> None:
        if invoice.needed(payment) == 0:
            payment.state = PaymentState.SETTLED
        invoice.payments.append(payment)
        received = _payment_event("InvoiceReceivedPayment", invoice, payment)
        if payment.state is PaymentState.SETTLED:
            # Told while the payment is stored, before the listener tells that it came.
            self.publish(invoice, [_payment_event("InvoicePaymentSettled", invoice, payment)])
        self.publish(invoice, [received])
        if not invoice.next_fee:
            invoice.next_fee = _SATOSHI * _TYPICAL_SIZE * int(invoice.fee_rate)

    def confirm(self, invoice: Invoice, blocks: int | None = None) -> None:
        """Confirm all payments of *invoice* by *blocks* more (None: as many as settle them)."""
        settled: list[Payment] = []
        for payment in invoice.accounted:
            needed = invoice.needed(payment)
            more = max(needed - payment.confirmations, 0) if blocks is None else blocks
            payment.confirmations += more
            if payment.state is PaymentState.PROCESSING and payment.confirmations >= needed:
                payment.state = PaymentState.SETTLED
                settled.append(payment)
        self.publish(invoice, [_payment_event("InvoicePaymentSettled", invoice, p) for p in settled])
        if settled:
            self.look_at(invoice, self.now())

    def mine(self, blocks: int = 1) -> None:
        """Mine *blocks* that confirm everything unconfirmed, payouts included."""
        self.height += blocks
        for invoice in list(self.invoices.values()):
            if invoice.payments:
                self.confirm(invoice, blocks)
        self.publish_payouts(self.refunds.mine())

    def double_spend(self, invoice: Invoice) -> None:
        """Take back all that is unconfirmed: other transactions of the same coins were mined."""
        # One that was settled without a confirmation is not watched any more: its loss never shows.
        lost = [p for p in invoice.payments if p.state is PaymentState.PROCESSING and not p.confirmations]
        for payment in lost:
            payment.state = PaymentState.INVALID
        if lost:
            self.look_at(invoice, self.now())

    def reorganize(self, invoice: Invoice) -> None:
        """Put the payments of *invoice* back into the mempool: their blocks are no longer part of the chain.

        Where neither the invoice nor a payment of it is pending, the server does not look, and nothing shows.
        """
        pending = any(payment.state is PaymentState.PROCESSING for payment in invoice.payments)
        watched = pending or invoice.status in _OPEN
        for payment in invoice.accounted:
            payment.confirmations = 0
            if watched and invoice.needed(payment) > 0:
                payment.state = PaymentState.PROCESSING

    def stop(self) -> None:
        """Be down: the chain goes on, and nothing of it is noticed."""
        self.restart()
        self._unseen = []

    def start(self) -> None:
        """Be up again: what was missed is seen now, with its own time, before anything expires."""
        unseen, self._unseen = self._unseen or [], None
        for invoice, payment in unseen:
            self._receive(invoice, payment)
            self.look_at(invoice, self.now())
        self.catch_up()

    def restart(self) -> None:
        """Forget what is kept in memory only: undelivered events, pending retries, cached ids."""
        self.post.forget()
        self.gone.clear()


def _payment_event(type: str, invoice: Invoice, payment: Payment) -> Event:
    late = invoice.status in {Status.EXPIRED, Status.INVALID}
    members = {"afterExpiration": late, "paymentMethodId": CHAIN, "payment": payment_json(payment)}
    return Event(type, members)


def _trimmed(value: Decimal) -> Decimal:
    # The server's amounts have the decimals that they need: a price that a payment sets shows them.
    trimmed = value.normalize(EXACT)
    return trimmed if int(trimmed.as_tuple().exponent) <= 0 else trimmed.quantize(Decimal(1))


def _instants(invoice: Invoice) -> tuple[int, int]:
    return invoice.expires + 1, invoice.monitored_until + 1


def _is_stale(invoice: Invoice, now: float) -> bool:
    unpaid = invoice.status is Status.EXPIRED and invoice.extra is Extra.NONE
    return unpaid and invoice.created + _KEPT_FOR < now
