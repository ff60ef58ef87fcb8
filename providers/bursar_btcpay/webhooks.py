"""Read verified deliveries. An event is matched by the invoice's or pull payment's id alone, never by its metadata."""

import re
from collections.abc import Callable
from typing import Final

from bursar.errors import BadDelivery
from bursar.facts import Facts, Flag, Observation, Said, Stage, Word
from bursar.orders import Seen
from bursar.providers import Delivery, Reading
from bursar.refunds import Payout, PayoutStage, RefundFacts, RefundObservation
from bursar_btcpay.invoices import read_paid
from bursar_btcpay.reader import transfer, verdict
from bursar_btcpay.settings import read_method
from bursar_btcpay.wire import Document, Unreadable, read_document

__all__ = ["EVENTS", "PAYOUT_STAGES", "read_delivery"]

PAYOUT_STAGES: Final = {
    "AwaitingApproval": PayoutStage.CLAIMED,
    "AwaitingPayment": PayoutStage.APPROVED,
    "InProgress": PayoutStage.SENT,
    "Completed": PayoutStage.PAID,
    "Cancelled": PayoutStage.CANCELLED,
}
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NAME: Final = re.compile(r"[\x21-\x7e]{1,100}")
_TEST: Final = "__test__"


def read_delivery(delivery: Delivery, store_id: str) -> Reading:
    """Say what *delivery* means for the store; raise `BadDelivery` where it is not what BTCPay sends."""
    try:
        return _read(read_document(delivery.body, "the event"), store_id)
    except Unreadable as error:
        raise BadDelivery(
            f"BTCPay sent an event that cannot be read: {error}; the payment is polled instead"
        ) from None


def _read(event: Document, store_id: str) -> Reading:
    kind = event.text("type")
    if not _NAME.fullmatch(kind):
        raise Unreadable("the event's type is no name")
    # The first attempt's id is the same in every repetition.
    event_id = event.maybe_text("originalDeliveryId", "deliveryId") or ""
    nothing = Reading(kind, event_id[:200])
    if event.maybe_text("storeId") != store_id or not store_id:
        return nothing
    if kind in EVENTS:
        invoice_id = event.text("invoiceId")
        if invoice_id.startswith(_TEST):
            return nothing
        at = event.seconds("timestamp")
        return _seen(nothing, Observation(_checked(invoice_id), EVENTS[kind](event, at), event=kind))
    if kind.startswith("Payout"):
        pull_payment = event.maybe_text("pullPaymentId")
        if pull_payment is None or pull_payment.startswith(_TEST):
            return nothing
        if (event.maybe_text("payoutId") or "").startswith(_TEST):
            return nothing
        facts = _payout(event, event.seconds("timestamp"))
        return _seen(nothing, RefundObservation(_checked(pull_payment), facts, event=kind))
    return nothing


def _seen(reading: Reading, *seen: Seen) -> Reading:
    return Reading(reading.event, reading.event_id, seen)


def _checked(subject: str) -> str:
    if not _ID.fullmatch(subject):
        raise Unreadable("the id of what the event is about is no id")
    return subject


def _created(event: Document, at: int) -> Facts:
    return verdict(Word.NEW, at)


def _received(event: Document, at: int) -> Facts:
    return _paid(event, at, settled=False)


def _payment_settled(event: Document, at: int) -> Facts:
    return _paid(event, at, settled=True)


def _paid(event: Document, at: int, *, settled: bool) -> Facts:
    payment, method = event.inner("payment"), event.maybe_text("paymentMethodId", "paymentMethod")
    if payment is None or method is None:
        return Facts()
    paid = read_paid(payment, read_method(method))
    if settled:
        stage = Stage.CONFIRMED
    else:
        # Old servers call a payment that just came in Invalid by mistake; only a poll takes money back.
        stage = Stage.CONFIRMED if paid.status == "Settled" else Stage.SEEN
    return Facts(transfers=(transfer(paid, at, stage),))


def _processing(event: Document, at: int) -> Facts:
    return verdict(Word.PROCESSING, at)


def _settled(event: Document, at: int) -> Facts:
    flags = [Flag.BY_HAND] if event.flag("manuallyMarked") else []
    flags += [Flag.OVERPAID] if event.flag("overPaid") else []
    return verdict(Word.SETTLED, at, *flags)


def _expired(event: Document, at: int) -> Facts:
    partly = event.flag("partiallyPaid")
    if partly is None:
        return Facts()
    return verdict(Word.UNDERPAID if partly else Word.EXPIRED, at)


def _expired_partly(event: Document, at: int) -> Facts:
    return verdict(Word.UNDERPAID, at)


def _paid_late(event: Document, at: int) -> Facts:
    return verdict(Word.LATE, at)


def _invalid(event: Document, at: int) -> Facts:
    return verdict(Word.INVALID, at, *([Flag.BY_HAND] if event.flag("manuallyMarked") else []))


def _refunded(event: Document, at: int) -> Facts:
    pull_payment = event.maybe_text("pullPaymentId")
    return Facts(refunds=frozenset({_checked(pull_payment)} if pull_payment else ()))


def _payout(event: Document, at: int) -> RefundFacts:
    payout, stage = event.maybe_text("payoutId"), PAYOUT_STAGES.get(event.maybe_text("payoutState") or "")
    if payout is None or stage is None:
        return RefundFacts()
    said = Said[PayoutStage].once(stage, at)
    return RefundFacts(payouts=(Payout(_checked(payout), None, said),))


EVENTS: Final[dict[str, Callable[[Document, int], Facts]]] = {
    "InvoiceCreated": _created,
    "InvoiceReceivedPayment": _received,
    "InvoicePaymentSettled": _payment_settled,
    "InvoiceProcessing": _processing,
    "InvoiceExpired": _expired,
    "InvoiceExpiredPaidPartial": _expired_partly,
    "InvoicePaidAfterExpiration": _paid_late,
    "InvoiceSettled": _settled,
    "InvoiceInvalid": _invalid,
    "InvoiceRefund": _refunded,
}
