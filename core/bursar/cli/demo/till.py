"""The shop's till: it uses Bursar as any shop would, through its public HTTP API, and proves what it is told."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx

from bursar.cli.demo.ledger import Sale
from bursar.errors import BadDelivery
from bursar.signatures import STANDARD_WEBHOOKS, verify

__all__ = ["Said", "Till"]


class Said(Exception):
    """Carry what the server said no with, for the page."""


class Till:
    """Talk to the server at *url* with *api_key*. *secret* proves its messages; *clock* returns Unix seconds."""

    def __init__(
        self, client: httpx.AsyncClient, *, url: str, api_key: str, secret: str, clock: Callable[[], float]
    ) -> None:
        self._client, self._url, self._api_key = client, url, api_key
        self._secret, self._clock = secret, clock

    async def open(self, sale: Sale, *, return_url: str) -> Mapping[str, Any]:
        """Open the order for *sale* and start its payment."""
        body = {
            "reference": sale.reference,
            "amount": sale.product.price,
            "currency": sale.product.currency,
            "description": sale.product.name,
            "return_url": return_url,
            "pay": True,
        }
        if sale.account:
            body["account"] = sale.account
        return await self._ask("POST", "/api/orders", body, {"Idempotency-Key": f"demo-{sale.reference}"})

    async def look(self, sale: Sale) -> dict[str, Any]:
        """Ask how the order stands: what the shop need not do, for it is told."""
        return await self._ask("GET", f"/api/orders/{sale.key}")

    async def act(self, sale: Sale, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a merchant does to the order, such as `accept` or `refunds`."""
        return await self._ask("POST", f"/api/orders/{sale.key}/{path}", {"who": "the shop", **body})

    def prove(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the message that *body* holds; raise `BadSignature` or `BadDelivery`."""
        secret = self._secret.encode()
        verify(STANDARD_WEBHOOKS, body, headers, secrets=[secret], now=int(self._clock()))
        try:
            message: dict[str, Any] = json.loads(body, parse_float=Decimal)
        except ValueError:
            raise BadDelivery("signed, but not JSON") from None
        return message

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = await self._client.request(
                method,
                self._url + path,
                json=body,
                headers={"Authorization": f"Bearer {self._api_key}", **(headers or {})},
            )
        except httpx.HTTPError as error:
            raise Said(f"the server gave no answer ({type(error).__name__})") from None
        try:
            said: dict[str, Any] = json.loads(answer.content, parse_float=Decimal)
        except ValueError:
            raise Said(f"{method} {path} answered {answer.status_code}") from None
        if not answer.is_success:
            raise Said(str(said.get("error", {}).get("message", f"{method} {path}: {answer.status_code}")))
        return said
