"""Operations on refunds: ask for one, send it, recover one of unknown outcome, follow it, record a manual one."""

import uuid
from typing import Any

from bursar.changes import (
    observed,
    refund_adopted,
    refund_made,
    refund_recorded,
    refund_refused,
    refund_requested,
    refund_sent,
    refund_unknown,
    refund_unsent,
    refund_withdrawn,
)
from bursar.desk import Account, Desk
from bursar.effects import Carry, Operation, Read, keep
from bursar.errors import BadInput, Declined, PluginBroken, ProviderError, Refused, Unavailable
from bursar.habits import Recovery, Refunding
from bursar.lifecycle import refundable
from bursar.orders import Dossier
from bursar.providers import RefundRequest, Refunds
from bursar.refunds import Refund, RefundObservation, RefundOrigin, RefundStatus, refund_status
from bursar.remedies import Wanted
from bursar.work import Kept, OnOrder

__all__ = [
    "adopt_refund",
    "follow",
    "record",
    "recover_refund",
    "request",
    "request_wanted",
    "send",
    "withdraw",
]


def request(
    desk: Desk,
    order_key: str,
    *,
    amount: Any = None,
    currency: str | None = None,
    payment: int | None = None,
    reason: str = "",
    who: str,
    operation: str = "",
) -> Operation[tuple[Kept, Refund]]:
    """Ask for money of *payment* to go back: all that is left of it where no *amount* is named.

    The refund is kept and then sent; one of unknown outcome is looked up, never sent blindly again. The same *operation*
    (an idempotency key) again returns the refund that is there. Raises `Refused` above what can still go back.
    """
    if not who.strip():
        raise BadInput("say who asks for the refund: it is kept with the order")
    kept: Kept = yield Read(lambda: desk.kept(order_key))
    number = payment or _source(kept.dossier)
    at = desk.account(kept.dossier.payment(number).account)
    money = (
        desk.money(amount, currency or kept.dossier.order.amount.asset.code) if amount is not None else None
    )
    wanted = operation or str(uuid.uuid4())

    def change(dossier: Dossier) -> Dossier:
        return refund_requested(
            dossier,
            payment=number,
            amount=refundable(dossier, number) if money is None else money,
            operation=wanted,
            at=now,
            manual=at.capabilities.refunding is Refunding.MANUAL,
            reason=reason.strip()[:500],
            who=who.strip()[:200],
        )

    now = desk.now
    kept = yield from keep(OnOrder(order_key, change, now, f"refund asked for by {who.strip()[:200]}"))
    refund = next(r for r in kept.dossier.refunds if r.operation == wanted)
    if refund_status(refund) is RefundStatus.REQUESTED:
        try:
            kept = yield from send(desk, kept, refund.number)
        except ProviderError:
            # It is kept, and the courier goes on with it; the refund's status says how it stands.
            kept = yield Read(lambda: desk.kept(order_key))
    return kept, next(r for r in kept.dossier.refunds if r.operation == wanted)


def request_wanted(desk: Desk, kept: Kept, wanted: Wanted) -> Operation[Kept]:
    """Keep a refund that the policy asks for; the courier sends it."""
    at = desk.account(kept.dossier.payment(wanted.payment).account)
    now = desk.now

    def change(dossier: Dossier) -> Dossier:
        return refund_requested(
            dossier,
            payment=wanted.payment,
            amount=wanted.amount,
            operation=wanted.operation,
            at=now,
            origin=RefundOrigin.POLICY,
            manual=at.capabilities.refunding is Refunding.MANUAL,
            reason=wanted.reason,
            who="policy",
        )

    return (
        yield from keep(OnOrder(kept.dossier.order.key, change, now, f"refund by policy: {wanted.reason}"))
    )


def send(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Send a refund that is kept and not sent yet. Only one sender can win: the mark is durable before it leaves."""
    at, provider, key = _at(desk, kept, number)
    sending_at = desk.now
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
    at, provider, key = _at(desk, kept, number)
    refund, now = kept.dossier.refund(number), desk.now
    if at.capabilities.refund_recovery is Recovery.NOTHING:
        problem = f"{at.name} gave no answer and cannot be asked; look there for {refund.operation}"
        return (
            yield from keep(OnOrder(key, lambda d: refund_unknown(d, number, problem), now, "refund unknown"))
        )
    seen: RefundObservation | None = yield Carry(
        provider.find_refund(_request(kept.dossier, number), now=now)
    )
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
    at, provider, key = _at(desk, kept, number)
    refund_id = kept.dossier.refund(number).refund_id
    if refund_id is None:
        raise Refused(f"refund {number} is not known to {at.name} yet, so there is nothing to ask")
    seen: RefundObservation = yield Carry(provider.look_up_refund(refund_id, now=desk.now))
    return (
        yield from keep(
            OnOrder(key, lambda d: observed(d, at.name, seen), desk.now, f"{at.name} asked about refund")
        )
    )


def withdraw(desk: Desk, order_key: str, number: int, *, who: str) -> Operation[Kept]:
    """Take back a refund that was not paid out yet."""
    kept: Kept = yield Read(lambda: desk.kept(order_key))
    refund = kept.dossier.refund(number)
    if refund.refund_id is None and refund_status(refund) is not RefundStatus.UNKNOWN:
        now = desk.now
        return (
            yield from keep(
                OnOrder(
                    order_key,
                    lambda d: refund_withdrawn(d, number, at=now),
                    now,
                    f"refund withdrawn by {who}",
                )
            )
        )
    at, provider, key = _at(desk, kept, number)
    if refund.refund_id is None:
        raise Refused(f"the outcome of refund {number} is not known yet; it can be withdrawn once it is")
    seen: RefundObservation = yield Carry(provider.withdraw_refund(refund.refund_id, now=desk.now))
    return (
        yield from keep(
            OnOrder(key, lambda d: observed(d, at.name, seen), desk.now, f"refund withdrawn by {who}")
        )
    )


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


def record(desk: Desk, order_key: str, number: int, *, transaction: str, who: str) -> Operation[Kept]:
    """Record that a person has sent the money of a manual refund."""
    if not transaction.strip():
        raise BadInput("name the transaction by which the money can be found")
    now = desk.now
    return (
        yield from keep(
            OnOrder(
                order_key,
                lambda d: refund_recorded(d, number, transaction=transaction.strip()[:200], at=now),
                now,
                f"refund {number} recorded by {who}",
            )
        )
    )


def _source(dossier: Dossier) -> int:
    able = [p.number for p in dossier.payments if refundable(dossier, p.number)]
    if len(able) == 1:
        return able[0]
    name = f"order {dossier.order.reference!r}"
    if not able:
        raise Refused(f"{name} has no money that can go back")
    raise BadInput(f"{name} was paid by payments {', '.join(map(str, able))}; say which one the refund is of")


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


def _at(desk: Desk, kept: Kept, number: int) -> tuple[Account, Refunds, str]:
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


def _refuse(desk: Desk, key: str, number: int, at: Account, error: Declined) -> Operation[Kept]:
    problem = str(error)
    return (
        yield from keep(
            OnOrder(
                key, lambda d: refund_refused(d, number, problem), desk.now, f"{at.name} refused the refund"
            )
        )
    )
