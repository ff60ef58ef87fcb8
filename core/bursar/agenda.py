"""What an order still owes the world, and when: a pure function of its dossier and of the providers' habits.

There is no queue. The durable step asks `wake_at` after every change and keeps the answer with the order; the courier
asks `tasks` when that time has come, does them, and the changes they make lead to the next answer. So nothing can be
enqueued and forgotten, and a task is repeated only while the facts still ask for it.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

import attrs

from bursar.habits import Habits
from bursar.orders import Dossier, Payment
from bursar.refunds import Refund, RefundStatus, Sending, refund_status
from bursar.remedies import wanted_refunds
from bursar.standing import PaymentStatus, Standing, doubts, read_standing

__all__ = ["Errand", "Task", "tasks", "wake_at"]

_SENDING_FOR = 45
_SOON = 3
_OPEN = frozenset({PaymentStatus.WAITING, PaymentStatus.PARTIAL, PaymentStatus.PROCESSING, PaymentStatus.TIE})


class Errand(Enum):
    """Name one kind of thing to do."""

    RECOVER_PAYMENT = "recover_payment"
    """A payment was asked for and its outcome is unknown: find it."""
    POLL_PAYMENT = "poll_payment"
    CANCEL_PAYMENT = "cancel_payment"
    REQUEST_REFUND = "request_refund"
    """The policy wants money back to the buyer: keep a refund for it."""
    SEND_REFUND = "send_refund"
    RECOVER_REFUND = "recover_refund"
    POLL_REFUND = "poll_refund"
    ADOPT_REFUND = "adopt_refund"
    """The provider named a refund we do not know: look it up."""


@attrs.frozen
class Task:
    """Do *errand* for payment or refund *number*, not before *due_at* (Unix seconds)."""

    errand: Errand
    number: int
    due_at: int
    subject: str = ""


def tasks(dossier: Dossier, habits: Mapping[str, Habits]) -> tuple[Task, ...]:
    """Return all that the order owes its providers, the earliest first; *habits* by account.

    An account that is no longer configured owes nothing: its payments rest until it is back.
    """
    found: list[Task] = []
    settled: set[int] = set()
    for payment in dossier.payments:
        if payment.account in habits:
            standing = read_standing(payment, accept=dossier.accepted)
            found += _payment_tasks(payment, standing, habits[payment.account])
            if not _doubtful(payment, habits[payment.account]):
                settled.add(payment.number)
            known = {r.refund_id for r in dossier.refunds}
            found += [
                Task(Errand.ADOPT_REFUND, payment.number, payment.polled_at, refund_id)
                for refund_id in sorted(payment.facts.refunds - known)
            ]
    # No money is sent back by itself while the provider has yet to be asked about the payment.
    found += [
        Task(Errand.REQUEST_REFUND, wanted.payment, 0, wanted.operation)
        for wanted in wanted_refunds(dossier)
        if wanted.payment in settled
    ]
    for refund in dossier.refunds:
        account = next((p.account for p in dossier.payments if p.number == refund.payment), "")
        if account in habits:
            found += _refund_tasks(refund, habits[account])
    return tuple(sorted(found, key=lambda task: (task.due_at, task.errand.value, task.number, task.subject)))


def wake_at(dossier: Dossier, habits: Mapping[str, Habits]) -> int | None:
    """Return when the order next has something to do, None for never."""
    return min((task.due_at for task in tasks(dossier, habits)), default=None)


def _payment_tasks(payment: Payment, standing: Standing, habits: Habits) -> Iterator[Task]:
    if payment.sending in (Sending.INTENDED, Sending.SENT) and payment.payment_id is None:
        if not payment.problem:
            # Whoever opens it may still be waiting for the answer.
            yield Task(
                Errand.RECOVER_PAYMENT,
                payment.number,
                max(payment.created_at, payment.sent_at) + _SENDING_FOR,
            )
        return
    if payment.payment_id is None:
        return
    if payment.cancelling in (Sending.INTENDED, Sending.SENT):
        yield Task(Errand.CANCEL_PAYMENT, payment.number, payment.created_at)
    due = _poll_due(payment, standing, habits)
    if due is not None:
        yield Task(Errand.POLL_PAYMENT, payment.number, due)


def _poll_due(payment: Payment, standing: Standing, habits: Habits) -> int | None:
    asked = max(payment.polled_at, payment.created_at)
    gap = habits.poll_gaps[min(payment.polls, len(habits.poll_gaps) - 1)]
    due: list[int] = []
    if _doubtful(payment, habits):
        due.append(asked + min(gap, habits.clock_lag + 1 + payment.polls))
    closes = payment.terms.expires_at
    # What counts as soon as it is seen is followed until it is final, for it may still be taken back.
    if standing.status in _OPEN or (standing.status is PaymentStatus.SETTLED and not standing.final):
        due.append(asked + gap)
        if closes is not None and standing.status not in (PaymentStatus.PROCESSING, PaymentStatus.SETTLED):
            # Once just after the window, and once after the service's own grace.
            due += [at for at in (closes + 2, closes + habits.expiry_grace + 1) if at > asked]
    elif standing.status is not PaymentStatus.SETTLED:
        until = (closes or payment.created_at) + habits.late_for
        if asked + habits.late_gap <= until:
            due.append(asked + habits.late_gap)
    return min(due, default=None)


def _doubtful(payment: Payment, habits: Habits) -> bool:
    return bool(doubts(payment.facts, lag=habits.clock_lag, totals=habits.totals))


def _refund_tasks(refund: Refund, habits: Habits) -> Iterator[Task]:
    status = refund_status(refund)
    if status is RefundStatus.REQUESTED:
        yield Task(Errand.SEND_REFUND, refund.number, refund.created_at)
    elif status is RefundStatus.UNKNOWN:
        if not refund.problem:
            yield Task(Errand.RECOVER_REFUND, refund.number, refund.sent_at + _SENDING_FOR)
    elif refund.refund_id is not None and status not in (
        RefundStatus.COMPLETED,
        RefundStatus.FAILED,
        RefundStatus.CANCELLED,
        RefundStatus.WAITING_FOR_PERSON,
    ):
        age = max(0, refund.facts.polled_at - refund.created_at)
        gap = next((g for g in habits.refund_gaps if g * 2 > age), habits.refund_gaps[-1])
        if any(payout.amount is None for payout in refund.facts.payouts):
            # An event named a payout; how much it is, the provider has to be asked.
            gap = min(gap, _SOON + age // 4)
        yield Task(Errand.POLL_REFUND, refund.number, max(refund.facts.polled_at, refund.created_at) + gap)
