"""The buyer's faces of an order: the checkout page, its status as JSON, its changes as a stream, and starting a payment."""

import asyncio
import contextlib
import hmac
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from bursar.effects import Carry, Operation
from bursar.errors import BadInput, BursarError, Busy, NotFound, OutcomeUnknown, Unavailable
from bursar.flows import Flow
from bursar.providers import ListsMethods
from bursar.service import AsyncBursar
from bursar.standing import PaymentStatus
from bursar.views import OrderView
from bursar.web.amounts import choose_locale
from bursar.web.pages import State, is_final, page_of
from bursar.web.problems import problem_of
from bursar.web.reading import TooLarge, read_body
from bursar.web.templates import asset_url, page_headers, render
from bursar.web.watching import Watcher, version_of

__all__ = ["Buyer"]

_log = structlog.get_logger("bursar.web")
_ASK_EVERY: Final = 15
_METHODS_FOR: Final = 300
_OPEN: Final = frozenset(
    {PaymentStatus.WAITING, PaymentStatus.PARTIAL, PaymentStatus.PROCESSING, PaymentStatus.TIE}
)


class Buyer:
    """Serve the pages under `/pay/{key}.{token}`; who has the address may read the order, and nothing else."""

    def __init__(self, bursar: AsyncBursar, watcher: Watcher) -> None:
        self.bursar, self.watcher = bursar, watcher
        self.asking: dict[str, asyncio.Task[None]] = {}
        self.asked_at: dict[str, int] = {}
        self.methods: dict[str, tuple[int, tuple[str, ...]]] = {}

    def routes(self) -> list[Route]:
        """Return the buyer's routes."""
        return [
            Route("/pay/{ticket}", self.page, methods=["GET"]),
            Route("/pay/{ticket}/status", self.status, methods=["GET"]),
            Route("/pay/{ticket}/events", self.events, methods=["GET"]),
            Route("/pay/{ticket}/start", self.start, methods=["POST"]),
            # Where a browser that shows the answer to a refused start is told to load its page again.
            Route("/pay/{ticket}/start", self.back, methods=["GET"]),
        ]

    async def close(self) -> None:
        """Give up questions to providers that are still under way."""
        for task in list(self.asking.values()):
            task.cancel()

    async def page(self, request: Request) -> Response:
        """Show the checkout page."""
        order = await self._order(request)
        self._ask(order)
        return await self._show(request, order)

    async def status(self, request: Request) -> Response:
        """Tell how the order stands."""
        order = await self._order(request)
        self._ask(order)
        document = order.document(merchant=False) | {"version": version_of(order)}
        return JSONResponse(document, headers={"Cache-Control": "no-store"})

    async def events(self, request: Request) -> Response:
        """Stream a line at every change (server-sent events), until there is nothing more to wait for."""
        order = await self._order(request)
        if is_final(order, now=self.bursar.desk.now):
            # 204 is the one answer after which a browser does not connect again.
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        version = version_of(order)

        async def stream() -> AsyncIterator[str]:
            yield f"retry: 3000\n{_event(version)}"
            async with contextlib.aclosing(self.watcher.changes(order.key, version)) as changes:
                async for change in changes:
                    yield ": still here\n\n" if change is None else _event(change)
                    if change is not None and await self._is_over(order.key):
                        return

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    async def start(self, request: Request) -> Response:
        """Start a payment (again), and go back to the page."""
        order = await self._order(request)
        account, method = await self._choice(request)
        try:
            await self.bursar.start_payment(order.key, account=account, method=method)
        except (OutcomeUnknown, Unavailable, Busy) as error:
            _log.warning("payment not started", order=order.key, error=str(error))
            notice = "The payment service did not answer. Please wait a moment, and try again; nothing was charged."
            return await self._show(request, order, notice=notice, status=problem_of(error).status)
        except BursarError as error:
            _log.warning("payment refused", order=order.key, error=str(error))
            notice = "This cannot be paid in that way at the moment. Please choose another, or ask the shop."
            return await self._show(request, order, notice=notice, status=problem_of(error).status)
        return RedirectResponse(f"/pay/{request.path_params['ticket']}", 303)

    async def back(self, request: Request) -> Response:
        """Go to the page."""
        return RedirectResponse(f"/pay/{request.path_params['ticket']}", 303)

    async def _is_over(self, key: str) -> bool:
        return is_final(await self.bursar.order(key), now=self.bursar.desk.now)

    async def _choice(self, request: Request) -> tuple[str, str]:
        try:
            body = await read_body(request, 4096)
        except TooLarge:
            raise BadInput("the form is too large") from None
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        account, _, method = form.get("way", [""])[0].partition(" ")
        if account and account not in self.bursar.desk.accounts:
            raise BadInput("choose one of the ways to pay that are shown")
        return account, method

    async def _order(self, request: Request) -> OrderView:
        key, _, token = str(request.path_params["ticket"]).partition(".")
        try:
            order = await self.bursar.order(key[:64])
        except NotFound:
            raise NotFound("there is no such page") from None
        right = order.kept.dossier.order.token
        if not right or not hmac.compare_digest(token.encode("utf-8", "replace"), right.encode()):
            raise NotFound("there is no such page")
        return order

    async def _show(
        self, request: Request, order: OrderView, *, notice: str = "", status: int = 200
    ) -> Response:
        locale = choose_locale(request.headers.get("accept-language", ""))
        page = page_of(order, now=self.bursar.desk.now, locale=locale)
        nonce = secrets.token_urlsafe(12)
        html = render(
            "checkout.html",
            page=page,
            base=f"/pay/{request.path_params['ticket']}",
            version=version_of(order),
            now=self.bursar.desk.now,
            notice=notice,
            ways_to_start=await self._ways(order) if page.can_start else [],
            nonce=nonce,
            refresh=not page.final and page.state is not State.START,
            css=asset_url("checkout.css"),
            js=asset_url("checkout.js"),
        )
        return HTMLResponse(html, status, headers=page_headers(page.script, nonce))

    async def _ways(self, order: OrderView) -> list[tuple[str, str]]:
        """Return the ways in which a payment can be started, as (value of the form, label)."""
        config = self.bursar.config
        first = config.default_account() if config.server.account or len(config.accounts) == 1 else ""
        names = sorted(self.bursar.desk.accounts, key=lambda name: (name != first, name))
        found: list[tuple[str, str]] = []
        titles = Counter(account.provider.title for account in self.bursar.desk.accounts.values())
        for name in names:
            provider = self.bursar.desk.accounts[name].provider
            methods: tuple[str, ...] = ()
            if provider.capabilities.method_required and isinstance(provider, ListsMethods):
                methods = await self._methods(name, provider)
            bills = provider.capabilities.bills
            if bills is not None and order.amount.asset.code not in bills and self.bursar.desk.rates is None:
                continue
            title = provider.title if titles[provider.title] == 1 else f"{provider.title} ({name})"
            before = f"{title}: " if len(names) > 1 else ""
            found += [(f"{name} {m}", f"{before}{m.replace('_', ' on ')}") for m in methods]
            if not methods:
                found.append((name, title))
        return found

    async def _methods(self, name: str, provider: ListsMethods) -> tuple[str, ...]:
        now = self.bursar.desk.now
        known = self.methods.get(name)
        if known is not None and now - known[0] < _METHODS_FOR:
            return known[1]
        try:
            methods = tuple(
                await asyncio.wait_for(self.bursar.driver(_carried(provider.list_methods(now=now))), 5)
            )
        except (BursarError, TimeoutError) as error:
            _log.warning("payment methods not listed", account=name, error=str(error))
            return known[1] if known else ()
        self.methods[name] = (now, methods)
        return methods

    def _ask(self, order: OrderView) -> None:
        """Ask the providers, in the background, when nobody has for a while: a buyer who looks may have paid."""
        if order.key in self.asking or not any(p.status in _OPEN and p.payment_id for p in order.payments):
            return
        now = self.bursar.desk.now
        last = max([self.asked_at.get(order.key, 0), *(p.kept.polled_at for p in order.payments)])
        if now - last < _ASK_EVERY:
            return
        self.asked_at[order.key] = now
        task = asyncio.create_task(self._sync(order.key))
        self.asking[order.key] = task
        task.add_done_callback(lambda _: self.asking.pop(order.key, None))

    async def _sync(self, key: str) -> None:
        try:
            await self.bursar.sync(key)
        except BursarError as error:
            _log.info("provider not asked for a waiting buyer", order=key, error=str(error))
        except Exception as error:  # noqa: BLE001 - nobody waits for this task; the courier asks again in its time
            _log.error("provider not asked for a waiting buyer", order=key, error=repr(error))
        if len(self.asked_at) > 10_000:
            self.asked_at.clear()


def _event(version: str) -> str:
    return f"event: order\nid: {version}\ndata: {version}\n\n"


def _carried(flow: Flow[Any]) -> Operation[Any]:
    return (yield Carry(flow))
