"""Every change that can happen to money going back, as pure functions of the order's dossier.

The same rules as in `bursar.changes`, which offers these too: what one refuses is refused whatever else happens at the
same moment, and a change that has happened already changes nothing.
"""

import attrs

from bursar.errors import BadInput, Refused
from bursar.facts import Said
from bursar.lifecycle import refundable
from bursar.money import Money
from bursar.orders import Dossier
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

__all__ = [
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


def refund_observed(dossier: Dossier, account: str, seen: RefundObservation) -> Dossier:
    """Join what was *seen* at *account* into the refund that it names; without one, change nothing."""
    for refund in dossier.refunds:
        if refund.refund_id == seen.refund_id and _account(dossier, refund) == account:
            return dossier.with_refund(attrs.evolve(refund, facts=refund.facts.join(seen.facts)))
    return dossier


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
    if billed.minor <= 0:
        raise BadInput(f"{amount} is less than the smallest amount of {billed.asset} that can be sent back")
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
    if refund.refund_id not in (None, seen.refund_id):
        # A second one there, from the same intent: money that must be followed too.
        return refund_adopted(dossier, refund.payment, seen, at=refund.created_at)
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
        return refund_observed(dossier, dossier.payment(payment).account, seen)
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
    fresh = seen.operation and all(r.operation != seen.operation for r in dossier.refunds)
    return dossier.with_refund(
        Refund(
            number=number,
            payment=payment,
            amount=amount,
            billed=billed,
            operation=seen.operation if fresh else f"found-{seen.refund_id}",
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
