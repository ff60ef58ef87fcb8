"""The service's own QR codes, with their faults: half of its codes give an error, or a link to the wrong thing."""

import io
from decimal import Decimal
from typing import Final

import segno

from bursar_coinpay.sandbox.ledger import Row
from bursar_coinpay.sandbox.writing import number_text

__all__ = ["link", "png", "svg"]

_BIP21: Final = {
    "BTC": "bitcoin",
    "BCH": "bitcoincash",
    "DOGE": "dogecoin",
    "XRP": "ripple",
    "ADA": "web+cardano",
}
_CHAIN_IDS: Final = {"ETH": "1", "POL": "137", "USDC_ETH": "1", "USDC_POL": "137"}
_CONTRACTS: Final = {
    "USDC_ETH": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    "USDC_POL": "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359",
}
_FAILING: Final = frozenset({"USDT_ETH", "USDT_POL", "USDT_SOL", "USDC_BASE"})


def link(row: Row) -> str | None:
    """Return what the service's QR code says; None where it fails to make one."""
    amount = row.crypto_amount or Decimal(0)
    if row.code in _BIP21:
        return f"{_BIP21[row.code]}:{row.address}?amount={number_text(amount)}"
    if row.code in ("SOL", "USDC_SOL"):
        token = "&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v" if row.code == "USDC_SOL" else ""
        return f"solana:{row.address}?amount={number_text(amount)}{token}"
    if row.code in _FAILING or amount < Decimal("0.000001"):
        return None
    units = int(amount.scaleb(row.decimals))
    chain = _CHAIN_IDS.get(row.code, "undefined")
    if row.code in _CONTRACTS:
        return f"ethereum:{_CONTRACTS[row.code]}@{chain}/transfer?address={row.address}&uint256={units}"
    return f"ethereum:{row.address}@{chain}?value={units}"


def png(text: str) -> bytes:
    """Draw *text* as a QR code."""
    drawn = io.BytesIO()
    segno.make(text, error="m").save(drawn, kind="png", scale=6, border=2)
    return drawn.getvalue()


def svg(text: str) -> str:
    """Draw *text* as a QR code to be put into a page."""
    return segno.make(text, error="m").svg_inline(scale=5, border=2)
