"""The sandbox's HTTP API: paths, credentials, rate limits and bodies as the service has them."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from bursar_coinpay.sandbox import qr
from bursar_coinpay.sandbox.creation import Answer, create, row_members
from bursar_coinpay.sandbox.ledger import Row
from bursar_coinpay.sandbox.tables import (
    CHAINS,
    CODES,
    FEES,
    FIAT_PER_DOLLAR,
    NAMES,
    PRICES,
    ticker,
)
from bursar_coinpay.sandbox.writing import javascript_time, to_json

if TYPE_CHECKING:
    from bursar_coinpay.sandbox.sandbox import CoinPaySandbox

__all__ = ["routes"]

_PUBLIC: Final = (
    *("id", "amount", "currency", "blockchain", "status", "crypto_amount", "crypto_currency"),
    *("payment_address", "confirmations", "created_at", "expires_at", "tx_hash", "forward_tx_hash"),
)
_KEY: Final = re.compile(r"cp_(live|test)_[0-9a-fA-F]{32}", re.ASCII)
_PAGE: Final = "<!DOCTYPE html><html><body><h1>{}</h1></body></html>"
Handler: TypeAlias = "Callable[[CoinPaySandbox, Request, bytes], Answer | Response]"


def routes(sandbox: "CoinPaySandbox") -> list[Route]:
    """Return the API's routes."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            with sandbox.lock:
                sandbox.tick()
                return _limited(sandbox, request, body, handler)

        return Route(f"/api{path}", endpoint, methods=[method], name=f"{method} {path}")

    return [
        route("/payments/create", _create, "POST"),
        route("/payments", _create, "POST"),
        route("/payments", _list),
        route("/payments/{id}", _show),
        route("/payments/{id}/check-balance", _check_balance, "POST"),
        route("/payments/{id}/qr", _qr),
        route("/rates", _rates),
        route("/rates/btc", _bitcoin),
        route("/fees", _fees),
        route("/supported-coins", _coins),
        route("/tokens", _tokens),
        route("/get-tokens", _tokens),
        route("/health", _health),
    ]


def _limited(sandbox: "CoinPaySandbox", request: Request, body: bytes, handler: Handler) -> Response:
    credential = request.headers.get("authorization") or request.headers.get("x-api-key") or ""
    limit = 600 if credential else 60
    host = request.client.host if request.client else ""
    left, ends = sandbox.limits.take(credential or f"ip {host}", limit, sandbox.now)
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(left, 0)),
        "X-RateLimit-Reset": str(ends),
        "Date": sandbox.date(),
    }
    if left < 0:
        answer: Answer | Response = _too_many("Too many requests", ends - sandbox.now)
    else:
        answer = handler(sandbox, request, body)
    if isinstance(answer, Answer):
        answer = _written(answer)
    answer.headers.update(headers)
    return answer


def _written(answer: Answer) -> Response:
    if answer.body is None:
        return HTMLResponse(_PAGE.format("Bad gateway"), answer.status, dict(answer.headers))
    return Response(to_json(answer.body), answer.status, dict(answer.headers), media_type="application/json")


def _create(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    denied = _denied(sandbox, request.headers.get("authorization"))
    if denied:
        return denied
    try:
        asked = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return Answer(500, {"success": False, "error": "Internal server error"})
    members = cast(dict[str, Any], asked)
    key = (
        request.headers.get("idempotency-key", "").strip()
        or str(members.get("idempotency_key") or "").strip()
    )
    return create(
        sandbox.machine, members, key=key, faults=sandbox.faults, wallets=sandbox.wallets, now=sandbox.now
    )


def _list(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    return _error(401, "Invalid or expired token")


def _show(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    row = _row(sandbox, request)
    if row is None:
        return _error(404, "JSON object requested, multiple (or no) rows returned")
    members = row_members(row, currency="USD")
    return Answer(200, {"success": True, "payment": {name: members[name] for name in _PUBLIC}})


def _check_balance(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    row = _row(sandbox, request)
    if row is None:
        return _error(404, "Payment not found")
    headers = request.headers
    given = headers.get("authorization") or (
        f"Bearer {headers['x-api-key']}" if "x-api-key" in headers else None
    )
    if given is None:
        return _error(401, "Authentication required")
    denied = _denied(sandbox, given)
    if denied:
        return denied
    left, ends = sandbox.limits.take(f"check {row.id}", 30, sandbox.now)
    if left < 0:
        return _too_many("Too many balance checks for this payment", ends - sandbox.now)
    if row.status != "pending":
        return _checked(status=row.status, message=f"Payment is already {row.status}")
    over = sandbox.now >= row.expires_at
    if not row.address and not over:
        return Answer(200, {"success": False, "error": "Payment has no address to check"})
    balance, expected = row.balance, row.crypto_amount
    status = sandbox.machine.look(row, "A", sandbox.now)
    if status not in ("pending", "expired"):
        return _checked(status="confirmed", balance=balance, message="Payment confirmed! Funds detected.")
    if status == "expired":
        return _checked(status="expired", balance=balance, expected=expected, message="Payment has expired")
    message = "Waiting for payment..."
    if balance:
        message = f"Partial payment detected: {balance.normalize():f} / {expected}"
    return _checked(status="pending", balance=balance, expected=expected, message=message)


def _qr(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Response:
    row = _row(sandbox, request)
    if row is None:
        return PlainTextResponse("Payment not found", 404)
    if not row.address:
        return PlainTextResponse("No payment address available", 400)
    text = qr.link(row)
    if text is None:
        return PlainTextResponse("Failed to generate QR code", 500)
    return Response(qr.png(text), media_type="image/png", headers={"Cache-Control": "public, max-age=3600"})


def _rates(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    fiat = request.query_params.get("fiat", "USD").upper()
    fiat = fiat if fiat in FIAT_PER_DOLLAR else "USD"
    one, many = request.query_params.get("coin"), request.query_params.get("coins")
    tail = {"fiat": fiat, "timestamp": javascript_time(sandbox.now)}
    if one:
        coin = one.upper()
        rate = _rate(sandbox, coin, fiat)
        if rate is None:
            error = {
                "success": False,
                "error": f"Failed to fetch rate for {coin}",
                "coin": coin,
                "rate": None,
            }
            return Answer(200, error | tail)
        return Answer(200, {"success": True, "coin": coin, "rate": rate, "cached": True} | tail)
    if not many:
        return _error(400, "Provide coin or coins parameter")
    asked = {coin.strip().upper(): _rate(sandbox, coin.strip().upper(), fiat) for coin in many.split(",")}
    errors = {coin: f"Failed to fetch rate for {coin}" for coin, rate in asked.items() if rate is None}
    rates = {coin: rate for coin, rate in asked.items() if rate is not None}
    failed = {"errors": errors} if errors else {}
    return Answer(200, {"success": not errors, "rates": rates, **failed} | tail)


def _rate(sandbox: "CoinPaySandbox", coin: str, fiat: str) -> Decimal | None:
    if ticker(coin) in ("USDC", "USDT"):
        # One to one whatever the currency while the exchange feed is down, and no word of it.
        return Decimal(1) if sandbox.exchange_feed_down else FIAT_PER_DOLLAR[fiat]
    price = PRICES.get(ticker(coin))
    return None if price is None or sandbox.exchange_feed_down else price * FIAT_PER_DOLLAR[fiat]


def _bitcoin(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    return Answer(200, {"price": PRICES["BTC"]})


def _health(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    return Answer(200, {"status": "ok"})


def _fees(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    code = request.query_params.get("blockchain", "").upper()
    fee = {"blockchain": code, "fee_usd": FEES.get(code, Decimal("0.01")), "cached": True}
    return Answer(200, {"success": True, **fee, "timestamp": javascript_time(sandbox.now)})


def _coins(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    return _wallets(sandbox, request, tokens=False)


def _tokens(sandbox: "CoinPaySandbox", request: Request, body: bytes) -> Answer:
    return _wallets(sandbox, request, tokens=True)


def _wallets(sandbox: "CoinPaySandbox", request: Request, *, tokens: bool) -> Answer:
    denied = _denied(sandbox, request.headers.get("authorization"), missing="Missing authorization header")
    if denied:
        return denied
    business = sandbox.machine.business_id
    if request.query_params.get("business_id", business) != business:
        return _error(403, "business_id does not match API key scope")
    coins = [_coin(code) for code in CODES if code in sandbox.wallets]
    listed: dict[str, Any] = {"coins": coins}
    if tokens:
        listed = {"tokens": [coin | _token(str(coin["symbol"])) for coin in coins], "coins": coins}
    owner = {"business_id": business, "merchant_id": sandbox.merchant_id, "total": len(coins)}
    return Answer(200, {"success": True, **listed, **owner})


def _coin(code: str) -> dict[str, Any]:
    chain = code.partition("_")[2]
    name = NAMES[ticker(code)] + (f" ({CHAINS[chain]})" if chain else "")
    return {"symbol": code, "name": name, "is_active": True, "has_wallet": True, "wallet_source": "business"}


def _token(code: str) -> dict[str, Any]:
    chain = code.partition("_")[2]
    return {"code": code.lower(), "ticker": ticker(code), **({"chain": CHAINS[chain]} if chain else {})}


def _denied(
    sandbox: "CoinPaySandbox", header: str | None, *, missing: str = "Missing authorization header"
) -> Answer | None:
    if not header:
        return _error(401, missing)
    token = header.removeprefix("Bearer ").strip()
    if not token.startswith(("cp_live_", "cp_test_")):
        return _error(401, "Invalid token")
    if len(token) != 40:
        return _error(401, "API key must be 40 characters long")
    if not _KEY.fullmatch(token):
        return _error(401, "API key contains invalid characters")
    return None if token == sandbox.api_key else _error(401, "Invalid API key")


def _row(sandbox: "CoinPaySandbox", request: Request) -> Row | None:
    return sandbox.machine.rows.get(request.path_params["id"])


def _checked(**members: Any) -> Answer:
    return Answer(200, {"success": True, **members})


def _too_many(error: str, seconds: float) -> Answer:
    return Answer(429, {"success": False, "error": error}, (("Retry-After", str(max(1, int(seconds)))),))


def _error(status: int, error: str) -> Answer:
    return Answer(status, {"success": False, "error": error})
