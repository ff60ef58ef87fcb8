"""A tiny shop: three things to buy, and a page that shows each order as the shop was told of it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import attrs
from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from bursar.cli.demo.ledger import PRODUCTS, Ledger, Sale
from bursar.cli.demo.till import Said, Till
from bursar.errors import BadDelivery, BadSignature

__all__ = ["Choice", "Shop"]

_FOLDER: Final = Path(__file__).parent / "pages"
_OVER: Final = frozenset({"completed", "failed", "cancelled"})
_LOOK_EVERY: Final = 2.0
_ACTS: Final = frozenset({"accept", "cancel", "fulfil", "sync"})
_pages: Final = Environment(loader=PackageLoader("bursar.cli.demo", "pages"), autoescape=True)


@attrs.frozen
class Choice:
    """One account that a buyer can choose: its *title*, and the *panel* where its service is played."""

    account: str
    title: str
    panel: str


class Shop:
    """Serve the shop. *default* is the account that the server's configuration names for new payments.

    *let_pass* is called with seconds when a person lets time pass; while `closed`, the shop takes no messages.
    """

    def __init__(
        self,
        till: Till,
        *,
        clock: Callable[[], float],
        choices: Sequence[Choice],
        default: str,
        let_pass: Callable[[float], None],
        config: str,
    ) -> None:
        self.till, self.ledger, self.clock = till, Ledger(), clock
        self.choices = {choice.account: choice for choice in choices}
        self.default, self.let_pass, self.config = default, let_pass, config
        self.closed = False
        self.refused = 0
        self.app = Starlette(
            routes=[
                Route("/", self._front, name="front"),
                Route("/orders", self._orders),
                Route("/orders.json", self._orders_json),
                Route("/buy", _own(self._buy), methods=["POST"]),
                Route("/orders/{reference}/{verb}", _own(self._act), methods=["POST"]),
                Route("/now", self._now),
                Route("/pass", _own(self._pass), methods=["POST"]),
                Route("/bursar", self._hear, methods=["POST"]),
                Route("/shop.css", self._file("shop.css")),
                Route("/shop.js", self._file("shop.js")),
            ]
        )

    async def _front(self, request: Request) -> Response:
        return self._page("shop.html", said=request.query_params.get("said", "")[:300])

    async def _orders(self, request: Request) -> Response:
        await self._follow_refunds()
        tag = f'"{self.ledger.version}-{int(self.clock()) // 60}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304)
        answer = self._page("orders.html")
        answer.headers["ETag"] = tag
        return answer

    async def _follow_refunds(self) -> None:
        """Look at orders whose refunds are under way, every few seconds: nobody is told of a claim before it is paid."""
        for sale in self.ledger.sales.values():
            under_way = any(refund["status"] not in _OVER for refund in sale.refunds)
            if under_way and time.monotonic() - sale.looked_at > _LOOK_EVERY:
                with suppress(Said):
                    await self._look(sale)

    async def _look(self, sale: Sale) -> None:
        self.ledger.looked(sale, await self.till.look(sale), at=time.monotonic())

    async def _orders_json(self, _: Request) -> Response:
        return JSONResponse([_document(sale) for sale in self.ledger.sales.values()])

    async def _buy(self, request: Request) -> Response:
        form = await _form(request)
        product, account = PRODUCTS.get(form.get("product", "")), form.get("account", "")
        if product is None or (account and account not in self.choices):
            return Response("there is no such thing to buy", 404)
        sale = self.ledger.sell(product, account, at=int(self.clock()))
        try:
            order = await self.till.open(sale, return_url=str(request.url_for("front")))
        except Said as said:
            self.ledger.unsell(sale)
            return self._back(request, f"not sold: {said}")
        self.ledger.opened(sale, key=order["key"], checkout_url=order["checkout_url"])
        if not sale.account:
            sale.account = self.default
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(_document(sale), 201)
        return RedirectResponse(sale.checkout_url, 303)

    async def _act(self, request: Request) -> Response:
        sale = self.ledger.sales.get(request.path_params["reference"])
        verb = request.path_params["verb"]
        if sale is None:
            return Response("there is no such order", 404)
        form = await _form(request)
        try:
            match verb:
                case verb if verb in _ACTS:
                    await self.till.act(sale, verb, {"why": "seen in the demo"} if verb != "sync" else {})
                case "refund":
                    amount = {"amount": form["amount"]} if form.get("amount") else {}
                    await self.till.act(sale, "refunds", {**amount, "reason": "asked for in the demo"})
                case "record":
                    path = f"refunds/{int(form.get('number', '0'))}/record"
                    await self.till.act(sale, path, {"transaction": form.get("transaction", "")})
                case "withdraw":
                    await self.till.act(sale, f"refunds/{int(form.get('number', '0'))}/withdraw", {})
                case "resolve":
                    review = {"review": form.get("review", ""), "why": "seen in the demo"}
                    await self.till.act(sale, "resolve", review)
                case _:
                    return Response("there is no such button", 404)
            await self._look(sale)
        except (Said, ValueError) as said:
            return self._back(request, f"order {sale.reference}: {said}")
        return self._back(request, "")

    async def _now(self, _: Request) -> Response:
        return Response(f"{datetime.fromtimestamp(self.clock(), UTC):%H:%M}", media_type="text/plain")

    async def _pass(self, request: Request) -> Response:
        form = await _form(request)
        minutes = form.get("minutes", "")
        if minutes.isascii() and minutes.isdigit() and 0 < int(minutes) <= 100_000:
            self.let_pass(int(minutes) * 60)
            self.ledger.version += 1
        return self._back(request, "")

    async def _hear(self, request: Request) -> Response:
        """Take a signed message: prove it before anything is believed, and act on the newest only."""
        if self.closed:
            return Response("closed", 503)
        try:
            message = self.till.prove(await request.body(), request.headers)
        except (BadSignature, BadDelivery) as error:
            self.refused += 1
            return Response(str(error), 401 if isinstance(error, BadSignature) else 400)
        if message["type"] == "order.changed":
            self.ledger.hear(message)
        return Response("heard")

    def _page(self, name: str, **values: Any) -> Response:
        shown = _pages.get_template(name).render(
            products=list(PRODUCTS.values()),
            sales=[(sale, self.choices.get(sale.account)) for sale in reversed(self.ledger.sales.values())],
            choices=list(self.choices.values()),
            default=self.choices.get(self.default),
            config=self.config,
            now=datetime.fromtimestamp(self.clock(), UTC),
            **values,
        )
        return HTMLResponse(shown, headers={"Cache-Control": "no-cache"})

    def _back(self, request: Request, said: str) -> Response:
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"said": said}, 409 if said else 200)
        url = request.url_for("front")
        return RedirectResponse(url.include_query_params(said=said) if said else url, 303)

    @staticmethod
    def _file(name: str) -> Any:
        async def send(_: Request) -> Response:
            return FileResponse(_FOLDER / name, headers={"Cache-Control": "no-cache"})

        return send


def _own(act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Let only the shop's own page press the shop's buttons, not any page that a browser has open."""

    async def guarded(request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return Response("not from here", 403)
        return await act(request)

    return guarded


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body())[:10_000]
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _document(sale: Sale) -> dict[str, Any]:
    return {
        "reference": sale.reference,
        "key": sale.key,
        "account": sale.account,
        "checkout_url": sale.checkout_url,
        "number": sale.number,
        "status": sale.status,
        "entered": dict(sale.entered),
        "messages": len(sale.told),
        "repeats": sale.repeats,
        "shipped": sale.shipped,
    }
