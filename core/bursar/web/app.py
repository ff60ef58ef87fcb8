"""Put the faces together: one ASGI application around one `AsyncBursar`, with the courier inside."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from bursar.errors import BursarError
from bursar.service import AsyncBursar
from bursar.web import api
from bursar.web.apologies import apologize, wants_page
from bursar.web.buyer import Buyer
from bursar.web.openapi import document
from bursar.web.problems import tell
from bursar.web.templates import asset_routes, asset_url, render
from bursar.web.watching import Watcher
from bursar.web.webhook import PREFIX, Receive, Scope, Send, WebhookApp

__all__ = ["create_app"]


class _App:
    """Send webhooks past everything else."""

    def __init__(self, webhooks: WebhookApp, pages: Starlette) -> None:
        self.webhooks, self.pages = webhooks, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and str(scope["path"]).startswith(PREFIX):
            await self.webhooks(scope, receive, send)
        else:
            await self.pages(scope, receive, send)


def create_app(bursar: AsyncBursar, *, run_courier: bool = True) -> _App:
    """Return the application. While it runs, the courier works inside it, unless *run_courier* is false.

    It closes *bursar* when it is shut down.
    """
    watcher = Watcher(bursar)
    buyer = Buyer(bursar, watcher)
    couriers: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        watching = asyncio.create_task(watcher.run())
        if run_courier:
            couriers.append(asyncio.create_task(bursar.courier.run()))
        try:
            yield
        finally:
            watching.cancel()
            await watcher.stop()
            await buyer.close()
            if couriers:
                bursar.courier.stop()
                await asyncio.gather(*couriers, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await bursar.close()

    async def health(_: Request) -> Response:
        try:
            due = await asyncio.to_thread(bursar.desk.store.next_due)
        except Exception as error:  # noqa: BLE001 - whatever it is, this server is not well
            return _health(healthy=False, problem=f"the database does not answer: {type(error).__name__}")
        late = 0 if due is None else max(0, bursar.desk.now - due)
        if not run_courier:
            return _health(healthy=True, courier="elsewhere", late_by=late)
        if any(not courier.done() for courier in couriers):
            return _health(healthy=True, courier="running", late_by=late)
        return _health(
            healthy=False, courier="stopped", late_by=late, problem="the courier does not run; start again"
        )

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(bursar.config.server.public_url))

    async def index(_: Request) -> Response:
        html = render("index.html", accounts=sorted(bursar.config.accounts), css=asset_url("checkout.css"))
        policy = (
            "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    routes = [
        Route("/", index, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
        *asset_routes(),
        *buyer.routes(),
        *api.routes(bursar),
    ]
    pages = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={BursarError: tell, Exception: tell, 404: _not_found, 405: _wrong_method},
    )
    pages.router.redirect_slashes = False
    return _App(WebhookApp(bursar), pages)


def _health(*, healthy: bool, **more: Any) -> Response:
    status = 200 if healthy else 503
    return JSONResponse({"healthy": healthy, **more}, status, headers={"Cache-Control": "no-store"})


async def _not_found(request: Request, _: Exception) -> Response:
    if wants_page(request):
        return apologize(request, 404)
    message = f"nothing is at {request.url.path[:200]}; the API is described at /openapi.json"
    return JSONResponse({"error": {"kind": "not_found", "message": message, "retry": False}}, 404)


async def _wrong_method(request: Request, _: Exception) -> Response:
    if wants_page(request):
        return apologize(request, 405)
    message = f"{request.method} is not served at {request.url.path[:200]}"
    return JSONResponse({"error": {"kind": "wrong_method", "message": message, "retry": False}}, 405)
