"""Read a payment as CoinPay describes it: how it stands, and what a buyer has to do."""

from decimal import ROUND_CEILING, ROUND_HALF_UP
from typing import Final

from bursar.errors import BadInput
from bursar.facts import Facts, Observation, Said, Word
from bursar.money import Asset, Money
from bursar.orders import Checkout, Instruction, Opened
from bursar_coinpay.coins import COINS, USD
from bursar_coinpay.wire import Members, as_members, read_number, read_time, text

__all__ = ["WORDS", "Unreadable", "money", "read_facts", "read_opened", "usd"]

WORDS: Final = {
    "pending": Word.NEW,
    "confirmed": Word.SETTLED,
    "forwarding": Word.SETTLED,
    # The buyer has paid; what failed is CoinPay's payout to the merchant, which it tries again.
    "forwarding_failed": Word.SETTLED,
    "forwarded": Word.SETTLED,
    "expired": Word.EXPIRED,
}
"""Every status that a payment can have. They only ever advance for us, so they are all spoken at one instant, 0."""


class Unreadable(ValueError):
    """Say what in CoinPay's description of a payment cannot be read."""


def money(value: object, asset: Asset, rounding: str) -> Money | None:
    """Read an amount of *asset* in any of CoinPay's forms; None where there is none; raise `Unreadable`."""
    try:
        number = read_number(value)
        return None if number is None else Money.of(number, asset, rounding=rounding)
    except (ValueError, BadInput) as error:
        raise Unreadable(f"an amount of {asset}: {error}") from None


def usd(value: object) -> Money | None:
    """Read an amount in US dollars."""
    return money(value, USD, ROUND_HALF_UP)


def read_facts(payment: Members, *, polled: bool) -> Facts:
    """Return what a payment's status and price say. A status that is not known says nothing."""
    word = WORDS.get(text(payment.get("status")))
    said = Said[Word].once(word, 0) if word else None
    billed = usd(payment.get("amount"))
    return Facts(
        verdict=said,
        polled=said if polled else None,
        billed=frozenset({billed} if billed else ()),
    )


def read_opened(payment: Members) -> Opened:
    """Return how the buyer pays: the amount rounded up to what the chain can carry, for CoinPay forgives nothing."""
    payment_id, address = text(payment.get("id")), text(payment.get("payment_address"))
    billed = usd(payment.get("amount"))
    coin = COINS.get(text(payment.get("blockchain")).upper())
    if not payment_id:
        raise Unreadable("no id")
    if billed is None:
        raise Unreadable("no price")
    if coin is None:
        raise Unreadable(f"a blockchain {payment.get('blockchain')!r:.40} that is not known here")
    # The quote has 8 decimals even where the asset has 6; one unit short is never confirmed.
    ask = money(payment.get("crypto_amount", payment.get("amount_crypto")), coin.asset, ROUND_CEILING)
    if ask is None or ask.minor <= 0 or not address:
        raise Unreadable("no address to pay to")
    ways = [Instruction(coin.code, ask, address, coin.link(address, ask))]
    card = text(payment.get("stripe_checkout_url"), 2000)
    if not card:
        card = text((as_members(payment.get("metadata")) or {}).get("stripe_checkout_url"), 2000)
    if card.startswith(("https://", "http://")):
        ways.append(Instruction("CARD", billed, "", card))
    return Opened(
        payment_id=payment_id,
        billed=billed,
        checkout=Checkout(instructions=tuple(ways)),
        asks=(ask,),
        expires_at=read_time(payment.get("expires_at")),
        seen=Observation(payment_id, read_facts(payment, polled=False)),
    )
