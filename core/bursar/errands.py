"""One visit to one order: do what it owes its providers, bring its shop in step, and say how that went."""

from pathlib import Path
from traceback import extract_tb

import structlog

from bursar import paying, refunding, refundsending
from bursar.adapters import Converged, Standpoint
from bursar.agenda import Errand, Task, tasks
from bursar.desk import Desk
from bursar.effects import Carry, Operation, Read
from bursar.errors import BursarError, Refused
from bursar.remedies import wanted_refunds
from bursar.work import Claimed, Kept, Visit

__all__ = ["backoff", "visit"]

_log = structlog.get_logger("bursar.courier")
_MOST = 20


def backoff(attempts: int) -> int:
    """Return how many seconds to wait after *attempts* failures in a row: 5, 10, 20, … up to an hour."""
    return int(min(3_600, 5 * 2 ** min(attempts, 10)))


def visit(desk: Desk, claimed: Claimed) -> Operation[Visit]:
    """Visit a claimed order. Never raises: what failed is in the visit, and is due again later."""
    problem, hold, told, shop_problem, shop_hold = "", 0, None, "", 0
    try:
        kept: Kept = yield Read(lambda: desk.kept(claimed.order_key))
        if claimed.errands_due:
            kept, problem, hold = yield from _errands(desk, kept, claimed)
        told, shop_problem, shop_hold = yield from _tell(desk, kept, claimed)
    except Exception as error:  # noqa: BLE001 - one order's trouble must not stop the courier
        _log.error("visit failed", order=claimed.order_key, error=_words(error))
        problem = problem or _words(error)
        hold, shop_hold = desk.now + backoff(claimed.attempts), desk.now + backoff(claimed.shop_attempts)
        shop_problem = shop_problem or _words(error)
    return Visit(
        order_key=claimed.order_key,
        token=claimed.token,
        at=desk.now,
        delivered=told,
        hold_until=hold,
        shop_hold_until=shop_hold,
        problem=problem,
        shop_problem=shop_problem,
    )


def _errands(desk: Desk, kept: Kept, claimed: Claimed) -> Operation[tuple[Kept, str, int]]:
    problem, hold = "", 0
    tried: set[Task] = set()
    for _ in range(_MOST):
        due = [t for t in tasks(kept.dossier, desk.habits) if t.due_at <= desk.now and t not in tried]
        if not due:
            break
        tried.add(due[0])
        try:
            kept = yield from _do(desk, kept, due[0])
        except Refused as error:
            # Somebody else was just ahead (a refund is sent once): what is due now says what is left to do.
            _log.info(
                "errand not needed", order=claimed.order_key, errand=due[0].errand.value, why=str(error)
            )
            kept = yield Read(lambda: desk.kept(claimed.order_key))
            if due[0] in tasks(kept.dossier, desk.habits):
                problem = f"{due[0].errand.value}: {error}"[:500]
                hold = max(hold, desk.now + backoff(claimed.attempts))
        except Exception as error:  # noqa: BLE001 - a plugin's fault too must leave the other errands, and the shop, alone
            wait = getattr(error, "retry_after", None) or backoff(claimed.attempts)
            problem = f"{due[0].errand.value}: {_words(error)}"[:500]
            hold = max(hold, desk.now + min(wait, 3_600))
            _log.warning(
                "errand failed", order=claimed.order_key, errand=due[0].errand.value, error=_words(error)
            )
            kept = yield Read(lambda: desk.kept(claimed.order_key))
    return kept, problem, hold


def _do(desk: Desk, kept: Kept, task: Task) -> Operation[Kept]:
    match task.errand:
        case Errand.RECOVER_PAYMENT:
            return (yield from paying.recover(desk, kept, task.number))
        case Errand.POLL_PAYMENT:
            return (yield from paying.poll(desk, kept, task.number))
        case Errand.CANCEL_PAYMENT:
            return (yield from paying.cancel_payment(desk, kept, task.number))
        case Errand.REQUEST_REFUND:
            wanted = next((w for w in wanted_refunds(kept.dossier) if w.operation == task.subject), None)
            return kept if wanted is None else (yield from refunding.request_wanted(desk, kept, wanted))
        case Errand.SEND_REFUND:
            return (yield from refundsending.send(desk, kept, task.number))
        case Errand.RECOVER_REFUND:
            return (yield from refundsending.recover_refund(desk, kept, task.number))
        case Errand.POLL_REFUND:
            return (yield from refundsending.follow(desk, kept, task.number))
        case Errand.ADOPT_REFUND:
            return (yield from refundsending.adopt_refund(desk, kept, task.number, task.subject))


def _tell(desk: Desk, kept: Kept, claimed: Claimed) -> Operation[tuple[int | None, str, int]]:
    order = kept.dossier.order
    adapter = desk.shop(order.shop).adapter
    if adapter is None:
        return kept.number, "", 0
    if kept.delivered >= kept.number or (kept.problem and not claimed.shop_due):
        return None, "", 0
    standpoint = Standpoint(
        order=order,
        state=kept.state,
        number=kept.number,
        at=kept.changed_at,
        refunds=kept.dossier.refunds,
        payment_ids=tuple(p.payment_id for p in kept.dossier.payments if p.payment_id),
    )
    try:
        result: Converged = yield Carry(adapter.converge(standpoint, now=desk.now))
    except Exception as error:  # noqa: BLE001 - a fault of the adapter's must not be tried without pause, nor stop errands
        wait = getattr(error, "retry_after", None) or backoff(claimed.shop_attempts)
        _log.warning("shop not told", order=claimed.order_key, shop=order.shop, error=_words(error))
        return None, _words(error), desk.now + min(wait, 86_400)
    wrote = ", ".join(result.wrote) or "nothing"
    _log.info("shop in step", order=claimed.order_key, shop=order.shop, wrote=wrote, note=result.note)
    return kept.number, "", 0


def _words(error: Exception) -> str:
    """Say what went wrong; of what was not raised on purpose only what and where, for its words may hold anything."""
    if isinstance(error, BursarError):
        return str(error)[:500]
    frames = extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
