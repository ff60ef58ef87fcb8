"""What the policy itself sends back: late money and surplus that a merchant wants refunded without looking."""

import attrs

from bursar.lifecycle import refundable, standings
from bursar.money import Money
from bursar.orders import Dossier
from bursar.policy import LateMoney, Surplus
from bursar.refunds import RefundOrigin, RefundStatus, refund_status
from bursar.standing import PaymentStatus, Standing

__all__ = ["Wanted", "wanted_refunds"]


@attrs.frozen
class Wanted:
    """Ask for a refund of *amount* (in the order's currency) of *payment*; *operation* is the same at every asking."""

    payment: int
    amount: Money
    reason: str
    operation: str


def wanted_refunds(dossier: Dossier) -> tuple[Wanted, ...]:
    """Return the refunds that the policy asks for and that are not yet kept.

    Only money that is final is sent back. A refund of the policy that failed or was cancelled is not asked for again:
    it is a person's then.
    """
    if not any(
        p.terms.policy.surplus is Surplus.REFUND or p.terms.policy.late is LateMoney.REFUND
        for p in dossier.payments
    ):
        return ()
    found: list[Wanted] = []
    stands = standings(dossier)
    tried = {
        r.payment
        for r in dossier.refunds
        if r.origin is RefundOrigin.POLICY and refund_status(r) in _GIVEN_UP
    }
    nothing = Money.zero(dossier.order.amount.asset)
    counted = nothing
    for s in stands:
        left = refundable(dossier, s.number)
        if s.counts:
            over = max(nothing, counted + s.received - dossier.order.amount)
            counted += s.received
            already = sum(
                (
                    r.amount
                    for r in dossier.refunds
                    if r.payment == s.number and refund_status(r) is not RefundStatus.FAILED
                ),
                nothing,
            )
            amount = min(left, max(nothing, over - already))
            if (
                amount
                and s.policy.surplus is Surplus.REFUND
                and s.status is PaymentStatus.SETTLED
                and _is_final(s)
                and s.number not in tried
            ):
                found.append(_wanted(dossier, s.number, amount, "surplus"))
        elif (
            s.status is PaymentStatus.HELD
            and s.late
            and s.policy.late is LateMoney.REFUND
            and _is_final(s)
            and left
            and s.number not in tried
        ):
            found.append(_wanted(dossier, s.number, left, "late"))
    return tuple(found)


def _is_final(standing: Standing) -> bool:
    return standing.confirmed is not None and standing.confirmed >= standing.received


_GIVEN_UP = frozenset({RefundStatus.FAILED, RefundStatus.CANCELLED})


def _wanted(dossier: Dossier, payment: int, amount: Money, reason: str) -> Wanted:
    number = 1 + sum(1 for r in dossier.refunds if r.payment == payment and r.origin is RefundOrigin.POLICY)
    return Wanted(payment, amount, reason, f"{reason}-{dossier.order.key}-{payment}-{number}")
