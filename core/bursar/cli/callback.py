"""Wait for a provider's consent page to post its answer: from any site, once, with our nonce, in time."""

import asyncio
import hmac
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bursar.cli.hosting import Served, make_server
from bursar.errors import BursarError, Unavailable
from bursar.flows import arun, make_async_client

if TYPE_CHECKING:
    from bursar.providers import AcceptsConnection, Connection

__all__ = ["Callback", "take_callback"]

_MAX_BODY: Final = 65_536
_MAX_FIELDS: Final = 100


def take_callback(
    provider: "AcceptsConnection",
    listener: socket.socket,
    *,
    path: str,
    nonce: str,
    webhook_url: str,
    valid_for: int,
) -> "Connection":
    """Serve *path* at *listener* until the provider posts with *nonce*, for *valid_for* seconds, and return the set-up."""
    return asyncio.run(_take(provider, listener, path, nonce, webhook_url, valid_for))


async def _take(
    provider: "AcceptsConnection",
    listener: socket.socket,
    path: str,
    nonce: str,
    webhook_url: str,
    valid_for: int,
) -> "Connection":
    async with make_async_client() as client:
        callback = Callback(
            provider,
            client,
            path=path,
            nonce=nonce,
            expires_at=time.time() + valid_for,
            webhook_url=webhook_url,
            clock=time.time,
        )
        server: Any = make_server(callback.app, Served, grace=2)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            return await asyncio.wait_for(callback.outcome, valid_for)
        except TimeoutError:
            raise Unavailable(
                f"nobody consented within {max(1, valid_for // 60)} minutes; nothing was changed"
            ) from None
        finally:
            server.should_exit = True
            await serving


class Callback:
    """Serve one callback. *outcome* is done with what the set-up produced, or with why it failed.

    *path* is where the provider posts to; the one post that shows *nonce* before *expires_at* (Unix seconds) is
    taken, and never another. *clock* returns Unix seconds.
    """

    def __init__(
        self,
        provider: "AcceptsConnection",
        client: httpx.AsyncClient,
        *,
        path: str,
        nonce: str,
        expires_at: float,
        webhook_url: str,
        clock: Callable[[], float],
    ) -> None:
        self.provider, self.client, self.webhook_url, self.clock = provider, client, webhook_url, clock
        self.outcome: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._nonce, self._expires_at, self._used = nonce, expires_at, False
        self.app = Starlette(
            routes=[Route(path, self._take, methods=["POST"]), Route(path, self._wait, methods=["GET"])]
        )

    async def _wait(self, _: Request) -> Response:
        return _page(200, "Nothing to see here", "The provider's page posts its answer to this address.")

    async def _take(self, request: Request) -> Response:
        given = request.query_params.getlist("nonce")
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self._nonce.encode()):
            return _page(
                403, "Not for us", "This answer does not carry the number that was given out for it."
            )
        if self._used or self.clock() >= self._expires_at:
            return _page(410, "Too late", "This number was used already, or is too old. Begin again.")
        self._used = True
        try:
            form = await _read_form(request)
            made = await arun(
                self.provider.read_callback(form, webhook_url=self.webhook_url, now=int(self.clock())),
                self.client,
            )
        except _TooLong:
            self._used = False
            return _page(413, "Too long", "No provider answers that much.")
        except BursarError as error:
            self._end(error)
            return _page(400, "Not connected", f"{error} Begin again in the terminal.")
        except Exception as error:
            self._end(error)
            raise
        if not self.outcome.done():
            self.outcome.set_result(made)
        return _page(200, "Connected", "You can close this page; the terminal says how to go on.")

    def _end(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class _TooLong(Exception):
    pass


async def _read_form(request: Request) -> Mapping[str, Sequence[str]]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise _TooLong
    try:
        return parse_qs(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _TooLong from None


def _page(status: int, title: str, text: str) -> Response:
    html = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><body style='font:1.1rem/1.5 system-ui;margin:15vh auto;max-width:32rem;"
        f"padding:0 1rem;color-scheme:light dark'><h1>{escape(title)}</h1><p>{escape(text)}</p>"
    )
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
