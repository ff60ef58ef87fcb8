"""Operations on refunds that people and the policy ask for: request one, withdraw it, record one sent by hand."""

import uuid
from contextlib import suppress
from typing import Any

import structlog

from bursar.changes import (
    observed,
    refund_recorded,
    refund_requested,
    refund_withdrawn,
)
from bursar.desk import Desk
from bursar.effects import Carry, Operation, Read, keep
from bursar.errors import BadInput, Busy, PluginBroken, Refused
from bursar.habits import Refunding
from bursar.lifecycle import refundable
from bursar.money import Money
from bursar.orders import Dossier
from bursar.refunds import Refund, RefundObservation, RefundOrigin, RefundStatus, refund_status
from bursar.refundsending import at_provider, send
from bursar.remedies import Wanted
from bursar.texts import read_text
from bursar.work import Kept, OnOrder

__all__ = ["record", "request", "request_wanted", "withdraw"]

_log = structlog.get_logger("bursar.refunding")


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
    (an idempotency key) again returns the refund that is there, if it asks for the same. Raises `Refused` above what can
    still go back. Once the refund is kept nothing is raised any more: its status says how it stands.
    """
    by = read_text(who, "who", most=200, needed="say who asks for the refund: it is kept with the order")
    why = read_text(reason, "a reason", most=500)
    if read_text(operation, "an operation", most=200) != operation:
        raise BadInput("an operation is at most 200 characters, without blanks at its ends")
    kept: Kept = yield Read(lambda: desk.kept(order_key))
    money = (
        desk.money(amount, currency or kept.dossier.order.amount.asset.code) if amount is not None else None
    )
    there = _of_operation(kept.dossier, operation)
    if there is not None:
        return kept, _same(there, money, payment)
    number = payment or _source(kept.dossier)
    at = desk.account(kept.dossier.payment(number).account)
    now, wanted = desk.now, operation or str(uuid.uuid4())

    def change(dossier: Dossier) -> Dossier:
        left = refundable(dossier, number)
        if money is None and not left and _of_operation(dossier, wanted) is None:
            raise Refused(
                f"nothing of payment {number} of order {dossier.order.reference!r} can go back any more"
            )
        return refund_requested(
            dossier,
            payment=number,
            amount=left if money is None else money,
            operation=wanted,
            at=now,
            manual=at.capabilities.refunding is Refunding.MANUAL,
            reason=why,
            who=by,
        )

    kept = yield from keep(OnOrder(order_key, change, now, f"refund asked for by {by}"))
    refund = _same(_kept_refund(kept, wanted), money, number)
    if refund_status(refund) is RefundStatus.REQUESTED:
        try:
            kept = yield from send(desk, kept, refund.number)
        except Exception as error:  # noqa: BLE001 - it is kept: whoever heard an error now would ask for it twice
            _log.warning("refund not sent yet", order=order_key, refund=refund.number, error=str(error))
            with suppress(Busy):
                kept = yield Read(lambda: desk.kept(order_key))
    return kept, _kept_refund(kept, wanted)


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


def withdraw(desk: Desk, order_key: str, number: int, *, who: str) -> Operation[Kept]:
    """Take back a refund that was not paid out yet."""
    by = read_text(who, "who", most=200, needed="say who withdraws the refund: it is kept with the order")
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
                    f"refund withdrawn by {by}",
                )
            )
        )
    at, provider, key = at_provider(desk, kept, number)
    if refund.refund_id is None:
        raise Refused(f"the outcome of refund {number} is not known yet; it can be withdrawn once it is")
    seen: RefundObservation = yield Carry(provider.withdraw_refund(refund.refund_id, now=desk.now))
    return (
        yield from keep(
            OnOrder(key, lambda d: observed(d, at.name, seen), desk.now, f"refund withdrawn by {by}")
        )
    )


def record(desk: Desk, order_key: str, number: int, *, transaction: str, who: str) -> Operation[Kept]:
    """Record that a person has sent the money of a manual refund."""
    by = read_text(who, "who", most=200, needed="say who sent the money: it is kept with the order")
    found = read_text(
        transaction, "a transaction", most=200, needed="name the transaction by which the money can be found"
    )
    now = desk.now
    return (
        yield from keep(
            OnOrder(
                order_key,
                lambda d: refund_recorded(d, number, transaction=found, at=now),
                now,
                f"refund {number} recorded by {by}",
            )
        )
    )


def _of_operation(dossier: Dossier, operation: str) -> Refund | None:
    return next((r for r in dossier.refunds if operation and r.operation == operation), None)


def _kept_refund(kept: Kept, operation: str) -> Refund:
    found = _of_operation(kept.dossier, operation)
    if found is None:
        raise PluginBroken(f"the store lost refund {operation!r}")
    return found


def _same(there: Refund, amount: Money | None, payment: int | None) -> Refund:
    if (amount is not None and amount != there.amount) or (payment and payment != there.payment):
        raise Refused(
            f"operation {there.operation!r} is refund {there.number}, of {there.amount} of payment {there.payment}, "
            "already; another refund needs another operation"
        )
    return there


def _source(dossier: Dossier) -> int:
    able = [p.number for p in dossier.payments if refundable(dossier, p.number)]
    if len(able) == 1:
        return able[0]
    name = f"order {dossier.order.reference!r}"
    if not able:
        raise Refused(f"{name} has no money that can go back")
    raise BadInput(f"{name} was paid by payments {', '.join(map(str, able))}; say which one the refund is of")
