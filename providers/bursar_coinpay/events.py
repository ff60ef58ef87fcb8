"""Read what CoinPay posts to a webhook URL: one URL per business for payments, cards, invoices, escrow and tests.

Everything but a payment's id and type may be missing, for two of CoinPay's four workers send almost nothing else.
Neither `payment.confirmed` nor `payment.expired` is certain to come; `payment.forwarded` says that it was paid too.
"""

from decimal import ROUND_CEILING, ROUND_DOWN
from typing import Final

from bursar.errors import BadDelivery
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.money import Money
from bursar.providers import Reading
from bursar_coinpay.coins import COINS, Coin
from bursar_coinpay.payments import Unreadable, money, usd
from bursar_coinpay.wire import Members, as_members, read_members, read_time, text

__all__ = ["CARD", "RECEIVED", "arrived", "read_event"]

RECEIVED: Final = "received"
"""The one transfer of all coins at a payment's address: CoinPay reports a total, never single transactions."""
CARD: Final = "card"

_WORDS: Final = {
    "payment.confirmed": Word.SETTLED,
    "payment.forwarded": Word.SETTLED,
    "payment.expired": Word.EXPIRED,
    # A declined card: the buyer may try another, or pay in coins.
    "payment.failed": None,
}


def read_event(body: bytes, *, business_id: str) -> Reading:
    """Return what *body* says of our payments: nothing for tests, other products, other businesses, unknown kinds."""
    try:
        event = read_members(body)
    except ValueError as error:
        raise BadDelivery(f"CoinPay's notice is not a JSON object in UTF-8: {error}") from None
    kind = text(event.get("type"))
    if kind == "business_collection" or not kind:
        # CoinPay's own fees: flat, and named by `event`.
        kind = text(event.get("event")) or kind
    if not kind:
        raise BadDelivery("CoinPay's notice has no type")
    event_id = text(event.get("id"))
    if kind not in _WORDS or text(event.get("business_id")).lower() != business_id.lower():
        return Reading(kind, event_id)
    data = as_members(event.get("data"))
    if data is None:
        raise BadDelivery(f"CoinPay's {kind} has no data")
    payment_id = text(data.get("payment_id"))
    if not payment_id:
        raise BadDelivery(f"CoinPay's {kind} names no payment")
    try:
        facts = _facts(kind, payment_id, data, spoken_at=read_time(event.get("created_at")))
    except Unreadable as error:
        raise BadDelivery(f"CoinPay's {kind} of payment {payment_id} cannot be read: {error}") from None
    return Reading(kind, event_id, (Observation(payment_id, facts, kind),))


def arrived(coin: Coin, received: object, expected: object, *, at: int) -> Facts:
    """Return that *received* of *coin* is at the address, final, where *expected* was asked for."""
    total = money(received, coin.asset, ROUND_DOWN)
    if total is None:
        return Facts()
    ask = money(expected, coin.asset, ROUND_CEILING)
    more = ask is not None and total > ask
    transfer = Transfer(RECEIVED, total, Said[Stage].once(Stage.CONFIRMED, at), at or None)
    return Facts(transfers=(transfer,), flags=frozenset({Flag.OVERPAID} if more else ()))


def _facts(kind: str, payment_id: str, data: Members, *, spoken_at: int | None) -> Facts:
    word = _WORDS[kind]
    # The amount of a card session without a payment (`cs_…`) is in a currency that the notice does not name.
    billed = None if payment_id.startswith("cs_") else usd(data.get("amount_usd"))
    facts = Facts(
        verdict=Said[Word].once(word, 0) if word else None,
        billed=frozenset({billed} if billed else ()),
        flags=frozenset(() if word else {Flag.DECLINED}),
    )
    if kind == "payment.confirmed":
        at = read_time(data.get("confirmed_at")) or spoken_at or 0
        if _is_card(data):
            return facts.join(_charged(billed, at))
        coin = COINS.get(text(data.get("currency") or data.get("blockchain")).upper())
        if coin is not None:
            received, expected = data.get("received_amount"), data.get("amount_crypto")
            return facts.join(arrived(coin, received, expected, at=at))
    if kind == "payment.forwarded":
        return facts.join(_moved(data))
    return facts


def _is_card(data: Members) -> bool:
    metadata = as_members(data.get("metadata")) or {}
    return metadata.get("payment_rail") == "card" or data.get("currency") == "usd"


def _charged(billed: Money | None, at: int) -> Facts:
    if billed is None:
        return Facts()
    return Facts(transfers=(Transfer(CARD, billed, Said[Stage].once(Stage.CONFIRMED, at), at or None),))


def _moved(data: Members) -> Facts:
    """Return what a payout proves to have arrived, where that is more than was asked; less is only CoinPay's costs."""
    coin = COINS.get(text(data.get("currency") or data.get("blockchain")).upper())
    if coin is None:
        return Facts()
    parts = [money(data.get(name), coin.asset, ROUND_DOWN) for name in ("merchant_amount", "platform_fee")]
    moved = sum((part for part in parts if part), Money.zero(coin.asset))
    ask = money(data.get("amount_crypto"), coin.asset, ROUND_CEILING)
    if ask is None or moved <= ask:
        return Facts()
    return arrived(coin, moved.plain, ask.plain, at=0)
