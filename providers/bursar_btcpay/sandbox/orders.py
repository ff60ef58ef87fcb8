"""How a request to create an invoice is read, checked and priced."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from bursar_btcpay.sandbox.bodies import Body
from bursar_btcpay.sandbox.invoices import Checkout, Currency, Invoice, Receipt, Speed
from bursar_btcpay.sandbox.problems import Problem, invalid, refused, unreadable
from bursar_btcpay.sandbox.rates import CHAIN
from bursar_btcpay.sandbox.server import Server, Store
from bursar_btcpay.sandbox.wire import EXACT, bitcoin_text, round_amount, round_up

__all__ = ["create_invoice", "method_id"]

_MOST: Final = Decimal(2**64 - 1)
# The smallest output that nodes relay to a segwit address.
_DUST: Final = Decimal("0.00000294")
_SPAN: Final = re.compile(r"(?:(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d{1,7})?)?|(\d{1,8}))", re.ASCII)
_LONGEST: Final = 2**31
_METHODS: Final = {
    "BTC": CHAIN,
    "BTC-OnChain": CHAIN,
    "BTC_BitcoinLike": CHAIN,
    CHAIN: CHAIN,
    "BTC-LightningNetwork": "BTC-LN",
    "BTC_LightningLike": "BTC-LN",
    "BTC_OffChain": "BTC-LN",
    "BTC-LN": "BTC-LN",
    "BTC-LNURLPAY": "BTC-LNURL",
    "BTC-LNURL": "BTC-LNURL",
}
_LANGUAGES: Final = frozenset(
    [
        "am-ET",
        "ar",
        "az",
        "bg-BG",
        "bs-BA",
        "ca-ES",
        "cs-CZ",
        "da-DK",
        "de-DE",
        "el-GR",
        "en",
        "es-ES",
        "fa",
        "fi-FI",
        "fr-FR",
        "he",
        "hi",
        "hr-HR",
        "hu-HU",
        "hy",
        "id",
        "is-IS",
        "it-IT",
        "ja-JP",
        "ka",
        "kk-KZ",
        "ko",
        "lv",
        "nl-NL",
        "no",
        "np-NP",
        "pl",
        "pt-BR",
        "pt-PT",
        "ro",
        "ru-RU",
        "sk-SK",
        "sl-SI",
        "sr",
        "sv",
        "th-TH",
        "tr",
        "uk-UA",
        "vi-VN",
        "zh-SG",
        "zh-TW",
        "zu",
    ]
)


def method_id(name: str) -> str | None:
    """Return the present id of a payment method, whatever of its older names is used; None for an unknown one."""
    return _METHODS.get(name)


def create_invoice(server: Server, store: Store, body: Body) -> Invoice:
    """Make the invoice that *body* asks for. The server does not know it yet: `Server.add_invoice`."""
    amount = body.amount("amount")
    code = (body.text("currency") or "").strip().upper() or store.currency
    metadata = body.object("metadata") or {}
    checkout = _read_checkout(body.inner("checkout"), amount)
    receipt = body.inner("receipt")
    shown = Receipt(
        _or_true(receipt.flag("enabled")),
        _or_true(receipt.flag("showQR")),
        _or_true(receipt.flag("showPayments")),
    )
    terms = tuple(term[:512] for term in body.texts("additionalSearchTerms") or [])
    now, names = server.now(), body.inner("checkout").texts("paymentMethods")
    wanted = names is None or CHAIN in map(method_id, names)
    free = amount == 0
    price, rate = _price(server, code, amount, wanted=wanted and not free)
    if not free and not wanted:
        raise _unavailable(now, f"Rate for BTC_{code}: {rate} = {rate} = {rate}")
    created = int(now)
    return Invoice(
        id=server.ids.short(),
        store=store.id,
        price=price,
        currency=Currency(code, server.rates.decimals(code) if server.rates.knows(code) else 2),
        rate=rate,
        created=created,
        expires=created + checkout.expiration,
        monitored_until=created + checkout.expiration + checkout.monitoring,
        checkout=checkout,
        metadata=metadata,
        top_up=amount is None,
        receipt=shown,
        terms=terms,
    )


def _or_true(value: bool | None) -> bool:
    return True if value is None else value


def _read_checkout(body: Body, amount: Decimal | None) -> Checkout:
    speed = body.choice("speedPolicy", Speed, "SpeedPolicy")
    expiration = _read_minutes(body, "expirationMinutes")
    monitoring = _read_minutes(body, "monitoringMinutes")
    tolerance = body.amount("paymentTolerance")
    names = body.texts("paymentMethods")
    language = body.text("defaultLanguage")
    errors: list[tuple[str, str]] = []
    if amount is not None and amount < 0:
        errors.append(("Amount", "The amount should be 0 or more."))
    if amount is not None and amount > _MOST:
        errors.append(("Amount", f"The amount should be less than {_MOST}."))
    if expiration is not None and expiration < 30:
        errors.append(("Checkout.Expiration", "Expiration time must be at least 30 seconds"))
    if tolerance is not None and not 0 <= tolerance <= 100:
        message = "PaymentTolerance can only be between 0 and 100 percent"
        errors.append(("Checkout.PaymentTolerance", message))
    for at, name in enumerate(names or []):
        if method_id(name) is None:
            errors.append((f"Checkout.PaymentMethods[{at}]", "Invalid PaymentMethodId"))
    if language is not None and language not in _LANGUAGES:
        message = (
            "The requested defaultLang does not exists, Browse the ~/misc/lang page of your BTCPay Server instance "
            "to see the list of supported languages."
        )
        errors.append(("Checkout.DefaultLanguage", message))
    if errors:
        raise invalid(*errors)
    usual = Checkout()
    default = method_id(body.text("defaultPaymentMethod") or "")
    return Checkout(
        speed=usual.speed if speed is None else speed,
        expiration=usual.expiration if expiration is None else expiration,
        monitoring=usual.monitoring if monitoring is None else monitoring,
        tolerance=usual.tolerance if tolerance is None else _as_double(tolerance),
        on_chain=amount != 0,
        lazy=bool(body.flag("lazyPaymentMethods")),
        default_method=default,
        redirect_url=body.text("redirectURL"),
        redirect_automatically=bool(body.flag("redirectAutomatically")),
        language=language,
    )


def _as_double(number: Decimal) -> Decimal:
    return number if int(number.as_tuple().exponent) < 0 else number.quantize(Decimal("0.1"))


def _read_minutes(body: Body, name: str) -> int | None:
    """Read a span as seconds: a number is whole minutes, a text a .NET TimeSpan (a bare number there means days)."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LONGEST:
        return value * 60
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise unreadable((body.where(name), "Invalid timespan"))
    days, hours, minutes, seconds, only_days = (int(part or 0) for part in found.groups())
    return ((days + only_days) * 24 + hours) * 3600 + minutes * 60 + seconds


def _price(server: Server, code: str, amount: Decimal | None, *, wanted: bool) -> tuple[Decimal, Decimal]:
    rate = server.rates.of(code)
    if rate is None:
        if amount == 0:
            return Decimal(0), Decimal(1)
        missing = f"ERR_NO_RULE_MATCH(BTC_{code})"
        raise _unavailable(
            server.now(),
            f"Rate for BTC_{code}: {missing} = {missing} = ???",
            warnings=("Rate rule error (PreprocessError)", f"Unable to get rate BTC_{code}."),
            error=f"{CHAIN}: Unable to get rate(s) BTC_{code}, this payment method disabled for this invoice.",
        )
    if not amount:
        return Decimal(0), rate
    price = round_amount(amount, server.rates.decimals(code))
    text = bitcoin_text(rate)
    if wanted and round_up(EXACT.divide(price, rate)) < _DUST:
        reason = (
            "Amount below the dust threshold. For amounts of this size, it is recommended to enable an off-chain "
            "(Lightning) payment method"
        )
        raise _unavailable(
            server.now(),
            f"Rate for BTC_{code}: {text} = {text} = {text}",
            error=f"{CHAIN}: Payment method unavailable ({reason})",
            after=f"{CHAIN}: Payment method details creation took 6 milliseconds",
        )
    return price, rate


def _unavailable(
    now: float, found: str, *, warnings: tuple[str, ...] = (), error: str = "", after: str = ""
) -> Problem:
    lines = [("Info", "Creation of invoice starting"), ("Info", found)]
    lines += [("Warning", warning) for warning in warnings]
    lines += [("Error", error)] if error else []
    lines += [("Info", after)] if after else []
    stamp = datetime.fromtimestamp(int(now), UTC).strftime("%m/%d/%Y %H:%M:%S")
    log = "".join(f"{stamp}:{level} {text}\n" for level, text in lines)
    return refused("generic-error", f"Error retrieving a matching payment method or rate.\n{log}")
