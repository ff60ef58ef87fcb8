"""The merchant's API: JSON in, JSON out, under `/api`, with the API key as a bearer token."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bursar.errors import BadInput, NotFound, ProviderError
from bursar.service import AsyncBursar
from bursar.views import OrderView, history_document
from bursar.web.problems import problem_of
from bursar.web.reading import Field, TooLarge, read_body, read_fields

__all__ = ["routes"]

Handler = Callable[[Request], Awaitable[Response]]
_WHO: Final = {"who": Field("text"), "why": Field("text", "")}
_ORDER: Final = {
    "reference": Field("text"),
    "amount": Field("amount"),
    "currency": Field("text"),
    "shop": Field("text", "shop"),
    "description": Field("text", ""),
    "return_url": Field("text", ""),
    "policy": Field("texts", None),
    "pay": Field("truth", True),
    "account": Field("text", ""),
    "method": Field("text", ""),
}
_PAYMENT: Final = {"account": Field("text", ""), "method": Field("text", ""), "return_url": Field("text", "")}
_REFUND: Final = {
    "amount": Field("amount", None),
    "currency": Field("text", None),
    "payment": Field("number", None),
    "reason": Field("text", ""),
    "who": Field("text"),
}
_RECORD: Final = {"transaction": Field("text"), "who": Field("text")}
_WITHDRAW: Final = {"who": Field("text")}
_RESOLVE: Final = {"review": Field("text"), **_WHO}
_ADOPT: Final = {"account": Field("text"), "payment_id": Field("text")}


def routes(bursar: AsyncBursar) -> list[Route]:
    """Return the API's routes."""
    api = _Api(bursar)
    guarded: list[tuple[str, str, Handler]] = [
        ("/api/orders", "POST", api.open),
        ("/api/orders", "GET", api.list),
        ("/api/orders/{key}", "GET", api.show),
        ("/api/orders/{key}/history", "GET", api.history),
        ("/api/orders/{key}/payments", "POST", api.pay),
        ("/api/orders/{key}/cancel", "POST", api.cancel),
        ("/api/orders/{key}/fulfil", "POST", api.fulfil),
        ("/api/orders/{key}/accept", "POST", api.accept),
        ("/api/orders/{key}/resolve", "POST", api.resolve),
        ("/api/orders/{key}/sync", "POST", api.sync),
        ("/api/orders/{key}/adopt", "POST", api.adopt),
        ("/api/orders/{key}/refunds", "POST", api.refund),
        ("/api/orders/{key}/refunds/{number:int}/record", "POST", api.record),
        ("/api/orders/{key}/refunds/{number:int}/withdraw", "POST", api.withdraw),
    ]
    return [Route(path, api.guard(handler), methods=[method]) for path, method, handler in guarded]


def _answer(document: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(document, status, headers={"Cache-Control": "no-store"})


class _Api:
    def __init__(self, bursar: AsyncBursar) -> None:
        self.bursar = bursar

    def guard(self, handler: Handler) -> Handler:
        """Let *handler* be reached with the API key only."""

        async def guarded(request: Request) -> Response:
            key = self.bursar.config.server.api_key.reveal()
            if not key:
                return _refusal(403, "the API is off: set api_key under [bursar] to turn it on")
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), key.encode())
            if scheme.lower() != "bearer" or not same:
                return _refusal(401, "send the API key: Authorization: Bearer …")
            try:
                return await handler(request)
            except TooLarge:
                return _refusal(413, f"a body has at most {self.bursar.config.server.max_body} bytes")

        return guarded

    async def fields(self, request: Request, fields: dict[str, Field]) -> dict[str, Any]:
        """Read the request's body as *fields*."""
        return read_fields(await read_body(request, self.bursar.config.server.max_body), fields)

    async def open(self, request: Request) -> Response:
        """Open an order and, unless `pay` is false, start its payment."""
        asked = await self.fields(request, _ORDER)
        pay, account, method = asked.pop("pay"), asked.pop("account"), asked.pop("method")
        idempotency_key = request.headers.get("idempotency-key", "")
        if account:
            self.bursar.desk.account(account)
        before = await self._there(asked["reference"], asked["shop"])
        order = await self.bursar.open_order(**asked, idempotency_key=idempotency_key)
        problem = None
        if pay and not (before and order.payment):
            try:
                await self.bursar.start_payment(order.key, account=account, method=method)
            except (BadInput, ProviderError) as error:
                # The order is kept; on its page the buyer can choose how to pay, or start again.
                problem = {
                    "kind": problem_of(error).kind,
                    "message": str(error),
                    "retry": problem_of(error).retry,
                }
            order = await self.bursar.order(order.key)
        document = order.document(merchant=True)
        if problem:
            document["payment_problem"] = problem
        return _answer(document, 200 if before else 201)

    async def _there(self, reference: str, shop: str) -> bool:
        try:
            await self.bursar.find(reference, shop=shop)
        except NotFound:
            return False
        return True

    async def list(self, request: Request) -> Response:
        """List orders, or find the one that a shop calls *reference*."""
        query = request.query_params
        if "reference" in query:
            order = await self.bursar.find(query["reference"], shop=query.get("shop", "shop"))
            return _answer({"orders": [order.document(merchant=True)]})
        limit = query.get("limit", "50")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= 500):
            raise BadInput("limit is a whole number from 1 to 500")
        wanted = query.get("needs_review")
        if wanted not in (None, "true", "false"):
            raise BadInput("needs_review is true or false")
        found = await self.bursar.orders(
            needs_review=None if wanted is None else wanted == "true", limit=int(limit)
        )
        return _answer(
            {
                "orders": [
                    {
                        "key": line.order_key,
                        "shop": line.shop,
                        "reference": line.reference,
                        "amount": line.amount,
                        "status": line.status.value,
                        "needs_review": line.needs_review,
                        "created_at": line.created_at,
                        "changed_at": line.changed_at,
                    }
                    for line in found
                ]
            }
        )

    async def show(self, request: Request) -> Response:
        """Show one order."""
        return self._order(await self.bursar.order(request.path_params["key"]))

    async def history(self, request: Request) -> Response:
        """Show every change of one order."""
        key = request.path_params["key"]
        await self.bursar.order(key)
        return _answer({"history": history_document(await self.bursar.history(key))})

    async def pay(self, request: Request) -> Response:
        """Start a payment."""
        key = request.path_params["key"]
        await self.bursar.start_payment(key, **await self.fields(request, _PAYMENT))
        return self._order(await self.bursar.order(key), 201)

    async def cancel(self, request: Request) -> Response:
        """Cancel an order."""
        asked = await self.fields(request, _WHO)
        return self._order(await self.bursar.cancel(request.path_params["key"], **asked))

    async def fulfil(self, request: Request) -> Response:
        """Record that a paid order was delivered."""
        asked = await self.fields(request, _WHO)
        return self._order(await self.bursar.fulfil(request.path_params["key"], **asked))

    async def accept(self, request: Request) -> Response:
        """Accept what the policy leaves to a person."""
        asked = await self.fields(request, _WHO)
        return self._order(await self.bursar.accept(request.path_params["key"], **asked))

    async def resolve(self, request: Request) -> Response:
        """Close one review."""
        asked = await self.fields(request, _RESOLVE)
        review = asked.pop("review")
        return self._order(await self.bursar.resolve(request.path_params["key"], review, **asked))

    async def sync(self, request: Request) -> Response:
        """Ask the providers now."""
        return self._order(await self.bursar.sync(request.path_params["key"]))

    async def adopt(self, request: Request) -> Response:
        """Follow a payment that exists at the provider already."""
        asked = await self.fields(request, _ADOPT)
        return self._order(await self.bursar.adopt(request.path_params["key"], **asked))

    async def refund(self, request: Request) -> Response:
        """Send money back."""
        asked = await self.fields(request, _REFUND)
        operation = request.headers.get("idempotency-key", "")
        refund = await self.bursar.refund(request.path_params["key"], **asked, operation=operation)
        return _answer(refund.document(merchant=True), 201)

    async def record(self, request: Request) -> Response:
        """Record that a manual refund was sent."""
        asked = await self.fields(request, _RECORD)
        key, number = await self._number(request)
        return self._order(await self.bursar.record_refund(key, number, **asked))

    async def withdraw(self, request: Request) -> Response:
        """Take back a refund that was not paid out."""
        asked = await self.fields(request, _WITHDRAW)
        key, number = await self._number(request)
        return self._order(await self.bursar.withdraw_refund(key, number, **asked))

    async def _number(self, request: Request) -> tuple[str, int]:
        key, number = request.path_params["key"], request.path_params["number"]
        order = await self.bursar.order(key)
        if all(refund.number != number for refund in order.refunds):
            raise NotFound(f"order {order.reference!r} has no refund {str(number)[:20]}")
        return key, number

    def _order(self, order: OrderView, status: int = 200) -> Response:
        return _answer(order.document(merchant=True), status)


def _refusal(status: int, message: str) -> Response:
    kind = {401: "unauthenticated", 403: "forbidden", 413: "too_large"}[status]
    response = _answer({"error": {"kind": kind, "message": message, "retry": False}}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="bursar"'
    return response
