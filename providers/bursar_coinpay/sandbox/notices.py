"""The notices that the service sends, member for member: full ones, thin ones, and the card's."""

from decimal import Decimal
from typing import Any

from bursar_coinpay.sandbox.ledger import Row
from bursar_coinpay.sandbox.writing import javascript_time, number_text

__all__ = [
    "card_notice",
    "confirmed_in_full",
    "confirmed_thinly",
    "enveloped",
    "expired",
    "forwarded",
    "tested",
]


def enveloped(kind: str, data: dict[str, Any], *, business_id: str, now: float) -> dict[str, Any]:
    """Put *data* into the envelope. The id has the second but not the kind, so two kinds can share one."""
    return {
        "id": f"evt_{data['payment_id']}_{int(now)}",
        "type": kind,
        "data": {"payment_id": data["payment_id"], **data},
        "created_at": javascript_time(now),
        "business_id": business_id,
    }


def confirmed_in_full(row: Row, received: Decimal, at: float) -> dict[str, Any]:
    """Return what worker A tells."""
    return {
        "payment_id": row.id,
        "status": "confirmed",
        **_amounts(row),
        "payment_address": row.address,
        "received_amount": number_text(received),
        "confirmed_at": javascript_time(at),
        "metadata": row.metadata,
    }


def confirmed_thinly(row: Row, received: Decimal, at: float) -> dict[str, Any]:
    """Return what workers B and C tell."""
    return {
        "payment_id": row.id,
        "status": "confirmed",
        "blockchain": row.code,
        "amount_crypto": _crypto(row),
        "payment_address": row.address,
        "received_amount": received,
        "confirmed_at": javascript_time(at),
    }


def expired(row: Row, at: float) -> dict[str, Any]:
    """Return what workers B and C tell at the end of the window."""
    return {
        "payment_id": row.id,
        "status": "expired",
        "blockchain": row.code,
        "amount_crypto": _crypto(row),
        "payment_address": row.address,
        "reason": "Payment window expired (15 minutes)",
        "expired_at": javascript_time(at),
    }


def forwarded(row: Row, *, fee: Decimal, merchant: Decimal, fee_tx: str) -> dict[str, Any]:
    """Return what is told once the merchant has the money."""
    return {
        "payment_id": row.id,
        "status": "forwarded",
        **_amounts(row),
        "tx_hash": row.forward_tx,
        "merchant_tx_hash": row.forward_tx,
        "platform_tx_hash": fee_tx,
        "merchant_amount": merchant,
        "platform_fee": fee,
        "metadata": row.metadata,
    }


def card_notice(row: Row, intent: str, *, paid: bool) -> dict[str, Any]:
    """Return what is told of a card that was charged, or declined."""
    session = row.card.id if row.card else ""
    rail: dict[str, Any] = {
        "payment_rail": "card",
        "stripe_session_id": session,
        "stripe_payment_intent_id": intent,
    }
    if not paid:
        rail["failure_message"] = "Your card was declined."
    return {
        "payment_id": row.id,
        "status": "confirmed" if paid else "failed",
        "amount": row.amount,
        **({"amount_crypto": None} if paid else {}),
        "amount_usd": row.amount,
        "currency": "usd",
        "confirmations": 1 if paid else 0,
        "payment_address": None,
        "tx_hash": intent,
        "metadata": {**row.metadata, **rail},
    }


def tested(now: float) -> dict[str, Any]:
    """Return what the dashboard's test button tells."""
    return {
        "payment_id": f"test_{int(now * 1000)}",
        "amount": "50.00",
        "amount_crypto": "0.001",
        "amount_usd": "50.00",
        "currency": "BTC",
        "status": "test",
        "confirmations": 6,
        "tx_hash": "0x" + "ab" * 32,
        "message": "This is a test webhook from CoinPay",
    }


def _amounts(row: Row) -> dict[str, Any]:
    dollars = number_text(row.amount)
    return {
        "amount": dollars,
        "amount_crypto": _crypto(row),
        "amount_usd": dollars,
        "currency": row.code,
    }


def _crypto(row: Row) -> str:
    return "null" if row.crypto_amount is None else number_text(row.crypto_amount)
