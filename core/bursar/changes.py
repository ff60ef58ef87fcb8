"""Every change that can happen to an order, as pure functions of its dossier.

The durable step applies them to the latest dossier, under the order's lock; so what one refuses (`Refused`) is refused
whatever else happens at the same moment. A change that has happened already changes nothing.
"""

import attrs

from bursar.errors import BadInput, Refused
from bursar.facts import Facts, Flag, Observation, Said, Word
from bursar.habits import Habits
from bursar.lifecycle import OrderStatus, order_state, refundable
from bursar.money import Money
from bursar.orders import Act, ActKind, Dossier, Opened, Payment, Seen, Terms
from bursar.refunds import (
    Refund,
    RefundFacts,
    RefundObservation,
    RefundOrigin,
    RefundStatus,
    RefundWord,
    Sending,
    refund_status,
)
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
    for refund in dossier.refunds:
        if refund.refund_id == seen.refund_id and _account(dossier, refund) == account:
            return dossier.with_refund(attrs.evolve(refund, facts=refund.facts.join(seen.facts)))
    return dossier


def polled(dossier: Dossier, number: int, seen: Observation, *, at: int, habits: Habits) -> Dossier:
    """Join the answer to a poll made *at* our time, and note that the window has lapsed where it has."""
    payment = dossier.payment(number)
    facts = payment.facts.join(seen.facts)
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
    """Keep what the provider opened. A payment that is open already stays as it is."""
    payment = dossier.payment(number)
    if payment.payment_id is not None:
        return dossier
    facts = payment.facts.join(Facts(billed=frozenset({opened.billed} if opened.billed is not None else ())))
    if opened.seen is not None:
        facts = facts.join(opened.seen.facts)
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
    """Record what the merchant did; refuse what makes no sense as things stand."""
    state = order_state(dossier)
    done = {a.kind for a in dossier.acts}
    name = f"order {dossier.order.reference!r}"
    match act.kind:
        case ActKind.RESOLVE:
            if any(a.kind is ActKind.RESOLVE and a.subject == act.subject for a in dossier.acts):
                return dossier
            if act.subject not in {review.key for review in state.reviews}:
                raise Refused(f"{name} has no open review {act.subject!r}")
        case kind if kind in done:
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


def refund_requested(
    dossier: Dossier,
    *,
    payment: int,
    amount: Money,
    operation: str,
    at: int,
    origin: RefundOrigin = RefundOrigin.MERCHANT,
    manual: bool = False,
    reason: str = "",
    who: str = "",
) -> Dossier:
    """Keep a refund, before anything leaves. Never more than was received less what went or is going back: `Refused`.

    Asking again with the same *operation* changes nothing.
    """
    if any(r.operation == operation for r in dossier.refunds):
        return dossier
    source = dossier.payment(payment)
    left = refundable(dossier, payment)
    if amount.minor <= 0:
        raise BadInput(f"a refund is of more than nothing, not {amount}")
    if amount > left:
        raise Refused(
            f"{amount} is more than can go back: {left} is left of payment {payment} of order "
            f"{dossier.order.reference!r}, counting refunds that are under way"
        )
    terms = source.terms
    billed = amount if terms.billed.asset == amount.asset else terms.billed.share(amount, terms.worth)
    refund = Refund(
        number=max((r.number for r in dossier.refunds), default=0) + 1,
        payment=payment,
        amount=amount,
        billed=billed,
        operation=operation,
        origin=origin,
        manual=manual,
        reason=reason,
        who=who,
        created_at=at,
    )
    return dossier.with_refund(refund)


def refund_sent(dossier: Dossier, number: int, *, at: int) -> Dossier:
    """Note that the request is about to leave. From here on its outcome is unknown until an answer is kept."""
    refund = dossier.refund(number)
    if refund_status(refund) is not RefundStatus.REQUESTED:
        raise Refused(
            f"refund {number} of order {dossier.order.reference!r} is {refund_status(refund).value}: it is not sent again"
        )
    return dossier.with_refund(attrs.evolve(refund, sending=Sending.SENT, sent_at=at))


def refund_unsent(dossier: Dossier, number: int) -> Dossier:
    """Note that the request is known not to have left, so that it may be sent again."""
    refund = dossier.refund(number)
    if refund.sending is not Sending.SENT or refund.refund_id is not None:
        return dossier
    return dossier.with_refund(attrs.evolve(refund, sending=Sending.INTENDED, sent_at=0))


def refund_made(dossier: Dossier, number: int, seen: RefundObservation) -> Dossier:
    """Keep the provider's refund as this one. One found there before, under the same id, was this one all along."""
    refund = dossier.refund(number)
    twin = next((r for r in dossier.refunds if r.refund_id == seen.refund_id and r.number != number), None)
    facts = refund.facts.join(seen.facts)
    if twin is not None:
        if twin.origin is not RefundOrigin.PROVIDER:
            raise Refused(
                f"refund {seen.refund_id} at the provider is refund {twin.number} of this order already"
            )
        facts = facts.join(twin.facts)
        others = tuple(r for r in dossier.refunds if r.number != twin.number)
        dossier = attrs.evolve(dossier, refunds=others)
    made = attrs.evolve(refund, refund_id=seen.refund_id, sending=Sending.DONE, facts=facts, problem="")
    return dossier.with_refund(made)


def refund_refused(dossier: Dossier, number: int, problem: str) -> Dossier:
    """Note that the provider refused the refund, or never had it: no money moved."""
    refund = dossier.refund(number)
    if refund.refund_id is not None:
        return dossier
    return dossier.with_refund(attrs.evolve(refund, sending=Sending.REFUSED, problem=problem))


def refund_withdrawn(dossier: Dossier, number: int, *, at: int) -> Dossier:
    """Take back a refund that was not sent yet; refuse one that was."""
    refund = dossier.refund(number)
    status = refund_status(refund)
    if status is RefundStatus.CANCELLED:
        return dossier
    if status not in (RefundStatus.REQUESTED, RefundStatus.WAITING_FOR_PERSON):
        raise Refused(
            f"refund {number} of order {dossier.order.reference!r} is {status.value}: too late to withdraw it here"
        )
    withdrawn = RefundFacts(verdict=Said[RefundWord].once(RefundWord.WITHDRAWN, at))
    return dossier.with_refund(attrs.evolve(refund, facts=refund.facts.join(withdrawn)))


def refund_unknown(dossier: Dossier, number: int, problem: str) -> Dossier:
    """List a refund of unknown outcome for a person, because the provider cannot be asked about it."""
    return dossier.with_refund(attrs.evolve(dossier.refund(number), problem=problem))


def refund_adopted(dossier: Dossier, payment: int, seen: RefundObservation, *, at: int) -> Dossier:
    """Keep a refund that was found at the provider: ours of unknown outcome by its operation id, else one made by hand."""
    if any(r.refund_id == seen.refund_id for r in dossier.refunds):
        return observed(dossier, dossier.payment(payment).account, seen)
    for refund in dossier.refunds:
        if seen.operation and refund.operation == seen.operation and refund.refund_id is None:
            return refund_made(dossier, refund.number, seen)
    terms = dossier.payment(payment).terms
    asked = max(
        (a for a in seen.facts.asked if a.asset == terms.billed.asset),
        key=lambda money: money.minor,
        default=None,
    )
    foreign = next(iter(sorted(seen.facts.asked, key=str)), None)
    if asked is not None:
        billed, amount = asked, terms.in_order_currency(asked)
    elif foreign is not None and (value := terms.value(foreign)) is not None:
        billed, amount = foreign, value
    else:
        billed, amount = foreign or terms.billed, terms.worth
    number = max((r.number for r in dossier.refunds), default=0) + 1
    return dossier.with_refund(
        Refund(
            number=number,
            payment=payment,
            amount=amount,
            billed=billed,
            operation=seen.operation or f"found-{seen.refund_id}",
            origin=RefundOrigin.PROVIDER,
            sending=Sending.DONE,
            refund_id=seen.refund_id,
            facts=seen.facts,
            created_at=at,
        )
    )


def refund_recorded(dossier: Dossier, number: int, *, transaction: str, at: int) -> Dossier:
    """Record that a person has sent the money of a manual refund, with the *transaction* by which it can be found."""
    refund = dossier.refund(number)
    if refund_status(refund) is RefundStatus.COMPLETED:
        return dossier
    if not refund.manual:
        raise Refused(
            f"refund {number} is followed at the provider; only a manual refund is recorded by hand"
        )
    facts = RefundFacts(
        verdict=Said[RefundWord].once(RefundWord.DONE, at),
        transactions=frozenset({transaction} - {""}),
        polled_at=at,
    )
    return dossier.with_refund(
        attrs.evolve(refund, facts=refund.facts.join(facts), sending=Sending.DONE, problem="")
    )


def _account(dossier: Dossier, refund: Refund) -> str:
    return next((p.account for p in dossier.payments if p.number == refund.payment), "")
