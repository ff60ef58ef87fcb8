"""Carry requests of httpx into an ASGI application in the same process, without a network, a loop or a thread."""

from collections.abc import AsyncIterator, Coroutine, MutableMapping
from typing import Any

import httpx

from bursar.testing.sandboxes import ASGIApp

__all__ = ["AppTransport"]


class AppTransport(httpx.BaseTransport):
    """Answer requests by *app*, whose endpoints must wait for nothing but the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Run the application on *request* until it has answered."""
        body = request.read()
        url = request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 0),
        }
        sent: list[MutableMapping[str, Any]] = []
        parts = _once(body)

        async def receive() -> MutableMapping[str, Any]:
            return await anext(parts)

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        _run(self._app(scope, receive, send))
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=content, request=request)


async def _once(body: bytes) -> AsyncIterator[MutableMapping[str, Any]]:
    yield {"type": "http.request", "body": body, "more_body": False}
    while True:
        yield {"type": "http.disconnect"}


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("the application waits for something other than the request; use an event loop")
