"""One order on a terminal: what is known of it, why, and what a person can do about it."""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bursar.cli.printing import grid, heading, moment, table
from bursar.lifecycle import REMEDIES, Review
from bursar.orders import Rate
from bursar.views import OrderView, PaymentView, RefundView, explain_policy
from bursar.work import KeptDelivery, Transition

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["cures", "delivery_document", "show_order"]


def show_order(
    to: "Console", order: OrderView, history: Sequence[Transition], deliveries: Sequence[KeptDelivery]
) -> None:
    """Print *order* with everything that is kept of it."""
    kept = order.kept.dossier
    to.print(heading(f"order {order.reference}: {order.status.value}"))
    to.print(
        grid(
            {
                "key": order.key,
                "shop": order.shop,
                "description": kept.order.description,
                "flags": ", ".join(order.flags),
                "amount": str(order.amount),
                "received": str(order.received) if order.received else "",
                "credited": str(order.credited) if order.received or order.credited else "",
                "surplus": str(order.surplus) if order.surplus else "",
                "shortfall": str(order.shortfall) if order.shortfall else "",
                "refunded": str(order.refunded) if order.refunded else "",
                "opened": f"{moment(kept.order.created_at)} UTC",
                "own policy": ", ".join(f"{key} = {value}" for key, value in kept.order.policy),
                "checkout": order.checkout_url,
                "shop told": _told(order),
            }
        )
    )
    if order.reviews:
        to.print(heading("for a person"))
        for review in order.reviews:
            to.print(grid({review.reason.value: _about(review)}))
            to.print(_commands(order, review))
    for payment in order.payments:
        to.print(heading(f"payment {payment.number} at {payment.account}: {payment.status.value}"))
        to.print(grid(_payment(payment)))
    for refund in order.refunds:
        to.print(heading(f"refund {refund.number} of payment {refund.payment}: {refund.status.value}"))
        to.print(grid(_refund(refund)))
    if kept.acts:
        to.print(heading("acts"))
        acts = [(moment(act.at), act.kind.value, act.who, act.why, act.subject) for act in kept.acts]
        to.print(table(("when (UTC)", "what", "who", "why", "about"), acts))
    to.print(heading("history"))
    to.print(table(("", "when (UTC)", "status", "flags", "because"), list(_history(history))))
    if deliveries:
        to.print(heading("webhooks"))
        rows = [(moment(d.received_at), d.account, d.event, d.event_id, str(len(d.body))) for d in deliveries]
        to.print(table(("when (UTC)", "account", "event", "its id", "bytes"), rows))


def cures(order: OrderView, review: Review) -> list[str]:
    """Return the commands by which a person can settle *review*, the usual one first."""
    name = shlex.quote(order.reference if order.shop == "shop" else order.key)
    commands = {
        "accept": f"bursar order accept {name} --why …",
        "refund": _refund_command(name, review),
        "record": f"bursar refund record {name} {review.refund or 'NUMBER'} --transaction …",
        "resolve": f"bursar review resolve {name} {shlex.quote(review.key)} --why …",
        "sync": f"bursar order sync {name}",
        "withdraw": f"bursar refund withdraw {name} {review.refund or 'NUMBER'}",
    }
    return [commands[remedy] for remedy in REMEDIES[review.reason]]


def delivery_document(delivery: KeptDelivery) -> dict[str, Any]:
    """Return the JSON of a kept webhook. Its headers stay in the database: they carry signatures."""
    return {
        "account": delivery.account,
        "event": delivery.event,
        "event_id": delivery.event_id,
        "received_at": delivery.received_at,
        "body": delivery.body.decode("utf-8", "backslashreplace"),
    }


def _refund_command(name: str, review: Review) -> str:
    amount = f" {review.amount.plain}" if review.amount is not None else ""
    payment = f" --payment {review.payment}" if review.payment else ""
    return f"bursar refund {name}{amount}{payment}"


def _commands(order: OrderView, review: Review) -> Any:
    return grid({f"  {number}": command for number, command in enumerate(cures(order, review), 1)})


def _about(review: Review) -> str:
    payment = f"payment {review.payment}" if review.payment else "the order"
    return f"{payment}, {review.amount}" if review.amount is not None else payment


def _told(order: OrderView) -> str:
    if order.kept.problem:
        return f"not yet: {order.kept.problem}"
    return f"change {order.kept.delivered} of {order.number}"


def _payment(payment: PaymentView) -> dict[str, str]:
    terms = payment.kept.terms
    rows = {
        "id": payment.payment_id or "not opened",
        "method": payment.method,
        "worth": str(payment.amount),
        "billed": str(payment.billed) if payment.billed != payment.amount else "",
        "rate": _rate(terms.rate) if terms.rate else "",
        "received": str(payment.received) if payment.received else "",
        "expires": f"{moment(payment.expires_at)} UTC" if payment.expires_at else "",
        "page": payment.checkout.url,
        "problem": payment.kept.problem,
        "policy": "; ".join(explain_policy(terms.policy).values()),
    }
    for instruction in payment.checkout.instructions:
        rows[f"send by {instruction.method}"] = f"{instruction.amount} to {instruction.address}"
    return rows


def _rate(rate: Rate) -> str:
    return f"1 {rate.sold} = {rate.value:f} {rate.bought} ({rate.source}, {moment(rate.at)} UTC)"


def _refund(refund: RefundView) -> dict[str, str]:
    kept = refund.kept
    return {
        "amount": str(refund.amount),
        "billed": str(kept.billed) if kept.billed != refund.amount else "",
        "paid out": str(refund.paid) if refund.paid else "",
        "asked by": f"{kept.who or kept.origin.value}, {moment(kept.created_at)} UTC",
        "reason": kept.reason,
        "id": kept.refund_id or "",
        "the buyer claims it at": "\n".join(refund.links),
        "found as": ", ".join(sorted(kept.facts.transactions)),
        "problem": kept.problem,
    }


def _history(history: Sequence[Transition]) -> Iterator[tuple[str, ...]]:
    for t in history:
        before = f"{t.before.value} → " if t.before and t.before is not t.after else ""
        yield str(t.number), moment(t.at), before + t.after.value, ", ".join(t.state.flags), t.cause
