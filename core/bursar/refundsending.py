"""What is asked of a provider about a refund: send it, recover one of unknown outcome, follow it, look one up."""

from bursar.changes import (
    observed,
    refund_adopted,
    refund_made,
    refund_refused,
    refund_sent,
    refund_unknown,
    refund_unsent,
)
from bursar.desk import Account, Desk
from bursar.effects import Carry, Operation, keep, rehearse
from bursar.errors import BadInput, Declined, PluginBroken, Refused, Unavailable
from bursar.habits import Recovery
from bursar.orders import Dossier
from bursar.paying import PATIENCE
from bursar.providers import RefundRequest, Refunds
from bursar.refunds import RefundObservation, RefundStatus, refund_status
from bursar.work import Kept, OnOrder

__all__ = ["adopt_refund", "at_provider", "follow", "recover_refund", "send", "sync_refunds"]


def send(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Send a refund that is kept and not sent yet. Only one sender can win: the mark is durable before it leaves."""
    at, provider, key = at_provider(desk, kept, number)
    sending_at = desk.now
    try:
        rehearse(provider.refund(_request(kept.dossier, number), now=sending_at))
    except BadInput as error:
        return (yield from _refuse(desk, key, number, at, error))
    kept = yield from keep(
        OnOrder(key, lambda d: refund_sent(d, number, at=sending_at), sending_at, f"refund sent to {at.name}")
    )
    try:
        seen: RefundObservation = yield Carry(provider.refund(_request(kept.dossier, number), now=sending_at))
    except Declined as error:
        return (yield from _refuse(desk, key, number, at, error))
    except Unavailable:
        yield from keep(
            OnOrder(key, lambda d: refund_unsent(d, number), desk.now, f"{at.name} was not reached")
        )
        raise
    return (yield from _made(desk, key, number, at, seen))


def recover_refund(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Find out what became of a refund of unknown outcome. Raise `Unavailable` while it is too early to say."""
    at, provider, key = at_provider(desk, kept, number)
    refund, now = kept.dossier.refund(number), desk.now
    if at.capabilities.refund_recovery is Recovery.NOTHING:
        problem = f"{at.name} gave no answer and cannot be asked; look there for {refund.operation}"
        return (
            yield from keep(OnOrder(key, lambda d: refund_unknown(d, number, problem), now, "refund unknown"))
        )
    try:
        seen: RefundObservation | None = yield Carry(
            provider.find_refund(_request(kept.dossier, number), now=now)
        )
    except Declined as error:
        # A refusal to be asked says nothing about what was made before.
        refused = f"{at.name} refuses to be asked about refund {refund.operation}: {error}"
        if now < refund.sent_at + PATIENCE:
            raise Unavailable(refused) from error
        unknown = OnOrder(key, lambda d: refund_unknown(d, number, refused), now, "refund unknown")
        return (yield from keep(unknown))
    if seen is not None:
        return (yield from _made(desk, key, number, at, seen))
    if now < refund.sent_at + at.habits.settle_for:
        raise Unavailable(f"{at.name} does not know the refund yet; it may still appear")
    # It never arrived, so it may be sent again, under the same operation id.
    return (
        yield from keep(
            OnOrder(key, lambda d: refund_unsent(d, number), now, f"{at.name} never had the refund")
        )
    )


def follow(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Ask the provider how a refund stands, and join what it says."""
    at, provider, key = at_provider(desk, kept, number)
    refund_id = kept.dossier.refund(number).refund_id
    if refund_id is None:
        raise Refused(f"refund {number} is not known to {at.name} yet, so there is nothing to ask")
    seen: RefundObservation = yield Carry(provider.look_up_refund(refund_id, now=desk.now))
    return (
        yield from keep(
            OnOrder(key, lambda d: observed(d, at.name, seen), desk.now, f"{at.name} asked about refund")
        )
    )


def sync_refunds(desk: Desk, kept: Kept) -> Operation[Kept]:
    """Ask the providers about every refund of the order, now; one of unknown outcome is searched for."""
    for refund in kept.dossier.refunds:
        account = kept.dossier.payment(refund.payment).account
        at = desk.accounts.get(account)
        if refund.manual or at is None or not isinstance(at.provider, Refunds):
            continue
        if refund.refund_id is not None:
            kept = yield from follow(desk, kept, refund.number)
        elif refund_status(refund) is RefundStatus.UNKNOWN and (
            at.capabilities.refund_recovery is not Recovery.NOTHING
        ):
            try:
                kept = yield from recover_refund(desk, kept, refund.number)
            except Unavailable:
                if desk.now >= refund.sent_at + at.habits.settle_for:
                    raise
    return kept


def adopt_refund(desk: Desk, kept: Kept, payment: int, refund_id: str) -> Operation[Kept]:
    """Look up a refund that the provider named and we do not know, and keep it."""
    at = desk.account(kept.dossier.payment(payment).account)
    provider = _refunds(at)
    seen: RefundObservation = yield Carry(provider.look_up_refund(refund_id, now=desk.now))
    now = desk.now
    return (
        yield from keep(
            OnOrder(
                kept.dossier.order.key,
                lambda d: refund_adopted(d, payment, seen, at=now),
                now,
                f"refund found at {at.name}",
            )
        )
    )


def _request(dossier: Dossier, number: int) -> RefundRequest:
    refund = dossier.refund(number)
    payment = dossier.payment(refund.payment)
    return RefundRequest(
        operation=refund.operation,
        payment_id=payment.payment_id or "",
        amount=refund.billed,
        paid=payment.terms.billed,
        method=payment.method,
        reason=refund.reason,
    )


def at_provider(desk: Desk, kept: Kept, number: int) -> tuple[Account, Refunds, str]:
    """Return the account that refund *number* is made at, its provider's refund operations, and the order's key."""
    refund = kept.dossier.refund(number)
    at = desk.account(kept.dossier.payment(refund.payment).account)
    return at, _refunds(at), kept.dossier.order.key


def _refunds(at: Account) -> Refunds:
    if not isinstance(at.provider, Refunds):
        raise PluginBroken(
            f"provider {at.provider.name!r} says that it refunds, and has no refund operations"
        )
    return at.provider


def _made(desk: Desk, key: str, number: int, at: Account, seen: RefundObservation) -> Operation[Kept]:
    return (
        yield from keep(
            OnOrder(key, lambda d: refund_made(d, number, seen), desk.now, f"refund made at {at.name}")
        )
    )


def _refuse(desk: Desk, key: str, number: int, at: Account, error: Declined | BadInput) -> Operation[Kept]:
    problem = str(error)
    return (
        yield from keep(
            OnOrder(
                key, lambda d: refund_refused(d, number, problem), desk.now, f"{at.name} refused the refund"
            )
        )
    )
