"""The conversations about payments: open, find, look up, cancel, list methods.

BTCPay has no idempotency keys, so a request that creates something is sent once and then searched for by the attempt id
that travels with it.
"""

from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx

from bursar.errors import BadInput, Declined, OutcomeUnknown, Unavailable
from bursar.facts import Facts, Flag, Observation
from bursar.flows import Flow
from bursar.money import Asset, Money
from bursar.orders import Opened
from bursar.providers import OpenRequest
from bursar_btcpay.client import Client, answered_at, error_code, failure, missing_permission, result, results
from bursar_btcpay.invoices import Invoice, Method, asks, checkout, read_invoice, read_methods
from bursar_btcpay.reader import billed_amount, invoice_facts
from bursar_btcpay.settings import read_method
from bursar_btcpay.wire import Document, Unreadable

__all__ = ["cancel", "find_payment", "invoice_body", "list_methods", "look_up", "open_payment", "read_opened"]

_PAGE: Final = 100


def open_payment(client: Client, request: OpenRequest, *, now: int) -> Flow[Opened]:
    """Create an invoice, then read how it can be paid; without that answer the invoice is reported all the same."""
    asked = client.store("POST", "invoices", body=invoice_body(client, request))
    response = yield asked
    invoice = _invoice(asked, response)
    if invoice.store_id != client.settings.store_id:
        raise OutcomeUnknown(f"BTCPay answered with invoice {invoice.id} of another store than was asked")
    methods = yield from _offered(client, invoice)
    return _opened(client, invoice, methods, answered_at(response, now), request.amount.asset)


def find_payment(client: Client, request: OpenRequest, *, now: int) -> Flow[Opened | None]:
    """Search by the attempt id, then by the order's id; only an invoice that carries exactly our attempt id is ours."""
    for search in ({"textSearch": request.attempt}, {"orderId": request.reference}):
        asked = client.store(
            "GET", "invoices", params={**search, "includeArchived": "true", "take": str(_PAGE)}
        )
        response = yield asked
        for doc in results(asked, response):
            metadata = doc.members.get("metadata")
            if not isinstance(metadata, dict) or cast(Any, metadata).get("attemptId") != request.attempt:
                continue
            invoice = _read(asked, doc)
            if invoice.store_id == client.settings.store_id:
                methods = yield from _offered(client, invoice)
                return _opened(client, invoice, methods, answered_at(response, now), request.amount.asset)
    return None


def read_opened(client: Client, payment_id: str, *, now: int) -> Flow[Opened]:
    """Read an invoice that exists already as if it had just been opened."""
    asked = client.store("GET", "invoices", payment_id)
    response = yield asked
    if _is_missing(response):
        raise (yield from _why_missing(client, asked, response)) or Declined(
            f"BTCPay has no invoice {payment_id!r} in this store", status=response.status_code
        )
    invoice = _ours(client, asked, response)
    methods = yield from _offered(client, invoice)
    return _opened(client, invoice, methods, answered_at(response, now), None)


def look_up(client: Client, payment_id: str, *, billed: Money, now: int) -> Flow[Observation]:
    """Read the invoice and its payments, those that no longer count included."""
    asked = client.store("GET", "invoices", payment_id)
    response = yield asked
    if _is_missing(response):
        error = yield from _why_missing(client, asked, response)
        if error is not None:
            raise error
        return Observation(payment_id, Facts(flags=frozenset({Flag.GONE})), event="gone")
    invoice = _ours(client, asked, response)
    asked_methods = _methods_request(client, payment_id)
    told = yield asked_methods
    facts = invoice_facts(
        invoice,
        answered_at(response, now),
        hint=billed.asset,
        methods=_methods(asked_methods, told),
        methods_at=answered_at(told, now),
    )
    return Observation(payment_id, facts, event=f"{invoice.status}/{invoice.additional}")


def cancel(client: Client, payment_id: str, *, now: int) -> Flow[None]:
    """Mark the invoice invalid, if it is still new and nothing was paid; whatever else it is stays as it is."""
    asked = client.store("GET", "invoices", payment_id)
    response = yield asked
    if _is_missing(response):
        error = yield from _why_missing(client, asked, response)
        if error is not None:
            raise error
        return
    invoice = _ours(client, asked, response)
    if (invoice.status, invoice.additional) != ("New", "None") or invoice.paid:
        return
    marking = client.store("POST", "invoices", payment_id, "status", body={"status": "Invalid"})
    marked = yield marking
    # The answer shows the invoice as it was before; 422 says that it has moved on meanwhile.
    if marked.status_code != 422:
        _ours(client, marking, marked)


def list_methods(client: Client) -> Flow[Sequence[str]]:
    """List the enabled payment methods of the store, those that the settings name first and only where they name any."""
    asked = client.store("GET", "payment-methods", params={"onlyEnabled": "true"})
    docs = results(asked, (yield asked))
    try:
        enabled = [
            read_method(doc.text("paymentMethodId", "paymentMethod"))
            for doc in docs
            if doc.flag("enabled") is not False
        ]
    except Unreadable as error:
        raise _strange(asked, error) from None
    wanted = client.settings.payment_methods
    return tuple(method for method in wanted if method in enabled) if wanted else tuple(enabled)


def invoice_body(client: Client, request: OpenRequest) -> dict[str, Any]:
    """Return the invoice to ask for. What is given away is the order's id and the attempt's, and what *request* carries."""
    if request.amount.minor <= 0:
        raise BadInput(f"BTCPay settles an invoice of {request.amount} at once, unpaid: nothing was opened")
    settings = client.settings
    methods = (read_method(request.method),) if request.method else settings.payment_methods
    window = -(-request.window // 60) if request.window is not None else settings.window
    options: dict[str, Any] = {
        "speedPolicy": settings.speed_policy or None,
        "paymentMethods": list(methods) or None,
        "lazyPaymentMethods": settings.lazy_methods,
        "expirationMinutes": window,
        "monitoringMinutes": settings.monitoring,
        "paymentTolerance": settings.tolerance,
        "redirectURL": _checked_return(request.return_url) or None,
        "redirectAutomatically": settings.redirect_automatically,
        "defaultLanguage": settings.language or None,
    }
    metadata = dict(request.metadata)
    if request.description:
        metadata["itemDesc"] = request.description
    metadata |= {"orderId": request.reference, "attemptId": request.attempt}
    return {
        "amount": request.amount.plain,
        "currency": request.amount.asset.code,
        "metadata": metadata,
        "checkout": {name: value for name, value in options.items() if value is not None},
        "additionalSearchTerms": [request.attempt],
    }


def _checked_return(url: str) -> str:
    # BTCPay shows whatever it is given to the buyer as a link, `javascript:` too.
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        good = False
    if not good:
        raise BadInput(f"return_url {url[:200]!r} is not an absolute http or https URL")
    return url


def _offered(client: Client, invoice: Invoice) -> Flow[tuple[Method, ...]]:
    asked = _methods_request(client, invoice.id)
    response = yield asked
    try:
        return _methods(asked, response)
    except (Unavailable, Declined):
        # The invoice exists and BTCPay's own page shows how to pay it; losing it here would be worse.
        return ()


def _opened(
    client: Client, invoice: Invoice, methods: tuple[Method, ...], at: int, hint: Asset | None
) -> Opened:
    facts = invoice_facts(invoice, at, hint=hint, methods=methods, methods_at=at)
    return Opened(
        payment_id=invoice.id,
        billed=billed_amount(invoice, hint),
        checkout=checkout(client.settings, invoice, methods),
        asks=asks(methods),
        expires_at=invoice.expires_at,
        seen=Observation(invoice.id, facts, event=f"{invoice.status}/{invoice.additional}"),
    )


def _methods_request(client: Client, payment_id: str) -> httpx.Request:
    return client.store(
        "GET", "invoices", payment_id, "payment-methods", params={"onlyAccountedPayments": "false"}
    )


def _methods(asked: httpx.Request, response: httpx.Response) -> tuple[Method, ...]:
    docs = results(asked, response)
    try:
        return read_methods(docs)
    except Unreadable as error:
        raise _strange(asked, error) from None


def _invoice(asked: httpx.Request, response: httpx.Response) -> Invoice:
    return _read(asked, result(asked, response))


def _read(asked: httpx.Request, doc: Document) -> Invoice:
    try:
        return read_invoice(doc)
    except Unreadable as error:
        raise _strange(asked, error) from None


def _strange(asked: httpx.Request, error: Unreadable) -> Unavailable | OutcomeUnknown:
    kind = Unavailable if asked.method == "GET" else OutcomeUnknown
    return kind(f"BTCPay's answer to {asked.method} {asked.url.path} cannot be read: {error}")


def _ours(client: Client, asked: httpx.Request, response: httpx.Response) -> Invoice:
    invoice = _invoice(asked, response)
    if invoice.store_id != client.settings.store_id or invoice.id not in asked.url.path:
        raise Declined(
            f"BTCPay answered {asked.url.path} with invoice {invoice.id} of store {invoice.store_id}"
        )
    return invoice


def _is_missing(response: httpx.Response) -> bool:
    """Tell whether the answer is one that BTCPay gives for an unknown invoice: 403 on 2.x, 404 with a word on 1.x."""
    if response.status_code == 404:
        return error_code(response) == "invoice-not-found"
    return response.status_code == 403 and bool(missing_permission(response))


def _why_missing(
    client: Client, asked: httpx.Request, response: httpx.Response
) -> Flow[Declined | Unavailable | None]:
    """Find out whether the key lost its rights (the error to raise) or the invoice is gone (None)."""
    if response.status_code == 404:
        return None
    probe = client.store("GET", "invoices", params={"take": "1"})
    listed = yield probe
    if listed.is_success:
        return None
    error = failure(probe, listed)
    if isinstance(error, Declined):
        permission = missing_permission(listed) or missing_permission(response)
        return Declined(
            f"the API key of {client.settings.url} may no longer read invoices of the store"
            + (f": it lacks {permission}" if permission else f" ({error})"),
            status=listed.status_code,
        )
    return Unavailable(str(error), status=error.status, retry_after=error.retry_after)
