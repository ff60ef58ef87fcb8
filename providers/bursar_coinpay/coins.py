"""What CoinPay takes: its blockchain codes, the asset that each moves, and the link that a wallet understands.

CoinPay's own QR codes are wrong or missing for half of its codes, so the links are made here, from the address and the
amount that it asked for. Contracts are those whose balances CoinPay watches; a transfer of any other token is lost.
"""

from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import quote

import attrs

from bursar.errors import BadInput
from bursar.money import Asset, Money, fiat

__all__ = ["ASSETS", "COINS", "USD", "Coin", "find_coin"]

Link: TypeAlias = Callable[[str, Money], str]

USD: Final = fiat("USD")
BTC, BCH, DOGE = Asset("BTC", 8), Asset("BCH", 8), Asset("DOGE", 8)
ETH, POL, BNB = Asset("ETH", 18), Asset("POL", 18), Asset("BNB", 18)
SOL, XRP, ADA = Asset("SOL", 9), Asset("XRP", 6), Asset("ADA", 6)
USDC, USDT = Asset("USDC", 6), Asset("USDT", 6)
ASSETS: Final = (BTC, BCH, ETH, POL, SOL, DOGE, XRP, ADA, BNB, USDC, USDT)

_ETHEREUM, _POLYGON, _BNB_CHAIN, _BASE = 1, 137, 56, 8453


@attrs.frozen
class Coin:
    """Know one blockchain code of CoinPay: the *asset* it moves, and the *link* that asks a wallet for it."""

    code: str
    asset: Asset
    link: Link = attrs.field(repr=False)


def _bip21(scheme: str) -> Link:
    def link(address: str, amount: Money) -> str:
        # An address of Bitcoin Cash may carry the scheme already.
        return f"{scheme}:{_safe(address.removeprefix(scheme + ':'))}?amount={_short(amount)}"

    return link


def _native(chain: int) -> Link:
    def link(address: str, amount: Money) -> str:
        return f"ethereum:{_safe(address)}@{chain}?value={amount.minor}"

    return link


def _erc20(chain: int, contract: str) -> Link:
    def link(address: str, amount: Money) -> str:
        return f"ethereum:{contract}@{chain}/transfer?address={_safe(address)}&uint256={amount.minor}"

    return link


def _solana(mint: str = "") -> Link:
    def link(address: str, amount: Money) -> str:
        token = f"&spl-token={mint}" if mint else ""
        return f"solana:{_safe(address)}?amount={_short(amount)}{token}"

    return link


def _safe(address: str) -> str:
    return quote(address, safe="")


def _short(amount: Money) -> str:
    return amount.plain.rstrip("0").rstrip(".") if "." in amount.plain else amount.plain


_USDC_ON_ETHEREUM = _erc20(_ETHEREUM, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
_USDT_ON_ETHEREUM = _erc20(_ETHEREUM, "0xdAC17F958D2ee523a2206206994597C13D831ec7")

COINS: Final[dict[str, Coin]] = {
    coin.code: coin
    for coin in (
        Coin("BTC", BTC, _bip21("bitcoin")),
        Coin("BCH", BCH, _bip21("bitcoincash")),
        Coin("ETH", ETH, _native(_ETHEREUM)),
        Coin("POL", POL, _native(_POLYGON)),
        Coin("SOL", SOL, _solana()),
        Coin("DOGE", DOGE, _bip21("dogecoin")),
        Coin("XRP", XRP, _bip21("ripple")),
        Coin("ADA", ADA, _bip21("web+cardano")),
        Coin("BNB", BNB, _native(_BNB_CHAIN)),
        # Without a network in their name these two are the tokens on Ethereum.
        Coin("USDC", USDC, _USDC_ON_ETHEREUM),
        Coin("USDT", USDT, _USDT_ON_ETHEREUM),
        Coin("USDC_ETH", USDC, _USDC_ON_ETHEREUM),
        Coin("USDC_POL", USDC, _erc20(_POLYGON, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359")),
        Coin("USDC_BASE", USDC, _erc20(_BASE, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")),
        Coin("USDC_SOL", USDC, _solana("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")),
        Coin("USDT_ETH", USDT, _USDT_ON_ETHEREUM),
        Coin("USDT_POL", USDT, _erc20(_POLYGON, "0xc2132D05D31c914a87C6611C10748AEb04B58e8F")),
        Coin("USDT_SOL", USDT, _solana("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB")),
    )
}


def find_coin(code: str) -> Coin:
    """Return the coin of a blockchain *code*, in either case; raise `BadInput` for one that is not known here."""
    coin = COINS.get(code.upper())
    if coin is None:
        raise BadInput(f"CoinPay has no blockchain {code[:40]!r}; it knows {', '.join(COINS)}")
    return coin
