"""What the checkout page shows in each state: decided here, in data, so that the template only lays it out."""

from decimal import ROUND_CEILING
from enum import Enum
from typing import Final

import attrs
import segno

from bursar.lifecycle import OrderStatus
from bursar.money import Money
from bursar.orders import Instruction
from bursar.refunds import RefundStatus
from bursar.standing import PaymentStatus
from bursar.views import OrderView, PaymentView
from bursar.web.amounts import show, trimmed

__all__ = ["Claim", "Page", "State", "Way", "is_final", "page_of"]


class State(Enum):
    """Name what the buyer is to be told."""

    START = "start"
    WAITING = "waiting"
    CLOSED = "closed"
    PARTIAL = "partial"
    PROCESSING = "processing"
    HELD = "held"
    PAID = "paid"
    UNDERPAID = "underpaid"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


TEXTS: Final[dict[State, tuple[str, str]]] = {
    State.START: (
        "Ready to pay",
        "Start when it suits you; from then on you have some time to send the money.",
    ),
    State.WAITING: (
        "Waiting for your payment",
        "Send exactly this amount. This page changes by itself once it is seen.",
    ),
    State.CLOSED: (
        "Time is up",
        "We are asking whether your payment was seen in time. Please do not send anything now.",
    ),
    State.PARTIAL: (
        "A part has arrived",
        "Thank you. Please pay the rest before the time is up.",
    ),
    State.PROCESSING: (
        "Payment seen",
        "Your payment was seen and is being confirmed. You need not do anything more.",
    ),
    State.HELD: (
        "Payment received, and being looked at",
        "Your money has arrived, and the shop has to look at it. You will hear from the shop; please do not pay again.",
    ),
    State.PAID: ("Paid", "Thank you. Your payment is complete."),
    State.UNDERPAID: (
        "Not enough has arrived",
        "The time ran out before all of it came. You can pay the rest with a new payment; nothing that you sent is lost.",
    ),
    State.EXPIRED: (
        "This payment has expired",
        "Nothing was received in time. Please do not send anything to the old address; start again instead.",
    ),
    State.FAILED: (
        "This payment did not work",
        "It was not completed. You can start again; if you have sent money, the shop sees it.",
    ),
    State.CANCELLED: (
        "This order was cancelled",
        "Please do not send anything. If you have paid already, the shop sees it.",
    ),
    State.REFUNDED: ("Refunded", "Money of this order has gone back."),
}
_CAN_START: Final = frozenset({State.START, State.UNDERPAID, State.EXPIRED, State.FAILED})
_PAYABLE: Final = frozenset({State.WAITING, State.PARTIAL})
_FINAL: Final = frozenset({State.PAID, State.CANCELLED, State.REFUNDED})
_OVER: Final = frozenset({RefundStatus.COMPLETED, RefundStatus.FAILED, RefundStatus.CANCELLED})
_ELSEWHERE: Final = (
    "Pay on the payment service's page. This page changes by itself once your payment is seen."
)
_TONES: Final = {
    State.PAID: "good",
    State.REFUNDED: "good",
    State.EXPIRED: "bad",
    State.FAILED: "bad",
    State.CANCELLED: "bad",
    State.UNDERPAID: "warn",
    State.HELD: "warn",
    State.PARTIAL: "warn",
    State.CLOSED: "warn",
}


@attrs.frozen
class Way:
    """Show one way to pay: what to send, where, the wallet's link, and its QR code as SVG."""

    method: str
    amount: str
    number: str
    address: str
    uri: str
    qr: str


@attrs.frozen
class Claim:
    """Show money that goes back: how much, how far it is, and the link by which the buyer claims it."""

    amount: str
    text: str
    link: str


@attrs.frozen
class Page:
    """Hold all that the template lays out."""

    state: State
    title: str
    text: str
    amount: str
    reference: str
    description: str
    tone: str
    final: bool
    can_start: bool
    start_label: str
    return_url: str
    ways: tuple[Way, ...] = ()
    claims: tuple[Claim, ...] = ()
    expires_at: int | None = None
    hosted: str = ""
    script: str = ""
    payment_id: str = ""
    received: str = ""
    missing: str = ""
    surplus: str = ""
    time_left: str = ""


def page_of(order: OrderView, *, now: int, locale: str) -> Page:
    """Return what the buyer of *order* sees *now* (Unix seconds)."""
    payment = order.payment
    state = _state(order, payment, now)
    title, text = TEXTS[state]
    payable = state in _PAYABLE and payment is not None
    missing = _missing(order)
    kept = order.kept.dossier.order
    ways = _ways(payment, missing, locale) if payable and payment else ()
    if state is State.WAITING and not ways:
        text = _ELSEWHERE
    return Page(
        state=state,
        title=title,
        text=text,
        amount=show(order.amount, locale),
        reference=order.reference,
        description=kept.description,
        tone=_TONES.get(state, "plain"),
        final=is_final(order, now=now),
        can_start=state in _CAN_START,
        start_label=_start_label(state, missing, locale),
        return_url=kept.return_url,
        ways=ways,
        claims=tuple(_claims(order, locale)),
        expires_at=payment.expires_at if payable and payment else None,
        hosted=payment.checkout.url if payable and payment else "",
        script=payment.checkout.script if payable and payment else "",
        payment_id=(payment.payment_id or "") if payable and payment else "",
        received=show(order.received, locale) if order.received and state not in _FINAL else "",
        missing=show(missing, locale) if missing and state in (State.PARTIAL, State.UNDERPAID) else "",
        surplus=show(order.surplus, locale) if order.surplus and state is State.PAID else "",
        time_left=_time_left(payment, now) if payable and payment else "",
    )


def is_final(order: OrderView, *, now: int) -> bool:
    """Tell whether the page of *order* has nothing more to wait for: neither money that comes nor money that goes back."""
    state = _state(order, order.payment, now)
    return state in _FINAL and all(refund.status in _OVER for refund in order.refunds)


def _time_left(payment: PaymentView, now: int) -> str:
    if payment.expires_at is None:
        return ""
    minutes, seconds = divmod(max(0, payment.expires_at - now), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def _state(order: OrderView, payment: PaymentView | None, now: int) -> State:
    match order.status:
        case OrderStatus.PAID | OrderStatus.FULFILLED:
            return State.PAID
        case OrderStatus.REFUNDED | OrderStatus.PARTIALLY_REFUNDED:
            return State.REFUNDED
        case OrderStatus.CANCELLED:
            return State.CANCELLED
        case OrderStatus.EXPIRED:
            return State.EXPIRED
        case OrderStatus.FAILED:
            return State.FAILED
        case _:
            pass
    if payment is None:
        return State.START
    closed = payment.expires_at is not None and now >= payment.expires_at
    held = any(p.status is PaymentStatus.HELD for p in order.payments)
    match payment.status:
        case PaymentStatus.WAITING:
            return State.CLOSED if closed else State.WAITING
        case PaymentStatus.PARTIAL:
            return State.CLOSED if closed else State.PARTIAL
        case PaymentStatus.UNDERPAID:
            return State.UNDERPAID
        case PaymentStatus.EXPIRED | PaymentStatus.FAILED if order.status is OrderStatus.PARTIALLY_PAID:
            return State.UNDERPAID
        case _:
            return State.HELD if held else State.PROCESSING


def _missing(order: OrderView) -> Money:
    return max(order.amount - order.received, Money.zero(order.amount.asset))


def _start_label(state: State, missing: Money, locale: str) -> str:
    if state is State.UNDERPAID:
        return f"Pay the rest: {show(missing, locale)}"
    return "Start the payment" if state is State.START else "Start again"


def _ways(payment: PaymentView, missing: Money, locale: str) -> tuple[Way, ...]:
    whole = missing >= payment.amount
    if not whole and payment.checkout.url:
        # What is due now, a fee for a second payment included, only the service's own page knows.
        return ()
    return tuple(
        _way(i if whole else _rest(i, payment, missing), locale) for i in payment.checkout.instructions
    )


def _rest(instruction: Instruction, payment: PaymentView, missing: Money) -> Instruction:
    part = instruction.amount.share(missing, payment.amount, rounding=ROUND_CEILING)
    return attrs.evolve(instruction, amount=part, uri="")


def _way(instruction: Instruction, locale: str) -> Way:
    scheme = instruction.uri.partition(":")[0].lower()
    uri = instruction.uri if scheme.isalnum() and scheme not in ("javascript", "data", "vbscript") else ""
    drawn = segno.make(uri or instruction.address, error="m", micro=False)
    return Way(
        method=_METHODS.get(instruction.method, instruction.method.replace("_", " on ").replace("-", " ")),
        amount=show(instruction.amount, locale),
        number=trimmed(instruction.amount),
        address=instruction.address,
        uri=uri,
        qr=drawn.svg_inline(
            border=2, dark="#10131a", light="#ffffff", omitsize=True, svgclass="qr", lineclass=None
        ),
    )


_METHODS: Final = {"BTC-CHAIN": "Bitcoin", "BTC-LN": "Lightning", "BTC-LNURL": "Lightning (LNURL)"}


def _claims(order: OrderView, locale: str) -> list[Claim]:
    texts = {
        RefundStatus.WAITING_FOR_BUYER: "waits for you to claim it",
        RefundStatus.WAITING_FOR_APPROVAL: "is claimed, and waits for the shop's approval",
        RefundStatus.APPROVED: "is approved, and about to be sent",
        RefundStatus.IN_PAYMENT: "is on its way",
        RefundStatus.COMPLETED: "has been sent",
    }
    found: list[Claim] = []
    for refund in order.refunds:
        text = texts.get(refund.status, "is being prepared by the shop")
        if refund.status in (RefundStatus.FAILED, RefundStatus.CANCELLED):
            continue
        waits = refund.status is RefundStatus.WAITING_FOR_BUYER
        link = next((link for link in refund.links if link.startswith(("https://", "http://"))), "")
        found.append(Claim(show(refund.amount, locale), text, link if waits else ""))
    return found
