"""Invoices over the API: create, list, read, change, mark, archive, refund."""

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Final

from bursar_btcpay.sandbox.answers import invoice_json, methods_json, pull_json
from bursar_btcpay.sandbox.api import EMPTY, Call, Route, both
from bursar_btcpay.sandbox.bodies import Body
from bursar_btcpay.sandbox.invoices import Event, Extra, Invoice, Status, markable
from bursar_btcpay.sandbox.orders import create_invoice, method_id
from bursar_btcpay.sandbox.permissions import may
from bursar_btcpay.sandbox.problems import Crash, invalid, refused, unreadable
from bursar_btcpay.sandbox.rates import CHAIN
from bursar_btcpay.sandbox.refunds import Offer, is_refundable, paid_bitcoin, refund_amount, round_to
from bursar_btcpay.sandbox.wire import EXACT, Json, plain

__all__ = ["ROUTES"]

VIEW: Final = "btcpay.store.canviewinvoices"
MODIFY: Final = "btcpay.store.canmodifyinvoices"
SETTINGS: Final = "btcpay.store.canmodifystoresettings"
REFUND: Final = "btcpay.store.cancreatenonapprovedpullpayments"
APPROVED: Final = "btcpay.store.cancreatepullpayments"


def _create(call: Call) -> Json:
    invoice = create_invoice(call.server, call.store, call.body("CreateInvoiceRequest"))
    # The answer shows the invoice as it was made: one of nothing is already settled when it arrives.
    answer = invoice_json(invoice, call.url, original=True)
    call.server.add_invoice(invoice)
    return answer


def _list(call: Call) -> Json:
    start, end = _read_time(call, "startDate"), _read_time(call, "endDate")
    if start is not None and end is not None and start > end:
        raise invalid(
            ("endDate", "endDate should not be below startDate"),
            ("startDate", "startDate should not be above endDate"),
        )
    tests: list[Callable[[Invoice], bool]] = [lambda invoice: invoice.store == call.store.id]
    if not call.flag("includeArchived"):
        tests.append(lambda invoice: not invoice.archived)
    orders = set(call.query.getlist("orderId"))
    if orders:
        tests.append(lambda invoice: _order_id(invoice) in orders)
    states = {
        status for name in call.query.getlist("status") for status in Status if status.lower() == name.lower()
    }
    if states:
        tests.append(lambda invoice: invoice.status in states)
    text = call.query.get("textSearch", "").strip()
    if text:
        tests.append(lambda invoice: any(term.startswith(text) for term in _terms(invoice)))
    if start is not None:
        tests.append(lambda invoice: invoice.created >= start)
    if end is not None:
        tests.append(lambda invoice: invoice.created <= end)
    found = [invoice for invoice in call.server.invoices.values() if all(test(invoice) for test in tests)]
    # By second of creation; within one second the database's order is any.
    found.sort(key=lambda invoice: (-invoice.created, invoice.id))
    skip, take = _read_count(call, "skip") or 0, _read_count(call, "take")
    page = found[skip:] if take is None else found[skip : skip + take]
    return [_show(call, invoice) for invoice in page]


def _get(call: Call) -> Json:
    return _show(call, call.invoice)


def _show(call: Call, invoice: Invoice) -> Json:
    methods = methods_json(invoice) if call.flag("includePaymentMethods") else None
    return invoice_json(invoice, call.url, methods=methods)


def _update(call: Call) -> Json:
    metadata = call.body("UpdateInvoiceRequest").object("metadata")
    if metadata is not None:
        call.invoice.metadata = metadata
    return invoice_json(call.invoice, call.url)


def _mark(call: Call) -> Json:
    wanted = call.body("MarkInvoiceStatusRequest").choice("status", Status, "InvoiceStatus", nullable=False)
    before = invoice_json(call.invoice, call.url)
    if wanted is None or wanted not in markable(call.invoice):
        raise invalid(
            ("Status", "Status can only be marked to invalid or settled within certain conditions.")
        )
    call.server.mark(call.invoice, wanted)
    return before


def _archive(call: Call) -> Json:
    call.invoice.archived = True
    return EMPTY


def _unarchive(call: Call) -> Json:
    if not call.invoice.archived:
        raise refused("already-unarchived", "Invoice is already unarchived")
    before = invoice_json(call.invoice, call.url)
    call.invoice.archived = False
    return before


def _methods(call: Call) -> Json:
    if call.flag("includeSensitive"):
        call.require(SETTINGS, call.store.id)
    return methods_json(call.invoice, all_payments=not call.flag("onlyAccountedPayments", default=True))


def _activate(call: Call) -> Json:
    if method_id(call.path["method"]) != CHAIN or not call.invoice.checkout.on_chain:
        raise Crash
    call.server.activate(call.invoice)
    return EMPTY


class Variant(StrEnum):
    RATE_THEN = "RateThen"
    CURRENT_RATE = "CurrentRate"
    FIAT = "Fiat"
    OVERPAID_AMOUNT = "OverpaidAmount"
    CUSTOM = "Custom"


def _refund(call: Call) -> Json:
    body, invoice = call.body("RefundInvoiceRequest"), call.invoice
    variant = body.choice("refundVariant", Variant, "RefundVariant")
    custom, currency = body.amount("customAmount"), body.text("customCurrency")
    percent = body.amount("subtractPercentage") or Decimal(0)
    if not is_refundable(invoice):
        raise refused("non-refundable", "Cannot refund this invoice")
    errors = _method_errors(body)
    if not 0 <= percent <= 100:
        errors.append(("SubtractPercentage", "Percentage must be a numeric value between 0 and 100"))
    errors += _variant_errors(call, variant, custom, currency)
    if errors or variant is None:
        raise invalid(*errors)
    pair = (custom, currency.strip().upper()) if custom is not None and currency else None
    code, amount, automatic = refund_amount(invoice, variant, call.server.rates, pair, percent)
    now = call.server.now()
    assert call.key is not None
    offer = Offer(
        name=body.text("name") or f"Refund {invoice.id}",
        description=body.text("description") or "",
        currency=code,
        amount=amount,
        automatic=automatic and may(call.key, APPROVED, invoice.store),
        starts=int(now) - 1,
    )
    pull = call.server.refunds.open(invoice.store, offer, invoice=invoice.id)
    call.server.publish(invoice, [Event("InvoiceRefund", {"pullPaymentId": pull.id})])
    return pull_json(pull, call.url)


def _method_errors(body: Body) -> list[tuple[str, str]]:
    names, place = body.texts("payoutMethods"), "PayoutMethods"
    if names is None and body.text("payoutMethodId"):
        names, place = [body.text("payoutMethodId") or ""], "PayoutMethodId"
    if names is None:
        return []
    bad = [name for name in names if method_id(name) != CHAIN]
    errors = [(place, f"Invalid or unsupported payout method: {name}") for name in bad]
    if bad or not names:
        text = "Please select one of the payment methods which were available for the original invoice"
        errors.append((place, text))
    return errors


def _variant_errors(
    call: Call, variant: Variant | None, custom: Decimal | None, currency: str | None
) -> list[tuple[str, str]]:
    rates = call.server.rates
    if variant is None:
        return [("RefundVariant", "`refundVariant` is mandatory")]
    if variant is not Variant.CUSTOM:
        fields = {"CustomAmount": custom, "CustomCurrency": currency}
        text = "{} should only be set if the refundVariant is Custom"
        return [(name, text.format(name)) for name, value in fields.items() if value is not None]
    errors: list[tuple[str, str]] = []
    if custom is None or custom <= 0:
        errors.append(("CustomAmount", "Amount must be greater than 0"))
    code = (currency or "").strip().upper()
    if not rates.knows(code):
        errors.append(("CustomCurrency", "Invalid currency"))
    elif rates.of(code) is None:
        errors.append(("RefundVariant", f"Impossible to fetch rate: BTC_{code}"))
    return errors


def _preview(call: Call) -> Json:
    invoice = call.invoice
    if method_id(call.path["method"]) != CHAIN or not invoice.checkout.on_chain:
        raise refused("invalid-payment-method", "Invalid payment method")
    paid, decimals = paid_bitcoin(invoice), invoice.currency.decimals
    worth = round_to(EXACT.multiply(paid, invoice.rate), decimals)
    rate = call.server.rates.of(invoice.currency.code)
    if rate is None:
        raise refused("rate-failure", "Impossible to fetch the current rate")
    over = paid - invoice.asked if invoice.extra is Extra.OVER else None
    return {
        "paymentAmountNow": _trim(round_to(EXACT.divide(worth, rate), 8)),
        "currentRateText": None,
        "paymentAmountThen": _trim(paid),
        "invoiceAmount": worth,
        "overpaidPaymentAmount": None if over is None else _trim(over),
        "invoiceCurrency": invoice.currency.code,
        "paymentCurrency": "BTC",
        "paymentCurrencyDivisibility": 8,
        "invoiceCurrencyDivisibility": decimals,
    }


def _trim(amount: Decimal) -> Decimal:
    trimmed = amount.normalize(EXACT)
    return trimmed if int(trimmed.as_tuple().exponent) <= 0 else trimmed.quantize(Decimal(1))


def _order_id(invoice: Invoice) -> str:
    value = invoice.metadata.get("orderId")
    return "" if value is None else str(value)


def _terms(invoice: Invoice) -> list[str]:
    email = invoice.metadata.get("buyerEmail")
    terms = [invoice.id, _order_id(invoice), plain(invoice.price), *invoice.terms]
    terms += [str(email)] if email else []
    terms += [invoice.address] if invoice.address else []
    return terms + [payment.transaction for payment in invoice.payments]


def _read_time(call: Call, name: str) -> int | None:
    value = call.query.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 11:
        raise unreadable((name, "Invalid unix timestamp"))
    return int(value)


def _read_count(call: Call, name: str) -> int | None:
    value = call.query.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise unreadable((name, f"The value '{value}' is not valid."))
    return int(value)


ROUTES: Final[list[Route]] = [
    Route("POST", "/stores/{store}/invoices", _create, "btcpay.store.cancreateinvoice"),
    Route("GET", "/stores/{store}/invoices", _list, VIEW),
    *both("GET", "/invoices/{invoice}", _get, VIEW),
    *both("PUT", "/invoices/{invoice}", _update, MODIFY),
    *both("DELETE", "/invoices/{invoice}", _archive, MODIFY),
    *both("POST", "/invoices/{invoice}/status", _mark, MODIFY),
    *both("POST", "/invoices/{invoice}/unarchive", _unarchive, MODIFY),
    *both("GET", "/invoices/{invoice}/payment-methods", _methods, VIEW),
    *both("POST", "/invoices/{invoice}/payment-methods/{method}/activate", _activate, VIEW),
    *both("POST", "/invoices/{invoice}/refund", _refund, REFUND),
    *both("GET", "/invoices/{invoice}/refund/{method}", _preview, REFUND),
]
