"""Refunds: a pull payment is a link by which the buyer claims the money; the merchant approves and pays each claim.

BTCPay has no idempotency key here either and never compares refunds with what was paid, so our operation id travels as
the pull payment's name, and the request that makes one is always the last of its conversation.
"""

import hashlib
import re
from decimal import Decimal
from typing import Any, Final

import attrs
import httpx

from bursar.errors import Declined, OutcomeUnknown, Unavailable
from bursar.facts import Said
from bursar.flows import Flow
from bursar.money import Asset, Money
from bursar.providers import RefundRequest
from bursar.refunds import Payout, PayoutStage, RefundFacts, RefundObservation, RefundWord
from bursar_btcpay.assets import currency_asset, exact, rounded
from bursar_btcpay.client import Client, answered_at, failure, missing_permission, result, results
from bursar_btcpay.invoices import read_invoice
from bursar_btcpay.settings import read_method
from bursar_btcpay.webhooks import PAYOUT_STAGES
from bursar_btcpay.wire import Document, Unreadable

__all__ = [
    "custom",
    "find_refund",
    "look_up_refund",
    "named",
    "overpaid",
    "pull_payment",
    "refund",
    "whole",
    "withdraw_refund",
]

_MARK: Final = "Refund #"
_PULL_PAYMENT_NAME: Final = 50
_OPERATION: Final = re.compile(r"[A-Za-z0-9._:-]{1,180}")
_OLD_KINDS: Final = {"CHAIN": "", "LN": "-LightningNetwork"}


@attrs.frozen
class PullPayment:
    """Hold a pull payment as the server reports it."""

    id: str
    name: str
    amount: Money
    archived: bool
    link: str


def named(operation: str, *, limit: int = 200) -> str:
    """Return the name that a refund of ours carries; one that would be too long for the endpoint is a digest."""
    name = _MARK + operation
    if _OPERATION.fullmatch(operation) and len(name) <= limit:
        return name
    return _MARK + hashlib.sha256(operation.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def custom(amount: Money) -> dict[str, Any]:
    """Refund any amount, in any currency; its rate is fixed when the merchant approves the claim."""
    return {"refundVariant": "Custom", "customAmount": amount.plain, "customCurrency": amount.asset.code}


def whole(variant: str, *, subtract_percent: Decimal | None = None) -> dict[str, Any]:
    """Refund all that was paid: `RateThen` the coins received, `CurrentRate` their worth today, `Fiat` the invoice's currency.

    *subtract_percent* keeps that part back, for example for the network's fee.
    """
    body: dict[str, Any] = {"refundVariant": variant}
    return body if subtract_percent is None else {**body, "subtractPercentage": f"{subtract_percent:f}"}


def overpaid(*, subtract_percent: Decimal | None = None) -> dict[str, Any]:
    """Refund the coins above the price. BTCPay refuses it for what was overpaid late or after the invoice had settled."""
    return whole("OverpaidAmount", subtract_percent=subtract_percent)


def pull_payment(request: RefundRequest, methods: tuple[str, ...]) -> dict[str, Any]:
    """Refund by a pull payment of its own, which BTCPay does not link to the invoice."""
    body: dict[str, Any] = {
        "name": named(request.operation, limit=_PULL_PAYMENT_NAME),
        "description": request.reason,
        "amount": request.amount.plain,
        "currency": request.amount.asset.code,
        "autoApproveClaims": False,
    }
    return {**body, "payoutMethods": list(methods)} if methods else body


def refund(client: Client, request: RefundRequest, *, now: int) -> Flow[RefundObservation]:
    """Make the refund. A full one is made by the variant of the settings, any other is of a custom amount."""
    variant = client.settings.refund_variant
    asked = client.store("GET", "invoices", request.payment_id)
    try:
        invoice = read_invoice(result(asked, (yield asked)))
    except Unreadable as error:
        raise Unavailable(f"BTCPay's invoice {request.payment_id} cannot be read: {error}") from None
    methods = _payout_methods(client, request, invoice.methods)
    if variant == "PullPayment":
        making = client.store("POST", "pull-payments", body=pull_payment(request, methods))
    else:
        old = yield from _is_old(client)
        full = variant != "Custom" and request.amount == request.paid
        body = {
            **(whole(variant) if full else custom(request.amount)),
            **_method_members(methods, old=old),
            "name": named(request.operation),
            "description": request.reason,
        }
        making = client.store("POST", "invoices", request.payment_id, "refund", body=body)
    response = yield making
    made = _read_pull_payment(making, result(making, response), request.amount.asset)
    seen = _observation(client, made, [], at=answered_at(response, now), now=now)
    return attrs.evolve(seen, operation=request.operation)


def find_refund(client: Client, request: RefundRequest, *, now: int) -> Flow[RefundObservation | None]:
    """Look through the store's pull payments, archived ones too, for the name that ours carries."""
    asked = client.store("GET", "pull-payments", params={"includeArchived": "true"})
    response = yield asked
    names = {named(request.operation), named(request.operation, limit=_PULL_PAYMENT_NAME)}
    for doc in results(asked, response):
        if doc.members.get("name") in names:
            found = _read_pull_payment(asked, doc, request.amount.asset)
            seen = yield from look_up_refund(client, found.id, now=now)
            return attrs.evolve(seen, operation=request.operation)
    return None


def look_up_refund(client: Client, refund_id: str, *, now: int) -> Flow[RefundObservation]:
    """Read the pull payment and its payouts. Both are open to anyone who has the id, so no key is sent."""
    asked = client.api("GET", "pull-payments", refund_id, anonymous=True)
    response = yield asked
    found = _read_pull_payment(asked, result(asked, response))
    listing = client.api(
        "GET", "pull-payments", refund_id, "payouts", params={"includeCancelled": "true"}, anonymous=True
    )
    listed = yield listing
    payouts = results(listing, listed)
    return _observation(client, found, payouts, at=answered_at(listed, now), now=now)


def withdraw_refund(client: Client, refund_id: str, *, now: int) -> Flow[RefundObservation]:
    """Archive the pull payment, which cancels what was claimed and not yet sent. What was claimed is read before: BTCPay hides it then."""
    before = yield from look_up_refund(client, refund_id, now=now)
    if before.event == "archived":
        return before
    archiving = client.store("DELETE", "pull-payments", refund_id)
    response = yield archiving
    if not response.is_success:
        if missing_permission(response):
            raise Declined(
                "the API key may not take refunds back: it lacks btcpay.store.canarchivepullpayments; "
                "archive the pull payment in BTCPay under Pull Payments",
                status=response.status_code,
            )
        raise failure(archiving, response)
    said = Said[RefundWord].once(RefundWord.WITHDRAWN, answered_at(response, now))
    return attrs.evolve(before, facts=before.facts.join(RefundFacts(verdict=said)), event="archived")


def _payout_methods(client: Client, request: RefundRequest, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return how the buyer may claim: as asked, as configured, or as the invoice could be paid."""
    wanted = (read_method(request.method),) if request.method else client.settings.refund_methods
    # There is no payout by LNURL: such a method is claimed over Lightning. Others than these two break the request.
    kinds = [(m.partition("-")[0], m.partition("-")[2]) for m in wanted or offered]
    found = [
        f"{coin}-{'LN' if kind == 'LNURL' else kind}"
        for coin, kind in kinds
        if kind in ("CHAIN", "LN", "LNURL")
    ]
    return tuple(dict.fromkeys(found))


def _is_old(client: Client) -> Flow[bool]:
    """Ask whether the server is a 1.x, which calls the payout method otherwise."""
    asked = client.api("GET", "server", "info")
    response = yield asked
    try:
        return (result(asked, response).maybe_text("version") or "").startswith("1.")
    except (Declined, Unavailable, Unreadable):
        return False


def _method_members(methods: tuple[str, ...], *, old: bool) -> dict[str, Any]:
    if not methods:
        return {}
    if old:
        coin, _, kind = methods[0].partition("-")
        return {"paymentMethod": coin + _OLD_KINDS.get(kind, f"-{kind}")}
    # The array since 2.4.1, the single one for 2.0 to 2.4.0; each ignores the other's.
    return {"payoutMethods": list(methods), "payoutMethodId": methods[0]}


def _read_pull_payment(asked: httpx.Request, doc: Document, hint: Asset | None = None) -> PullPayment:
    try:
        amount = doc.amount("amount")
        if amount is None:
            raise Unreadable(f"{doc.what} has no amount")
        return PullPayment(
            id=doc.text("id"),
            name=doc.maybe_text("name") or "",
            amount=exact(amount, currency_asset(doc.text("currency"), hint)),
            archived=doc.flag("archived") or False,
            link=doc.maybe_text("viewLink") or "",
        )
    except Unreadable as error:
        kind = Unavailable if asked.method == "GET" else OutcomeUnknown
        raise kind(f"BTCPay's answer to {asked.method} {asked.url.path} cannot be read: {error}") from None


def _observation(
    client: Client, found: PullPayment, docs: list[Document], *, at: int, now: int
) -> RefundObservation:
    try:
        payouts = tuple(_read_payout(doc, found.amount.asset, at) for doc in docs)
        transactions = frozenset(t for doc in docs for t in _transactions(doc))
    except Unreadable as error:
        raise Unavailable(f"BTCPay's payouts of {found.id} cannot be read: {error}") from None
    amounts = [p.amount for p in payouts if PayoutStage.PAID in p.stage.now]
    paid = sum(amount.minor for amount in amounts if amount is not None)
    word = RefundWord.WITHDRAWN if found.archived else RefundWord.OPEN
    if 0 < found.amount.minor <= paid:
        # Said outright, for a refund valued in coins cannot be compared with the order's currency.
        word = RefundWord.DONE
    facts = RefundFacts(
        verdict=Said[RefundWord].once(word, at),
        payouts=payouts,
        asked=frozenset({found.amount}),
        transactions=transactions,
        links=frozenset({_link(client, found)} - {""}),
        polled_at=now,
    )
    ours = found.name.removeprefix(_MARK) if found.name.startswith(_MARK) else ""
    return RefundObservation(
        found.id, facts, operation=ours, event="archived" if found.archived else "pull payment"
    )


def _link(client: Client, found: PullPayment) -> str:
    if client.settings.public_url or not found.link.startswith(("https://", "http://")):
        return f"{client.settings.shown_url}/pull-payments/{found.id}"
    return found.link


def _read_payout(doc: Document, asset: Asset, at: int) -> Payout:
    # On 1.x the amount in the pull payment's currency is called amount.
    amount = doc.amount("originalAmount", "amount")
    if amount is None:
        raise Unreadable(f"{doc.what} has no originalAmount")
    stage = PAYOUT_STAGES.get(doc.maybe_text("state") or "", PayoutStage.CLAIMED)
    return Payout(doc.text("id"), rounded(amount, asset, up=True), Said[PayoutStage].once(stage, at))


def _transactions(doc: Document) -> list[str]:
    """Return what the money can be found by; the proof's members are written in capitals, unlike all others."""
    proof = doc.inner("paymentProof")
    if proof is None or doc.maybe_text("state") not in ("InProgress", "Completed"):
        return []
    found = proof.maybe_text("TransactionId", "transactionId", "PaymentHash", "paymentHash")
    return [found] if found else []
