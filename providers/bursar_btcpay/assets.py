"""Which asset an amount is in: of an invoice's currency, and of a payment method."""

import re
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Final

from bursar.errors import BadInput
from bursar.money import Asset, Money, fiat
from bursar_btcpay.wire import Unreadable

__all__ = ["ASSETS", "BTC", "MILLISATS", "SATS", "currency_asset", "exact", "method_asset", "rounded"]

BTC: Final = Asset("BTC", 8)
SATS: Final = Asset("SATS", 0)
MILLISATS: Final = Asset("BTC", 11)
"""Bitcoin over Lightning, which counts thousandths of a satoshi."""
ASSETS: Final = (BTC, SATS)
_DECIMALS: Final = {"SATS": 0, "XMR": 12, "ETH": 18}
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_.-]{0,19}")


def currency_asset(code: str, hint: Asset | None = None) -> Asset:
    """Return the asset of an invoice's currency; *hint* is what is expected and wins where its code is the same."""
    if hint is not None and hint.code == code:
        return hint
    if code in ("BTC", "SATS"):
        return BTC if code == "BTC" else SATS
    try:
        return fiat(code)
    except BadInput:
        return _coin(code)


def method_asset(method: str, currency: str | None = None) -> Asset:
    """Return the asset that payments by *method* count in.

    The method alone decides, for an event says no more than that; so all Lightning is counted in millisatoshi.
    """
    coin, _, kind = method.partition("-")
    if kind in ("LN", "LNURL") and coin == "BTC":
        return MILLISATS
    return _coin(coin or currency or "")


def _coin(code: str) -> Asset:
    if not _CODE.fullmatch(code):
        raise Unreadable(f"{code[:40]!r} is no currency or coin")
    return Asset(code, _DECIMALS.get(code, 8))


def exact(amount: Decimal, asset: Asset) -> Money:
    """Return *amount* as it is; one with more decimals than *asset* has comes in an asset of its own, equal to no other."""
    try:
        return Money.of(amount, asset)
    except BadInput:
        decimals = -int(amount.normalize().as_tuple().exponent)
        if not 0 <= decimals <= 18:
            raise Unreadable(f"{asset.code} amount has {decimals} decimals") from None
        return Money.of(amount, Asset(asset.code, decimals))


def rounded(amount: Decimal, asset: Asset, *, up: bool = False) -> Money:
    """Return *amount* rounded to the smallest unit: down, so that money is never overstated, or half up."""
    return Money.of(amount, asset, rounding=ROUND_HALF_UP if up else ROUND_DOWN)
