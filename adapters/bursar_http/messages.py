"""What the shop is told: the order as it stands, as one JSON document. Amounts are text, exact; times are Unix seconds."""

import json
from typing import Any

from bursar.adapters import Standpoint
from bursar.lifecycle import Review
from bursar.money import Money
from bursar.orders import Order
from bursar.refunds import Refund, refund_paid, refund_status

__all__ = ["message_id", "order_changed", "ping", "write"]


def message_id(order: Order, number: int) -> str:
    """Name the message, the same at every repetition, so that a receiver can drop what it has had."""
    return f"msg_{order.key.replace('-', '')}_{number}"


def order_changed(standpoint: Standpoint) -> dict[str, Any]:
    """Tell all that a shop needs to act: a receiver keeps the highest *number* it has seen and ignores lower ones."""
    order, state = standpoint.order, standpoint.state
    return {
        "type": "order.changed",
        "number": standpoint.number,
        "at": standpoint.at,
        "order": {
            "key": order.key,
            "shop": order.shop,
            "reference": order.reference,
            "status": state.status.value,
            "flags": list(state.flags),
            "reviews": [_review(review) for review in state.reviews],
            "currency": order.amount.asset.code,
            "amount": order.amount.plain,
            "received": state.received.plain,
            "credited": state.credited.plain,
            "surplus": state.surplus.plain,
            "shortfall": state.shortfall.plain,
            "refunded": state.refunded.plain,
            "refund_under_way": state.under_way.plain,
            "refunds": [_refund(refund) for refund in standpoint.refunds],
            "payment_ids": list(standpoint.payment_ids),
        },
    }


def ping(now: int) -> dict[str, Any]:
    """Ask for nothing but a 2xx."""
    return {"type": "ping", "at": now}


def write(document: dict[str, Any]) -> bytes:
    """Write *document* as it is signed and sent."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _review(review: Review) -> dict[str, Any]:
    return {
        "key": review.key,
        "reason": review.reason.value,
        "payment": review.payment,
        "refund": review.refund,
        "amount": _maybe(review.amount),
    }


def _refund(refund: Refund) -> dict[str, Any]:
    return {
        "number": refund.number,
        "payment": refund.payment,
        "status": refund_status(refund).value,
        "amount": refund.amount.plain,
        "paid": refund_paid(refund).plain,
        "links": sorted(refund.facts.links),
        "transactions": sorted(refund.facts.transactions),
        "reason": refund.reason,
    }


def _maybe(money: Money | None) -> str | None:
    return None if money is None else money.plain
