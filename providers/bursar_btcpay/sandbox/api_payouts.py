"""Pull payments and payouts over the API."""

from decimal import Decimal
from typing import Final

from bursar_btcpay.sandbox.answers import payout_json, pull_json
from bursar_btcpay.sandbox.api import EMPTY, Call, Route, both
from bursar_btcpay.sandbox.api_invoices import APPROVED, REFUND
from bursar_btcpay.sandbox.orders import method_id
from bursar_btcpay.sandbox.problems import invalid, not_found
from bursar_btcpay.sandbox.rates import CHAIN
from bursar_btcpay.sandbox.refunds import (
    Offer,
    Payout,
    PayoutState,
    PullPayment,
    check_destination,
    missing_pull,
)
from bursar_btcpay.sandbox.wire import Json

__all__ = ["ROUTES"]

VIEW: Final = "btcpay.store.canviewpayouts"
MANAGE: Final = "btcpay.store.canmanagepayouts"


def _list_pulls(call: Call) -> Json:
    archived = call.flag("includeArchived")
    pulls = [pull for pull in call.server.refunds.pulls.values() if pull.store == call.store.id]
    return [pull_json(pull, call.url) for pull in reversed(pulls) if archived or not pull.archived]


def _create_pull(call: Call) -> Json:
    body, now = call.body("CreatePullPaymentRequest"), call.server.now()
    name, amount = body.text("name") or "", body.amount("amount")
    currency = (body.text("currency") or "").strip().upper()
    names = body.texts("payoutMethods")
    starts, expires, automatic = (
        body.whole("startsAt"),
        body.whole("expiresAt"),
        body.flag("autoApproveClaims"),
    )
    if automatic:
        call.require(APPROVED, call.store.id)
    errors: list[tuple[str, str]] = []
    if amount is None or amount <= 0:
        errors.append(("Amount", "The amount should more than 0."))
    if len(name) > 50:
        errors.append(("Name", "The name should be maximum 50 characters."))
    if not call.server.rates.knows(currency):
        errors.append(("Currency", "Invalid currency"))
    if starts is not None and expires is not None and expires <= starts:
        errors.append(("ExpiresAt", "expiresAt should be higher than startAt"))
    if names is not None and (not names or any(method_id(name) != CHAIN for name in names)):
        errors.append(("PayoutMethods", "Payment method not supported"))
    if errors:
        raise invalid(*errors)
    offer = Offer(
        name=name,
        description=body.text("description") or "",
        currency=currency,
        amount=Decimal(0) if amount is None else amount,
        automatic=bool(automatic),
        starts=int(now) - 1 if starts is None else starts,
        expires=expires,
        bolt11_days=30 if body.get("BOLT11Expiration") is None else body.whole("BOLT11Expiration") or 0,
    )
    return pull_json(call.server.refunds.open(call.store.id, offer), call.url)


def _get_pull(call: Call) -> Json:
    return pull_json(_pull(call), call.url)


def _archive_pull(call: Call) -> Json:
    call.server.publish_payouts(call.server.refunds.archive(call.pull))
    return EMPTY


def _claims(call: Call) -> Json:
    pull = _pull(call)
    return [payout_json(payout) for payout in call.server.refunds.of(pull) if _shown(call, payout)]


def _claim(call: Call) -> Json:
    pull, body = _pull(call), call.body("CreatePayoutRequest")
    method = method_id(body.text("payoutMethodId") or "") or ""
    destination, amount = body.text("destination") or "", body.amount("amount")
    payout, events = call.server.refunds.claim(pull, destination, method, amount, now=call.server.now())
    call.server.publish_payouts(events)
    return payout_json(payout)


def _one_claim(call: Call) -> Json:
    pull = _pull(call)
    payout = call.server.refunds.payouts.get(call.path["claim"])
    if payout is None or payout.pull != pull.id or pull.archived:
        raise not_found("payout", "payout")
    return payout_json(payout)


def _pull(call: Call) -> PullPayment:
    pull = call.server.refunds.pulls.get(call.path["pull"])
    if pull is None:
        raise missing_pull()
    return pull


def _list(call: Call) -> Json:
    mine = [payout for payout in call.server.refunds.payouts.values() if payout.store == call.store.id]
    return [payout_json(payout) for payout in mine if _shown(call, payout)]


def _shown(call: Call, payout: Payout) -> bool:
    kept = payout.counts or call.flag("includeCancelled")
    return kept and call.server.refunds.visible(payout)


def _create(call: Call) -> Json:
    body = call.body("CreatePayoutThroughStoreRequest")
    method = method_id(body.text("payoutMethodId") or "") or ""
    destination, amount = body.text("destination") or "", body.amount("amount")
    approved, pull = bool(body.flag("approved")), body.text("pullPaymentId")
    if approved:
        call.require(APPROVED, call.store.id)
    if pull is not None:
        found = call.server.refunds.pulls.get(pull)
        if found is None or found.store != call.store.id:
            raise missing_pull()
        payout, events = call.server.refunds.claim(found, destination, method, amount, now=call.server.now())
    else:
        check_destination(destination, method)
        if amount is None or amount <= 0:
            raise invalid(("Amount", "Amount must be greater than 0"))
        payout, events = call.server.refunds.create(
            call.store.id, destination, method, amount, approved=approved, now=call.server.now()
        )
    call.server.publish_payouts(events)
    return payout_json(payout)


def _get(call: Call) -> Json:
    return payout_json(_payout(call))


def _approve(call: Call) -> Json:
    payout, body = _payout(call), call.body("ApprovePayoutRequest")
    call.server.publish_payouts(call.server.refunds.approve(payout, body.whole("revision")))
    return payout_json(payout)


def _cancel(call: Call) -> Json:
    call.server.publish_payouts(call.server.refunds.cancel(_payout(call)))
    return EMPTY


def _mark_paid(call: Call) -> Json:
    call.server.publish_payouts(call.server.refunds.mark(_payout(call), PayoutState.COMPLETED))
    return EMPTY


def _mark(call: Call) -> Json:
    payout, body = _payout(call), call.body("MarkPayoutRequest")
    state = body.choice("state", PayoutState, "PayoutState", nullable=False)
    if state is None or state is PayoutState.AWAITING_APPROVAL:
        raise invalid(("State", "A payout is marked AwaitingPayment, InProgress, Completed or Cancelled"))
    call.server.publish_payouts(call.server.refunds.mark(payout, state))
    return EMPTY


def _payout(call: Call) -> Payout:
    if not call.server.refunds.visible(call.payout):
        raise not_found("payout", "payout")
    return call.payout


ROUTES: Final[list[Route]] = [
    Route("GET", "/stores/{store}/pull-payments", _list_pulls, "btcpay.store.canviewpullpayments"),
    Route("POST", "/stores/{store}/pull-payments", _create_pull, REFUND),
    *both("DELETE", "/pull-payments/{pull}", _archive_pull, "btcpay.store.canarchivepullpayments"),
    Route("GET", "/pull-payments/{pull}", _get_pull, None),
    Route("GET", "/pull-payments/{pull}/payouts", _claims, None),
    Route("POST", "/pull-payments/{pull}/payouts", _claim, None),
    Route("GET", "/pull-payments/{pull}/payouts/{claim}", _one_claim, None),
    Route("GET", "/stores/{store}/payouts", _list, VIEW),
    Route("POST", "/stores/{store}/payouts", _create, REFUND),
    *both("GET", "/payouts/{payout}", _get, VIEW),
    *both("POST", "/payouts/{payout}", _approve, MANAGE),
    *both("DELETE", "/payouts/{payout}", _cancel, MANAGE),
    *both("POST", "/payouts/{payout}/mark-paid", _mark_paid, MANAGE),
    *both("POST", "/payouts/{payout}/mark", _mark, MANAGE),
]
