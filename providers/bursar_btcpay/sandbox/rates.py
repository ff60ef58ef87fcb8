"""Fixed exchange rates: what one bitcoin costs."""

from decimal import Decimal
from typing import Final

import attrs

from bursar.errors import BadInput
from bursar.money import fiat

__all__ = ["CHAIN", "Rates"]

CHAIN: Final = "BTC-CHAIN"
_CRYPTO: Final = {"BTC": (Decimal(1), 8), "SATS": (Decimal(100_000_000), 0)}


@attrs.define
class Rates:
    """Hold *prices*: what one bitcoin costs in each currency. Bitcoin and satoshi are always there."""

    prices: dict[str, Decimal] = attrs.field(factory=lambda: {"USD": Decimal(50_000), "EUR": Decimal(40_000)})

    def of(self, currency: str) -> Decimal | None:
        """Return what one bitcoin costs in *currency*, or None."""
        known = _CRYPTO.get(currency)
        return known[0] if known else self.prices.get(currency)

    def decimals(self, currency: str) -> int:
        """Return the decimals of *currency*."""
        return _CRYPTO[currency][1] if currency in _CRYPTO else fiat(currency).decimals

    def knows(self, currency: str) -> bool:
        """Tell whether there is such a currency at all, with a rate or without."""
        try:
            self.decimals(currency)
        except BadInput:
            return False
        return True
