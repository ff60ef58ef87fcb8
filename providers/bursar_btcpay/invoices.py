"""Read what the API says of an invoice and of its payment methods, on 2.x and on 1.x servers."""

from decimal import Decimal

import attrs

from bursar.money import Asset, Money
from bursar.orders import Checkout, Instruction
from bursar_btcpay.assets import BTC, currency_asset, exact, method_asset
from bursar_btcpay.settings import Settings, read_method
from bursar_btcpay.wire import Document, Unreadable

__all__ = ["Invoice", "Method", "Paid", "asks", "checkout", "read_invoice", "read_methods", "read_paid"]

_NOTHING = Decimal(0)


@attrs.frozen
class Invoice:
    """Hold an invoice; *paid* is None where the server is too old to say (before 2.1.2)."""

    id: str
    store_id: str
    amount: Decimal
    currency: str
    status: str
    additional: str
    expires_at: int
    paid: Decimal | None = None
    top_up: bool = False
    link: str = ""
    methods: tuple[str, ...] = ()


@attrs.frozen
class Paid:
    """Hold one payment of an invoice. *net* is what it pays of the price: its value less the network fee it was charged."""

    id: str
    net: Money
    status: str
    received_at: int | None


@attrs.frozen
class Method:
    """Hold one way to pay an invoice: what is *due* now, and *price*, the invoice's own amount without network fees."""

    id: str
    asset: Asset
    price: Decimal
    due: Decimal
    destination: str = ""
    link: str = ""
    payments: tuple[Paid, ...] = ()


def read_invoice(doc: Document) -> Invoice:
    """Read an invoice; raise `Unreadable` where it lacks what every server says."""
    options, currency = doc.inner("checkout"), doc.text("currency").upper()
    currency_asset(currency)
    return Invoice(
        id=doc.text("id"),
        store_id=doc.text("storeId"),
        amount=doc.amount("amount") or _NOTHING,
        currency=currency,
        status=doc.text("status"),
        additional=doc.maybe_text("additionalStatus") or "None",
        expires_at=doc.seconds("expirationTime"),
        paid=doc.amount("paidAmount"),
        top_up=doc.maybe_text("type") == "TopUp",
        link=doc.maybe_text("checkoutLink") or "",
        methods=tuple(read_method(m) for m in (options.texts("paymentMethods") if options else [])),
    )


def read_methods(docs: list[Document]) -> tuple[Method, ...]:
    """Read the payment methods of an invoice, with the payments made by each."""
    return tuple(_read_method(doc) for doc in docs)


def _read_method(doc: Document) -> Method:
    method = read_method(doc.text("paymentMethodId", "paymentMethod"))
    amount = doc.amount("amount") or _NOTHING
    # The fee grows once a first payment has come in; the price without it stays what it was.
    fee = doc.amount("paymentMethodFee", "networkFee") or _NOTHING
    due = doc.amount("due")
    return Method(
        id=method,
        asset=method_asset(method, doc.maybe_text("currency", "cryptoCode")),
        price=max(amount - fee, _NOTHING),
        due=max(amount if due is None else due, _NOTHING),
        destination=doc.maybe_text("destination") or "",
        link=doc.maybe_text("paymentLink") or "",
        payments=tuple(read_paid(payment, method) for payment in doc.each("payments")),
    )


def read_paid(doc: Document, method: str) -> Paid:
    """Read one payment, from an answer or from an event."""
    payment_id, value = doc.text("id"), doc.amount("value")
    if value is None or len(payment_id) > 200:
        raise Unreadable(f"{doc.what} has no value, or too long an id")
    net = max(value - (doc.amount("fee") or _NOTHING), _NOTHING)
    return Paid(
        id=payment_id,
        net=exact(net, method_asset(method)),
        status=doc.maybe_text("status") or "",
        received_at=doc.maybe_seconds("receivedDate"),
    )


def asks(methods: tuple[Method, ...]) -> tuple[Money, ...]:
    """Return what a buyer is told to send, one amount an asset, without network fees."""
    found: dict[Asset, Money] = {}
    for method in methods:
        if method.price > 0:
            found.setdefault(method.asset, exact(method.price, method.asset))
    return tuple(found.values())


def checkout(settings: Settings, invoice: Invoice, methods: tuple[Method, ...]) -> Checkout:
    """Say where and how the buyer pays."""
    link = invoice.link
    if settings.public_url or not link.startswith(("https://", "http://")):
        # BTCPay makes the link from the host of our request, which may be an address of the inside.
        link = f"{settings.shown_url}/i/{invoice.id}"
    modal = settings.show == "modal"
    return Checkout(
        url=link,
        script=f"{settings.shown_url}/modal/btcpay.js" if modal else "",
        instructions=tuple(
            Instruction(m.id, _shown(m), m.destination, m.link)
            for m in methods
            if m.destination and m.due > 0
        ),
    )


def _shown(method: Method) -> Money:
    """Return what is due, in satoshi where no part of one is asked for."""
    due = exact(method.due, method.asset)
    if due.asset.code == BTC.code and due.minor % 10 ** (due.asset.decimals - BTC.decimals) == 0:
        return exact(method.due, BTC)
    return due
