"""Making a payment by the API: what is asked for, in the order in which the server looks at it, and its refusals."""

from collections import deque
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import attrs

from bursar_coinpay.sandbox.ledger import Row
from bursar_coinpay.sandbox.machine import Machine
from bursar_coinpay.sandbox.tables import CODES
from bursar_coinpay.sandbox.writing import database_time

__all__ = ["FAULTS", "Answer", "create", "row_members"]

_LIMIT: Final = Decimal(1_000_000)
_PLAN: Final = {"status": "past_due"}

FAULTS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "price feed": (400, {"success": False, "error": "Failed to calculate crypto price: fetch failed"}),
    "exchange feed": (400, {"success": False, "error": "Failed to fetch FX rate for USD: fetch failed"}),
    "database": (400, {"success": False, "error": "canceling statement due to statement timeout"}),
    "race": (
        400,
        {
            "success": False,
            "error": "duplicate key value violates unique constraint "
            '"payments_business_idempotency_key_uidx"',
        },
    ),
    "no address": (
        400,
        {"success": False, "error": "Payment created but address generation failed: no seed"},
    ),
    "no onboarding": (
        400,
        {
            "success": False,
            "error": "Card payments require Stripe Connect. Please complete Stripe onboarding at "
            "/api/stripe/connect/onboard first.",
        },
    ),
    "inactive business": (401, {"success": False, "error": "Business is inactive"}),
    "inactive plan": (
        402,
        {"error": "Subscription is not active", "code": "SUBSCRIPTION_INACTIVE", "details": _PLAN},
    ),
    "no scope": (403, {"success": False, "error": "API key missing required scope: payments:create"}),
    "no business": (404, {"success": False, "error": "Business not found"}),
    "rate limit": (429, {"success": False, "error": "Too many requests"}),
    "quota": (
        429,
        {"success": False, "error": "Monthly transaction limit exceeded", "usage": {"current": 5}},
    ),
    "crash": (500, {"success": False, "error": "Internal server error"}),
    # The payment is made, and its answer is lost behind a gateway's page.
    "lost answer": (502, {}),
}
"""What can be made to go wrong once, by name."""


@attrs.frozen
class Answer:
    """Hold a status and the members of a JSON body; a body of None is a page in HTML."""

    status: int
    body: dict[str, Any] | None
    headers: tuple[tuple[str, str], ...] = ()


def create(
    machine: Machine,
    body: dict[str, Any],
    *,
    key: str,
    faults: deque[str],
    wallets: frozenset[str],
    now: float,
) -> Answer:
    """Answer `POST /payments/create`."""
    fault = faults.popleft() if faults else ""
    # Failures before the request is read, and those of the database, leave no payment behind.
    if fault and fault not in ("lost answer", "no address", "no onboarding"):
        return _failed(fault)
    if len(key) > 255:
        return _refused("Idempotency-Key must be at most 255 characters")
    if body.get("business_id") not in (None, "", machine.business_id):
        return _refused("business_id does not match API key scope", 403)
    if key and key in machine.keys:
        # A replay comes before everything else is looked at: another body gets the old payment.
        payment = row_members(machine.keys[key], currency=None)
        return Answer(200, {"success": True, "idempotent_replay": True, "payment": payment})
    asked = _asked(body)
    if isinstance(asked, Answer):
        return asked
    amount, code, method = asked
    if method != "card" and code not in wallets:
        where = "this business, merchant global wallet, or linked web wallet."
        return _refused(f"No {code} wallet configured for {where}")
    row = machine.open(
        amount=amount, code=code, method=method, metadata=_metadata(body, key), key=key, now=now
    )
    if fault == "no address":
        row.status, row.address = "expired", ""
        row.metadata |= {"error": "no seed", "failure_reason": "address_generation_failed"}
        return _failed(fault)
    if method != "crypto":
        if fault == "no onboarding":
            return _failed(fault)
        machine.open_card(
            row, success_url=str(body.get("success_url") or ""), cancel_url=str(body.get("cancel_url") or "")
        )
    if fault == "lost answer":
        return _failed(fault)
    payment = row_members(row, currency=None)
    if row.card is not None:
        payment |= {"stripe_checkout_url": row.card.url, "stripe_session_id": row.card.id}
    usage = {"current": len(machine.rows), "limit": None, "remaining": None}
    return Answer(201, {"success": True, "payment": payment, "usage": usage})


def _asked(body: dict[str, Any]) -> tuple[Decimal, str, str] | Answer:
    number = body.get("amount_usd")
    number = body.get("amount") if number is None else number
    if isinstance(number, bool) or not isinstance(number, int | Decimal) or number <= 0:
        return _refused("Invalid or missing payment amount")
    if number > _LIMIT:
        error = "Payment amount exceeds the maximum of 1,000,000 USD"
        return Answer(400, {"success": False, "error": error, "code": "AMOUNT_TOO_LARGE"})
    method = body.get("payment_method")
    method = method if method in ("crypto", "card", "both") else "crypto"
    chain, currency = body.get("blockchain"), body.get("currency")
    if chain and not isinstance(chain, str):
        return _failed("crash")
    code = chain.upper() if isinstance(chain, str) else ""
    if not code and isinstance(currency, str) and currency.upper() in CODES:
        code = currency.upper()
    if not code and method != "card":
        return _refused("Invalid or missing cryptocurrency type")
    amount = Decimal(number).quantize(Decimal("0.01"), ROUND_HALF_UP)
    if not amount:
        table = 'new row for relation "payments" violates check constraint "payments_amount_check"'
        return _refused(table)
    return amount, code or "ETH", method


def _metadata(body: dict[str, Any], key: str) -> dict[str, Any]:
    given = body.get("metadata")
    metadata: dict[str, Any] = {**given} if isinstance(given, dict) else {}
    for name in ("description", "redirect_url"):
        if body.get(name):
            metadata[name] = body[name]
    return metadata | ({"idempotency_key": key} if key else {})


def row_members(row: Row, *, currency: str | None) -> dict[str, Any]:
    """Return the payment as the API shows it to its owner; *currency* None shows the coin there, as creating does."""

    def time(at: float | None) -> str | None:
        return None if at is None else database_time(at)

    return {
        "id": row.id,
        "business_id": row.business_id,
        "amount": row.amount,
        "amount_usd": row.amount,
        "currency": currency or row.code.lower(),
        "blockchain": row.code,
        "status": row.status,
        "crypto_amount": row.crypto_amount,
        "amount_crypto": row.crypto_amount,
        "crypto_currency": row.coin if row.crypto_amount is not None else None,
        "payment_address": row.address or None,
        "merchant_wallet_address": "0x0000000000000000000000000000000000000001",
        "tx_hash": None,
        "forward_tx_hash": row.forward_tx,
        "confirmations": 0,
        "metadata": dict(row.metadata),
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "expires_at": time(row.expires_at),
        "detected_at": None,
        "confirmed_at": time(row.confirmed_at),
        "forwarded_at": time(row.forwarded_at),
        "fee_amount": None,
        "merchant_amount": None,
        "customer_paid_amount": None,
        "merchant_received_amount": None,
    }


def _failed(fault: str) -> Answer:
    status, body = FAULTS[fault]
    return Answer(status, body or None, (("Retry-After", "7"),) if fault == "rate limit" else ())


def _refused(error: str, status: int = 400) -> Answer:
    return Answer(status, {"success": False, "error": error})
