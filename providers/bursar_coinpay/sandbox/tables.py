"""The sandbox's world: what each blockchain code is, what coins cost, and what addresses look like."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Final

__all__ = [
    "CHAINS",
    "CODES",
    "DECIMALS",
    "FEES",
    "FIAT_PER_DOLLAR",
    "NAMES",
    "PRICES",
    "new_address",
    "quote",
    "ticker",
]

PRICES: Final = {
    "BTC": Decimal(60000),
    "BCH": Decimal(400),
    "ETH": Decimal(3000),
    "POL": Decimal("0.4"),
    "SOL": Decimal(150),
    "DOGE": Decimal("0.12"),
    "XRP": Decimal("0.55"),
    "ADA": Decimal("0.35"),
    "BNB": Decimal(580),
    "USDC": Decimal("0.9999"),
    "USDT": Decimal("1.0002"),
}
"""US dollars for one coin."""

DECIMALS: Final = {
    **dict.fromkeys(("BTC", "BCH", "DOGE"), 8),
    **dict.fromkeys(("ETH", "POL", "BNB"), 18),
    **dict.fromkeys(("XRP", "ADA", "USDC", "USDT"), 6),
    "SOL": 9,
}
NAMES: Final = {
    "BTC": "Bitcoin",
    "BCH": "Bitcoin Cash",
    "ETH": "Ethereum",
    "POL": "Polygon",
    "SOL": "Solana",
    "DOGE": "Dogecoin",
    "XRP": "XRP",
    "ADA": "Cardano",
    "BNB": "BNB",
    "USDC": "USD Coin",
    "USDT": "Tether",
}
CHAINS: Final = {"ETH": "Ethereum", "POL": "Polygon", "SOL": "Solana", "BASE": "BASE"}
FEES: Final = {
    "BTC": Decimal(2),
    "ETH": Decimal(3),
    "USDC_ETH": Decimal(3),
    "USDT_ETH": Decimal(3),
    "USDC": Decimal(3),
    "USDT": Decimal(3),
}
"""The network fee in US dollars that is put on top of a price; a cent where none stands here."""
FIAT_PER_DOLLAR: Final = {
    "USD": Decimal(1),
    "EUR": Decimal("0.92"),
    "GBP": Decimal("0.79"),
    "CAD": Decimal("1.36"),
    "AUD": Decimal("1.52"),
    "JPY": Decimal("149.5"),
    "CHF": Decimal("0.88"),
    "CNY": Decimal("7.24"),
    "INR": Decimal("83.1"),
    "BRL": Decimal("4.97"),
}
CODES: Final = (
    *("BTC", "BCH", "ETH", "POL", "SOL", "DOGE", "XRP", "ADA", "BNB"),
    *("USDT", "USDT_ETH", "USDT_POL", "USDT_SOL"),
    *("USDC", "USDC_ETH", "USDC_POL", "USDC_SOL", "USDC_BASE"),
)

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_EIGHT: Final = Decimal("0.00000001")


def ticker(code: str) -> str:
    """Return the coin that a blockchain code moves."""
    return code.split("_")[0]


def quote(dollars: Decimal, code: str) -> Decimal:
    """Return what CoinPay asks for in the coin: 8 decimals, even where the coin has 6."""
    return (dollars / PRICES[ticker(code)]).quantize(_EIGHT, ROUND_HALF_UP)


def new_address(code: str, draw: Random) -> str:
    """Return an address in the chain's style. Checksums are wrong on purpose: nobody can send real money there."""

    def of(alphabet: str, length: int) -> str:
        return "".join(draw.choice(alphabet) for _ in range(length))

    styles: dict[str, Callable[[], str]] = {
        "BTC": lambda: "bc1q" + of(_BECH32, 38),
        "BCH": lambda: "bitcoincash:q" + of(_BECH32, 41),
        "DOGE": lambda: "D" + of(_BASE58, 33),
        "XRP": lambda: "r" + of(_BASE58, 33),
        "ADA": lambda: "addr1v" + of(_BECH32, 52),
        "SOL": lambda: of(_BASE58, 44),
    }
    chain = code.split("_")[-1]
    return styles.get(chain, lambda: "0x" + of("0123456789abcdef", 40))()
