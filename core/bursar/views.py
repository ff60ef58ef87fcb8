"""An order as an integrator, a merchant or a buyer sees it; the JSON of every face is written here and nowhere else."""

from collections.abc import Sequence
from typing import Any

import attrs

from bursar.lifecycle import REMEDIES, OrderStatus, Review, order_state, refundable, standings
from bursar.money import Money
from bursar.orders import Checkout, Instruction, Payment
from bursar.policy import Policy
from bursar.refunds import Refund, RefundStatus, refund_paid, refund_status
from bursar.standing import PaymentStatus, Standing
from bursar.work import Kept, Transition

__all__ = ["OrderView", "PaymentView", "RefundView", "explain_policy", "history_document"]


@attrs.frozen
class PaymentView:
    """Show one payment: where it stands, and how the buyer pays."""

    number: int
    account: str
    status: PaymentStatus
    amount: Money
    billed: Money
    received: Money
    checkout: Checkout
    expires_at: int | None
    payment_id: str | None
    method: str
    kept: Payment = attrs.field(repr=False)

    @classmethod
    def of(cls, payment: Payment, standing: Standing) -> "PaymentView":
        """Make the view of *payment* that stands as *standing* says."""
        return cls(
            number=payment.number,
            account=payment.account,
            status=standing.status,
            amount=payment.terms.worth,
            billed=payment.terms.billed,
            received=standing.received,
            checkout=payment.checkout,
            expires_at=payment.terms.expires_at,
            payment_id=payment.payment_id,
            method=payment.method,
            kept=payment,
        )

    def document(self, *, merchant: bool) -> dict[str, Any]:
        """Return the JSON of this payment; a buyer sees neither account, policy nor problems."""
        shown: dict[str, Any] = {
            "number": self.number,
            "status": self.status.value,
            "amount": _money(self.amount),
            "billed": _money(self.billed),
            "received": _money(self.received),
            "expires_at": self.expires_at,
            "method": self.method,
            "checkout": {
                "url": self.checkout.url,
                "script": self.checkout.script,
                "instructions": [_instruction(i) for i in self.checkout.instructions],
            },
        }
        if merchant:
            rate = self.kept.terms.rate
            shown |= {
                "account": self.account,
                "payment_id": self.payment_id,
                "problem": self.kept.problem,
                "policy": explain_policy(self.kept.terms.policy),
                "rate": None
                if rate is None
                else {
                    "source": rate.source,
                    "sold": rate.sold,
                    "bought": rate.bought,
                    "value": f"{rate.value:f}",
                    "at": rate.at,
                },
            }
        return shown


@attrs.frozen
class RefundView:
    """Show one refund."""

    number: int
    payment: int
    amount: Money
    status: RefundStatus
    paid: Money
    links: tuple[str, ...] = attrs.field(repr=False)
    manual: bool
    kept: Refund = attrs.field(repr=False)

    @classmethod
    def of(cls, refund: Refund) -> "RefundView":
        """Make the view of *refund*."""
        return cls(
            number=refund.number,
            payment=refund.payment,
            amount=refund.amount,
            status=refund_status(refund),
            paid=refund_paid(refund),
            links=tuple(sorted(refund.facts.links)),
            manual=refund.manual,
            kept=refund,
        )

    def document(self, *, merchant: bool) -> dict[str, Any]:
        """Return the JSON of this refund. Who has the claim link can claim the money: the buyer is meant to."""
        shown: dict[str, Any] = {
            "number": self.number,
            "amount": _money(self.amount),
            "status": self.status.value,
            "paid": _money(self.paid),
            "links": list(self.links),
        }
        if merchant:
            shown |= {
                "payment": self.payment,
                "manual": self.manual,
                "origin": self.kept.origin.value,
                "operation": self.kept.operation,
                "refund_id": self.kept.refund_id,
                "transactions": sorted(self.kept.facts.transactions),
                "reason": self.kept.reason,
                "who": self.kept.who,
                "problem": self.kept.problem,
                "created_at": self.kept.created_at,
            }
        return shown


@attrs.frozen
class OrderView:
    """Show one order as it stands: what an integrator gets from every call."""

    key: str
    reference: str
    shop: str
    status: OrderStatus
    amount: Money
    received: Money
    credited: Money
    surplus: Money
    shortfall: Money
    refunded: Money
    flags: tuple[str, ...]
    reviews: tuple[Review, ...]
    payments: tuple[PaymentView, ...]
    refunds: tuple[RefundView, ...]
    number: int
    changed_at: int
    checkout_url: str = attrs.field(repr=False)
    kept: Kept = attrs.field(repr=False)

    @classmethod
    def of(cls, kept: Kept, *, public_url: str) -> "OrderView":
        """Make the view of an order as it is *kept*; *public_url* is where our checkout page is reached."""
        dossier, state = kept.dossier, order_state(kept.dossier)
        order = dossier.order
        stands = standings(dossier)
        return cls(
            key=order.key,
            reference=order.reference,
            shop=order.shop,
            status=state.status,
            amount=order.amount,
            received=state.received,
            credited=state.credited,
            surplus=state.surplus,
            shortfall=state.shortfall,
            refunded=state.refunded,
            flags=state.flags,
            reviews=state.reviews,
            payments=tuple(PaymentView.of(p, s) for p, s in zip(dossier.payments, stands, strict=True)),
            refunds=tuple(RefundView.of(refund) for refund in dossier.refunds),
            number=kept.number,
            changed_at=kept.changed_at,
            checkout_url=f"{public_url.rstrip('/')}/pay/{order.key}.{order.token}",
            kept=kept,
        )

    @property
    def needs_review(self) -> bool:
        return bool(self.reviews)

    @property
    def payment(self) -> PaymentView | None:
        """The payment that a buyer looks at: the last one that was opened."""
        opened = [p for p in self.payments if p.payment_id is not None]
        return opened[-1] if opened else None

    def document(self, *, merchant: bool) -> dict[str, Any]:
        """Return the JSON of this order. Amounts are text, exact; times are Unix seconds."""
        order = self.kept.dossier.order
        shown: dict[str, Any] = {
            "key": self.key,
            "reference": self.reference,
            "status": self.status.value,
            "amount": _money(self.amount),
            "received": _money(self.received),
            "credited": _money(self.credited),
            "surplus": _money(self.surplus),
            "shortfall": _money(self.shortfall),
            "refunded": _money(self.refunded),
            "flags": list(self.flags),
            "description": order.description,
            "return_url": order.return_url,
            "number": self.number,
            "created_at": order.created_at,
            "changed_at": self.changed_at,
            "payments": [payment.document(merchant=merchant) for payment in self.payments],
            "refunds": [refund.document(merchant=merchant) for refund in self.refunds],
        }
        if merchant:
            shown |= {
                "shop": self.shop,
                "checkout_url": self.checkout_url,
                "needs_review": self.needs_review,
                "reviews": [_review(review) for review in self.reviews],
                "refundable": {
                    str(p.number): _money(refundable(self.kept.dossier, p.number)) for p in self.payments
                },
                "acts": [attrs.asdict(act) | {"kind": act.kind.value} for act in self.kept.dossier.acts],
                "shop_told": self.kept.delivered,
                "shop_problem": self.kept.problem,
            }
        return shown


def history_document(history: Sequence[Transition]) -> list[dict[str, Any]]:
    """Return the JSON of an order's history, oldest first."""
    return [
        {
            "number": t.number,
            "at": t.at,
            "before": t.before.value if t.before else None,
            "after": t.after.value,
            "flags": list(t.state.flags),
            "reviews": [review.key for review in t.state.reviews],
            "received": _money(t.state.received),
            "refunded": _money(t.state.refunded),
            "cause": t.cause,
        }
        for t in history
    ]


def explain_policy(policy: Policy) -> dict[str, str]:
    """Say in words what counts as paid under *policy*."""
    seen = policy.seen_enough_below
    short = [f"{policy.tolerance_percent:f} %"] if policy.tolerance_percent else []
    short += [str(policy.tolerance)] if policy.tolerance else []
    return {
        "confirmed": f"a payment below {seen} counts once it is seen, others once confirmed"
        if seen
        else "confirmed",
        "short": f"up to {' or '.join(short)} may be missing" if short else "nothing may be missing",
        "late": f"late money: {policy.late.value}, {policy.late_grace} s of grace",
        "surplus": f"surplus: {policy.surplus.value}",
        "by_hand": "a mark by hand at the provider counts"
        if policy.accept_marked_by_hand
        else "a mark by hand is reviewed",
    }


def _money(money: Money) -> dict[str, str]:
    return {"amount": money.plain, "currency": money.asset.code}


def _instruction(instruction: Instruction) -> dict[str, Any]:
    return {
        "method": instruction.method,
        "amount": _money(instruction.amount),
        "address": instruction.address,
        "uri": instruction.uri,
    }


def _review(review: Review) -> dict[str, Any]:
    return {
        "key": review.key,
        "reason": review.reason.value,
        "payment": review.payment,
        "refund": review.refund,
        "amount": _money(review.amount) if review.amount is not None else None,
        "remedies": list(REMEDIES[review.reason]),
    }
