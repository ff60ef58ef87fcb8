"""What the facts mean: the status of a payment and of an order, as pure functions.

All rules about status live in this file, and nothing here knows where a fact came from. A status is computed, never
set. `TRANSITIONS` lists every change of an order's status that can happen in one step; a test walks every reachable
set of facts and holds the table to it, in both directions, and the diagram in `docs/lifecycle.md` is drawn from it.
"""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

import attrs

from bursar.money import Money
from bursar.orders import ActKind, Dossier, Order
from bursar.policy import Surplus
from bursar.refunds import Refund, Sending, refund_paid, refund_under_way
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


class Reason(Enum):
    """Say why a person should look."""

    PAID_TWICE = "paid_twice"
    SURPLUS = "surplus"
    UNDERPAID = "underpaid"
    PAID_LATE = "paid_late"
    PAID_AFTER_CANCEL = "paid_after_cancel"
    MONEY_ON_FAILED = "money_on_failed"
    MARKED_BY_HAND = "marked_by_hand"
    REVERSED = "reversed"
    MISMATCH = "mismatch"
    TIE = "tie"
    OVER_REFUNDED = "over_refunded"
    OUTCOME_UNKNOWN = "outcome_unknown"


REMEDIES: Final[dict[Reason, tuple[str, ...]]] = {
    Reason.PAID_TWICE: ("refund", "resolve"),
    Reason.SURPLUS: ("refund", "resolve"),
    Reason.UNDERPAID: ("accept", "refund", "resolve"),
    Reason.PAID_LATE: ("accept", "refund", "resolve"),
    Reason.PAID_AFTER_CANCEL: ("refund", "accept", "resolve"),
    Reason.MONEY_ON_FAILED: ("accept", "refund", "resolve"),
    Reason.MARKED_BY_HAND: ("accept", "resolve"),
    Reason.REVERSED: ("resolve",),
    Reason.MISMATCH: ("accept", "refund", "resolve"),
    Reason.TIE: ("sync", "resolve"),
    Reason.OVER_REFUNDED: ("resolve",),
    Reason.OUTCOME_UNKNOWN: ("sync", "resolve"),
}
"""What a person can do about each finding, the usual one first."""


@attrs.frozen(order=False)
class Review:
    """Ask a person to look: why, at which payment, and at how much in the order's currency where that is known."""

    reason: Reason
    payment: int | None = None
    amount: Money | None = None

    @property
    def key(self) -> str:
        """Name this finding, so that it can be resolved; another amount is another finding."""
        return ":".join([self.reason.value, str(self.payment or ""), str(self.amount or "")])


@attrs.frozen
class OrderState:
    """Hold all that follows from an order's facts. All amounts are in the order's currency.

    *received* is all money that is known to have arrived, confirmed or not; *credited* what the order is credited with,
    *surplus* what arrived above it, *shortfall* what is credited although it did not arrive (a tolerance, a mark by
    hand): received = credited + surplus - shortfall. *refunded* went back, *under_way* may still go back.
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

    @property
    def needs_review(self) -> bool:
        return bool(self.reviews)


S = OrderStatus

TRANSITIONS: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    status: frozenset() for status in OrderStatus
}

_PENDING: Final = frozenset({PaymentStatus.PROCESSING, PaymentStatus.HELD, PaymentStatus.TIE})
_ENDED: Final = {PaymentStatus.EXPIRED: S.EXPIRED, PaymentStatus.FAILED: S.FAILED}


def standings(dossier: Dossier) -> tuple[Standing, ...]:
    """Return where each payment of the order stands, in order of number."""
    accept = any(act.kind is ActKind.ACCEPT for act in dossier.acts)
    return tuple(read_standing(payment, accept=accept) for payment in dossier.payments)


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


def order_state(dossier: Dossier) -> OrderState:
    """Return where the order stands, by the facts of its payments, its refunds and the merchant's acts."""
    order, acts = dossier.order, dossier.acts
    done = {act.kind for act in acts}
    resolved = {act.subject for act in acts if act.kind is ActKind.RESOLVE}
    stands = standings(dossier)
    nothing = Money.zero(order.amount.asset)
    received = sum((s.received for s in stands), nothing)
    counts = sum((s.counts for s in stands), nothing)
    refunded = sum((refund_paid(r) for r in dossier.refunds), nothing)
    under_way = sum((refund_under_way(r) for r in dossier.refunds), nothing)
    paid = _is_paid(order, stands, done, counts)
    credited = order.amount if paid else min(received, order.amount)
    surplus = max(received - order.amount, nothing)
    status = _status(stands, done, paid=paid, received=received, refunded=refunded)
    return OrderState(
        status=status,
        flags=_flags(stands, done, surplus),
        reviews=tuple(r for r in _reviews(dossier, stands, done, status) if r.key not in resolved),
        received=received,
        credited=credited,
        surplus=surplus,
        shortfall=credited + surplus - received,
        refunded=refunded,
        under_way=under_way,
    )


def _status(
    standings: Sequence[Standing], done: set[ActKind], *, paid: bool, received: Money, refunded: Money
) -> OrderStatus:
    if refunded:
        return S.REFUNDED if refunded >= received else S.PARTIALLY_REFUNDED
    if ActKind.CANCEL in done and ActKind.ACCEPT not in done:
        return S.CANCELLED
    if paid:
        return S.FULFILLED if ActKind.FULFIL in done else S.PAID
    if any(s.status in _PENDING for s in standings):
        return S.PROCESSING
    if any(s.status in (PaymentStatus.PARTIAL, PaymentStatus.UNDERPAID) or s.counts for s in standings):
        return S.PARTIALLY_PAID
    if not standings or any(s.status is PaymentStatus.WAITING for s in standings):
        return S.AWAITING_PAYMENT
    return _ENDED[max(standings, key=lambda s: s.number).status]


def _is_paid(order: Order, standings: Sequence[Standing], done: set[ActKind], paid: Money) -> bool:
    counting = [s for s in standings if s.counts or s.status is PaymentStatus.SETTLED]
    if not counting:
        return False
    if ActKind.ACCEPT in done:
        return True
    return paid + max(s.policy.allows_short(order.amount) for s in counting) >= order.amount


def _flags(standings: Sequence[Standing], done: set[ActKind], surplus: Money) -> tuple[str, ...]:
    marks = {
        "by_hand": any(s.by_hand for s in standings),
        "fulfilled": ActKind.FULFIL in done,
        "late": any(s.late for s in standings),
        "money_seen": any(s.money_seen for s in standings),
        "overpaid": bool(surplus) or any(s.overpaid for s in standings),
        "reversed": any(s.reversed for s in standings),
        "underpaid": any(s.status is PaymentStatus.UNDERPAID for s in standings),
    }
    return tuple(name for name, holds in marks.items() if holds)


def _reviews(
    dossier: Dossier, standings: Sequence[Standing], done: set[ActKind], status: OrderStatus
) -> Iterator[Review]:
    accepted = ActKind.ACCEPT in done
    nothing = Money.zero(dossier.order.amount.asset)
    gone = {s.number: nothing for s in standings}
    for refund in dossier.refunds:
        gone[refund.payment] = gone.get(refund.payment, nothing) + _out(refund)
    kept = {s.number: max(nothing, s.received - gone[s.number]) for s in standings}
    paying = [s for s in standings if s.counts]
    surplus = sum((kept[s.number] for s in paying), nothing) - dossier.order.amount
    if surplus > nothing and len(paying) > 1:
        yield Review(Reason.PAID_TWICE, max(s.number for s in paying), surplus)
    elif surplus > nothing and any(s.policy.surplus is not Surplus.CREDIT for s in paying):
        yield Review(Reason.SURPLUS, paying[0].number, surplus)
    for s in standings:
        left = kept[s.number] or None
        sent_back = bool(s.received) and left is None
        if s.status is PaymentStatus.TIE:
            yield Review(Reason.TIE, s.number, left)
        if s.reversed:
            yield Review(Reason.REVERSED, s.number, s.worth)
        if sent_back:
            continue
        if s.mismatch and not accepted:
            yield Review(Reason.MISMATCH, s.number, left)
        if s.status is PaymentStatus.FAILED and s.money_seen and not accepted:
            yield Review(Reason.MONEY_ON_FAILED, s.number, left)
        if s.status is PaymentStatus.UNDERPAID and status not in (S.PAID, S.FULFILLED) and not accepted:
            yield Review(Reason.UNDERPAID, s.number, left)
        if s.status is PaymentStatus.HELD and s.late:
            yield Review(Reason.PAID_LATE, s.number, left)
        if s.status is PaymentStatus.HELD and s.by_hand:
            yield Review(Reason.MARKED_BY_HAND, s.number, left)
        if ActKind.CANCEL in done and not accepted and s.money_seen:
            yield Review(Reason.PAID_AFTER_CANCEL, s.number, left)
    out = sum((_out(r) for r in dossier.refunds), nothing)
    received = sum((s.received for s in standings), nothing)
    if out > received:
        yield Review(Reason.OVER_REFUNDED, None, out - received)
    for payment in dossier.payments:
        if payment.problem and payment.sending is Sending.SENT:
            yield Review(Reason.OUTCOME_UNKNOWN, payment.number, payment.terms.worth)
    for refund in dossier.refunds:
        if refund.problem and refund.sending is Sending.SENT and refund.refund_id is None:
            yield Review(Reason.OUTCOME_UNKNOWN, refund.payment, refund.amount)


def diagram() -> str:
    """Draw the transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> awaiting_payment"]
    for status in OrderStatus:
        lines += [
            f"    {status.value} --> {after.value}" for after in OrderStatus if after in TRANSITIONS[status]
        ]
    return "\n".join(lines) + "\n"
