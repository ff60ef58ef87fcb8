"""Every change that can happen to an order, as pure functions of its dossier.

The durable step applies them to the latest dossier, under the order's lock; so what one refuses (`Refused`) is refused
whatever else happens at the same moment. A change that has happened already changes nothing.
"""

import attrs

from bursar.errors import Refused
from bursar.facts import Facts, Flag, Observation, Word, polled_facts
from bursar.habits import Habits
from bursar.lifecycle import OrderStatus, order_state
from bursar.orders import Act, ActKind, Dossier, Opened, Payment, Seen, Terms
from bursar.refundchanges import (
    refund_adopted,
    refund_made,
    refund_observed,
    refund_recorded,
    refund_refused,
    refund_requested,
    refund_sent,
    refund_unknown,
    refund_unsent,
    refund_withdrawn,
)
from bursar.refunds import Sending
from bursar.standing import read_word

__all__ = [
    "acted",
    "cancel_sent",
    "cancel_wanted",
    "observed",
    "payment_adopted",
    "payment_intended",
    "payment_opened",
    "payment_refused",
    "payment_unknown",
    "polled",
    "refund_adopted",
    "refund_made",
    "refund_observed",
    "refund_recorded",
    "refund_refused",
    "refund_requested",
    "refund_sent",
    "refund_unknown",
    "refund_unsent",
    "refund_withdrawn",
]


def observed(dossier: Dossier, account: str, seen: Seen) -> Dossier:
    """Join what was *seen* at *account* into the payment or refund that it names; without one, change nothing."""
    if isinstance(seen, Observation):
        for payment in dossier.payments:
            if payment.account == account and payment.payment_id == seen.payment_id:
                return dossier.with_payment(attrs.evolve(payment, facts=payment.facts.join(seen.facts)))
        return dossier
    return refund_observed(dossier, account, seen)


def polled(dossier: Dossier, number: int, seen: Observation, *, at: int, habits: Habits) -> Dossier:
    """Join the answer to a poll made *at* our time, and note that the window has lapsed where it has."""
    payment = dossier.payment(number)
    facts = payment.facts.join(polled_facts(seen.facts))
    closes = payment.terms.expires_at
    if (
        closes is not None
        and at >= closes + habits.expiry_grace
        and read_word(facts.verdict) in (Word.NEW, Word.PARTIAL)
    ):
        facts = facts.join(Facts(flags=frozenset({Flag.LAPSED})))
    return dossier.with_payment(
        attrs.evolve(payment, facts=facts, polled_at=max(payment.polled_at, at), polls=payment.polls + 1)
    )


def payment_intended(
    dossier: Dossier, *, account: str, attempt: str, terms: Terms, at: int, method: str = ""
) -> Dossier:
    """Keep the intent to open a payment, before the request leaves. Refuse for an order that needs none."""
    status = order_state(dossier).status
    if status not in _PAYABLE:
        raise Refused(
            f"order {dossier.order.reference!r} is {status.value}: no further payment can be started for it"
        )
    number = len(dossier.payments) + 1
    return dossier.with_payment(
        Payment(
            number,
            terms,
            account=account,
            attempt=attempt,
            sending=Sending.SENT,
            method=method,
            created_at=at,
            sent_at=at,
        )
    )


_PAYABLE = frozenset(
    {
        OrderStatus.AWAITING_PAYMENT,
        OrderStatus.PARTIALLY_PAID,
        OrderStatus.PROCESSING,
        OrderStatus.EXPIRED,
        OrderStatus.FAILED,
    }
)


def payment_opened(dossier: Dossier, number: int, opened: Opened) -> Dossier:
    """Keep what the provider opened. A payment that is open already stays; a second one there is followed beside it."""
    payment = dossier.payment(number)
    if payment.payment_id is not None:
        at = payment.created_at
        return payment_adopted(dossier, account=payment.account, terms=payment.terms, opened=opened, at=at)
    facts = payment.facts.join(Facts(billed=frozenset({opened.billed} if opened.billed is not None else ())))
    if opened.seen is not None:
        facts = facts.join(polled_facts(opened.seen.facts))
    return dossier.with_payment(
        attrs.evolve(
            payment,
            payment_id=opened.payment_id,
            sending=Sending.DONE,
            checkout=opened.checkout,
            terms=attrs.evolve(payment.terms, asks=opened.asks, expires_at=opened.expires_at),
            facts=facts,
            problem="",
        )
    )


def payment_adopted(dossier: Dossier, *, account: str, terms: Terms, opened: Opened, at: int) -> Dossier:
    """Follow a payment that exists at the provider already, as if it had been opened from here."""
    if any(p.account == account and p.payment_id == opened.payment_id for p in dossier.payments):
        return dossier
    number = len(dossier.payments) + 1
    payment = Payment(number, terms, account=account, sending=Sending.SENT, created_at=at, sent_at=at)
    return payment_opened(dossier.with_payment(payment), number, opened)


def payment_refused(dossier: Dossier, number: int, problem: str) -> Dossier:
    """Note that the payment is known not to exist at the provider."""
    payment = dossier.payment(number)
    if payment.payment_id is not None:
        return dossier
    return dossier.with_payment(attrs.evolve(payment, sending=Sending.REFUSED, problem=problem))


def payment_unknown(dossier: Dossier, number: int, problem: str) -> Dossier:
    """List a payment of unknown outcome for a person, because the provider cannot be asked about it."""
    payment = dossier.payment(number)
    if payment.payment_id is not None:
        return dossier
    return dossier.with_payment(attrs.evolve(payment, problem=problem))


def acted(dossier: Dossier, act: Act) -> Dossier:
    """Record what the merchant did; refuse what makes no sense as things stand. Of two opposite acts the later holds."""
    state = order_state(dossier)
    holds = {ActKind.ACCEPT: dossier.accepted, ActKind.CANCEL: dossier.cancelled}
    holds[ActKind.FULFIL] = any(a.kind is ActKind.FULFIL for a in dossier.acts)
    name = f"order {dossier.order.reference!r}"
    match act.kind:
        case ActKind.RESOLVE:
            if any(a.kind is ActKind.RESOLVE and a.subject == act.subject for a in dossier.acts):
                return dossier
            if act.subject not in {review.key for review in state.reviews}:
                raise Refused(f"{name} has no open review {act.subject!r}")
        case kind if holds[kind]:
            return dossier
        case ActKind.FULFIL if state.status is not OrderStatus.PAID:
            raise Refused(f"{name} is {state.status.value}; only a paid order can be fulfilled")
        case ActKind.CANCEL if state.status in _PAID:
            raise Refused(f"{name} is {state.status.value}; refund it instead of cancelling it")
        case ActKind.ACCEPT if not state.received and not state.reviews:
            raise Refused(f"{name} has nothing to accept: no money was seen for it")
        case _:
            pass
    return dossier.with_act(act)


_PAID = frozenset(
    {OrderStatus.PAID, OrderStatus.FULFILLED, OrderStatus.PARTIALLY_REFUNDED, OrderStatus.REFUNDED}
)


def cancel_wanted(dossier: Dossier, accounts: frozenset[str]) -> Dossier:
    """Mark the payments at *accounts* (those that can cancel) to be cancelled there, where no money was seen."""
    for payment in dossier.payments:
        credited = payment.facts.credited
        seen = payment.facts.transfers or (credited is not None and any(credited.ever))
        if payment.account in accounts and payment.payment_id and payment.cancelling is None and not seen:
            dossier = dossier.with_payment(attrs.evolve(payment, cancelling=Sending.INTENDED))
    return dossier


def cancel_sent(dossier: Dossier, number: int, *, outcome: Sending, problem: str = "") -> Dossier:
    """Note how cancelling a payment at its provider went; one of unknown outcome is simply sent again."""
    return dossier.with_payment(
        attrs.evolve(dossier.payment(number), cancelling=outcome, problem=problem)
        if problem
        else attrs.evolve(dossier.payment(number), cancelling=outcome)
    )
