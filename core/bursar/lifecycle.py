"""What the facts mean: the status of a payment and of an order, as pure functions.

All rules about status live in this file, and nothing here knows where a fact came from. A status is computed, never
set. `TRANSITIONS` lists every change of an order's status that can happen in one step; a test walks every reachable
set of facts and holds the table to it, in both directions, and the diagram in `docs/lifecycle.md` is drawn from it.
"""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

import attrs

from bursar.facts import Flag
from bursar.money import Money
from bursar.orders import ActKind, Dossier, Order, Payment
from bursar.policy import Surplus
from bursar.refunds import (
    Refund,
    RefundOrigin,
    RefundStatus,
    Sending,
    refund_paid,
    refund_status,
    refund_under_way,
)
from bursar.remembering import remembered
from bursar.reviews import REMEDIES, Reason, Review
from bursar.standing import PaymentStatus, Standing, read_standing

__all__ = [
    "REMEDIES",
    "TRANSITIONS",
    "OrderState",
    "OrderStatus",
    "Reason",
    "Review",
    "diagram",
    "order_state",
    "refundable",
    "standings",
]


class OrderStatus(Enum):
    """Say where an order stands."""

    AWAITING_PAYMENT = "awaiting_payment"
    PROCESSING = "processing"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    FULFILLED = "fulfilled"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


@attrs.frozen
class OrderState:
    """Hold all that follows from an order's facts. All amounts are in the order's currency.

    *received* is all money that is known to have arrived, confirmed or not; *credited* what the order is credited with,
    *surplus* what arrived above it, *shortfall* what is credited although it did not arrive (a tolerance, a mark by
    hand): received = credited + surplus - shortfall. *refunded* went back, *under_way* may still go back. *refunds* says in short how far each has come, so that a change of it is
    a change of the order.
    """

    status: OrderStatus
    flags: tuple[str, ...]
    reviews: tuple[Review, ...]
    received: Money
    credited: Money
    surplus: Money
    shortfall: Money
    refunded: Money
    under_way: Money
    refunds: tuple[str, ...] = ()

    @property
    def needs_review(self) -> bool:
        return bool(self.reviews)


S = OrderStatus

_ANY_UNPAID: Final = frozenset({S.AWAITING_PAYMENT, S.PROCESSING, S.PARTIALLY_PAID, S.EXPIRED, S.FAILED})
_GONE_BACK: Final = frozenset({S.PARTIALLY_REFUNDED, S.REFUNDED})
# FULFILLED at once: the merchant had fulfilled the order before its money was taken back, and now it is there again.
_FROM_UNPAID: Final = _ANY_UNPAID | _GONE_BACK | {S.PAID, S.FULFILLED, S.CANCELLED}

TRANSITIONS: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    S.AWAITING_PAYMENT: _FROM_UNPAID - {S.AWAITING_PAYMENT},
    S.PROCESSING: _FROM_UNPAID - {S.PROCESSING},
    S.PARTIALLY_PAID: _FROM_UNPAID - {S.PARTIALLY_PAID},
    # Coins that arrive late still belong to the buyer's order.
    S.EXPIRED: _FROM_UNPAID - {S.EXPIRED},
    S.FAILED: _FROM_UNPAID - {S.FAILED},
    # Back to unpaid only where the provider takes its word or the money back, or says that it came late or was less.
    S.PAID: _ANY_UNPAID | _GONE_BACK | {S.FULFILLED},
    S.FULFILLED: _ANY_UNPAID | _GONE_BACK,
    # Out of it only by accepting the order after all, or by money that goes back.
    S.CANCELLED: _ANY_UNPAID | _GONE_BACK | {S.PAID, S.FULFILLED},
    # Out of these only by money that arrives beside what went back, enough for the whole order.
    S.PARTIALLY_REFUNDED: frozenset({S.PAID, S.FULFILLED, S.CANCELLED, S.REFUNDED}),
    S.REFUNDED: frozenset({S.PAID, S.FULFILLED, S.CANCELLED, S.PARTIALLY_REFUNDED}),
}

_PENDING: Final = frozenset({PaymentStatus.PROCESSING, PaymentStatus.HELD, PaymentStatus.TIE})
_ENDED: Final = {PaymentStatus.EXPIRED: S.EXPIRED, PaymentStatus.FAILED: S.FAILED}


def standings(dossier: Dossier) -> tuple[Standing, ...]:
    """Return where each payment of the order stands, in order of number."""
    return tuple(read_standing(payment, accept=dossier.accepted) for payment in dossier.payments)


def refundable(dossier: Dossier, payment: int) -> Money:
    """Return what of *payment* can still go back: received, less refunded, less under way, never below nothing.

    Neither can all payments together give back more than the order received.
    """
    stands = standings(dossier)
    nothing = Money.zero(dossier.order.amount.asset)
    received = sum((s.received for s in stands), nothing)
    own = sum((s.received for s in stands if s.number == payment), nothing)
    gone = sum((_out(r) for r in dossier.refunds), nothing)
    own_gone = sum((_out(r) for r in dossier.refunds if r.payment == payment), nothing)
    return max(nothing, min(received - gone, own - own_gone))


def _out(refund: Refund) -> Money:
    return refund_paid(refund) + refund_under_way(refund)


@remembered
def order_state(dossier: Dossier) -> OrderState:
    """Return where the order stands, by the facts of its payments, its refunds and the merchant's acts."""
    order, acts = dossier.order, dossier.acts
    resolved = {act.subject for act in acts if act.kind is ActKind.RESOLVE}
    stands = standings(dossier)
    nothing = Money.zero(order.amount.asset)
    received = sum((s.received for s in stands), nothing)
    counts = sum((s.counts for s in stands), nothing)
    refunded = sum((refund_paid(r) for r in dossier.refunds), nothing)
    under_way = sum((refund_under_way(r) for r in dossier.refunds), nothing)
    paid = _is_paid(order, stands, counts, accepted=dossier.accepted)
    credited = order.amount if paid else min(received, order.amount)
    surplus = max(received - order.amount, nothing)
    status = _status(dossier, stands, paid=paid, kept=received - refunded, refunded=refunded)
    return OrderState(
        status=status,
        flags=_flags(dossier, stands, surplus),
        reviews=tuple(r for r in _reviews(dossier, stands, paid=paid) if r.key not in resolved),
        received=received,
        credited=credited,
        surplus=surplus,
        shortfall=credited + surplus - received,
        refunded=refunded,
        under_way=under_way,
        refunds=tuple(f"{r.number} {refund_status(r).value} {len(r.facts.links)}" for r in dossier.refunds),
    )


def _status(
    dossier: Dossier, standings: Sequence[Standing], *, paid: bool, kept: Money, refunded: Money
) -> OrderStatus:
    # What goes back of a surplus leaves the order as paid as it was.
    if refunded and not (paid and kept >= dossier.order.amount):
        return S.PARTIALLY_REFUNDED if kept.minor > 0 else S.REFUNDED
    if dossier.cancelled:
        return S.CANCELLED
    if paid:
        return S.FULFILLED if _is_fulfilled(dossier) else S.PAID
    # An attempt that never came to be at the provider says nothing of the order.
    tried = [s for s, payment in zip(standings, dossier.payments, strict=True) if not payment.abandoned]
    if any(s.status in _PENDING for s in tried):
        return S.PROCESSING
    if any(s.status in (PaymentStatus.PARTIAL, PaymentStatus.UNDERPAID) or s.counts for s in tried):
        return S.PARTIALLY_PAID
    ended = [_ENDED[s.status] for s in tried if s.status in _ENDED]
    return ended[-1] if ended and len(ended) == len(tried) else S.AWAITING_PAYMENT


def _is_fulfilled(dossier: Dossier) -> bool:
    return any(act.kind is ActKind.FULFIL for act in dossier.acts)


def _is_paid(order: Order, standings: Sequence[Standing], counts: Money, *, accepted: bool) -> bool:
    counting = [s for s in standings if s.counts or s.status is PaymentStatus.SETTLED]
    if not counting:
        return False
    if accepted:
        return True
    return counts + max(s.policy.allows_short(order.amount) for s in counting) >= order.amount


def _flags(dossier: Dossier, standings: Sequence[Standing], surplus: Money) -> tuple[str, ...]:
    marks = {
        "by_hand": any(s.by_hand for s in standings),
        "fulfilled": _is_fulfilled(dossier),
        "late": any(s.late for s in standings),
        "money_seen": any(s.money_seen for s in standings),
        "overpaid": bool(surplus) or any(s.overpaid for s in standings),
        "reversed": any(s.reversed for s in standings),
        "underpaid": any(s.status is PaymentStatus.UNDERPAID for s in standings),
    }
    return tuple(name for name, holds in marks.items() if holds)


def _reviews(dossier: Dossier, standings: Sequence[Standing], *, paid: bool) -> Iterator[Review]:
    nothing = Money.zero(dossier.order.amount.asset)
    gone = {s.number: nothing for s in standings}
    for refund in dossier.refunds:
        gone[refund.payment] = gone.get(refund.payment, nothing) + _out(refund)
    kept = {s.number: max(nothing, s.received - gone[s.number]) for s in standings}
    yield from _surplus_reviews(dossier.order, [s for s in standings if s.counts], kept)
    for s in standings:
        left = kept[s.number] or None
        if s.status is PaymentStatus.TIE:
            yield Review(Reason.TIE, s.number, left)
        if s.reversed:
            yield Review(Reason.REVERSED, s.number, s.worth)
        if not (s.received and left is None):
            for reason in _payment_reasons(dossier, s, paid=paid):
                yield Review(reason, s.number, left)
    out = sum((_out(r) for r in dossier.refunds), nothing)
    received = sum((s.received for s in standings), nothing)
    if out > received:
        yield Review(Reason.OVER_REFUNDED, None, out - received)
    for payment, s in zip(dossier.payments, standings, strict=True):
        if _is_lost(payment, s):
            yield Review(Reason.OUTCOME_UNKNOWN, payment.number, payment.terms.worth)
    for refund in dossier.refunds:
        found = _refund_reason(dossier, refund)
        if found is not None:
            yield Review(found, refund.payment, refund.amount, refund.number)


def _surplus_reviews(order: Order, paying: Sequence[Standing], kept: dict[int, Money]) -> Iterator[Review]:
    nothing = Money.zero(order.amount.asset)
    surplus = sum((kept[s.number] for s in paying), nothing) - order.amount
    if surplus > nothing and len(paying) > 1:
        yield Review(Reason.PAID_TWICE, max(s.number for s in paying), surplus)
    elif surplus > nothing and any(s.policy.surplus is not Surplus.CREDIT for s in paying):
        yield Review(Reason.SURPLUS, paying[0].number, surplus)
    for s in paying:
        if s.overpaid and s.received <= s.worth and s.policy.surplus is not Surplus.CREDIT:
            # The provider says that it was too much, and has not said how much.
            yield Review(Reason.SURPLUS, s.number)


def _payment_reasons(dossier: Dossier, s: Standing, *, paid: bool) -> Iterator[Reason]:
    if s.mismatch and not dossier.accepted:
        yield Reason.MISMATCH
    if s.status is PaymentStatus.FAILED and s.money_seen and not dossier.accepted and not dossier.cancelled:
        yield Reason.MONEY_ON_FAILED
    if s.status is PaymentStatus.UNDERPAID and not (paid and s.counts) and not dossier.accepted:
        yield Reason.UNDERPAID
    if s.status is PaymentStatus.HELD and s.late:
        yield Reason.PAID_LATE
    if s.status is PaymentStatus.HELD and s.by_hand:
        yield Reason.MARKED_BY_HAND
    if dossier.cancelled and (s.money_seen or s.counts):
        yield Reason.PAID_AFTER_CANCEL


def _is_lost(payment: Payment, standing: Standing) -> bool:
    """Tell whether nothing that we do by ourselves will ever say how the payment stands."""
    if payment.payment_id is None:
        return bool(payment.problem) and payment.sending is not Sending.REFUSED
    return Flag.GONE in payment.facts.flags and standing.status in (
        PaymentStatus.PROCESSING,
        PaymentStatus.TIE,
    )


def _refund_reason(dossier: Dossier, refund: Refund) -> Reason | None:
    match refund_status(refund):
        case RefundStatus.UNKNOWN if refund.problem:
            return Reason.OUTCOME_UNKNOWN
        case RefundStatus.WAITING_FOR_PERSON:
            return Reason.REFUND_BY_HAND
        case RefundStatus.FAILED if refund.origin is not RefundOrigin.PROVIDER:
            # A later one of as much has taken its place.
            again = (r for r in dossier.refunds if r.number > refund.number and r.payment == refund.payment)
            done = any(
                r.amount >= refund.amount and refund_status(r) is not RefundStatus.FAILED for r in again
            )
            return None if done else Reason.REFUND_FAILED
        case _:
            return None


def diagram() -> str:
    """Draw the transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> awaiting_payment"]
    for status in OrderStatus:
        lines += [
            f"    {status.value} --> {after.value}" for after in OrderStatus if after in TRANSITIONS[status]
        ]
    return "\n".join(lines) + "\n"
