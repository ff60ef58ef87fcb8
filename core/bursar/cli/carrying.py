"""Carry a sandbox's deliveries over real HTTP, in real time: what the service's own sender does."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import httpx

from bursar.cli.hosting import Served, make_server
from bursar.flows import make_async_client
from bursar.testing.sandboxes import Outgoing, Sandbox

__all__ = ["Carrier", "Road", "post", "serve_sandbox"]

Road = Callable[[Outgoing], Awaitable[int | None]]
"""How one attempt travels; returns the HTTP status, None where nothing answered."""

_PAUSE: Final = 0.1
_TIMEOUT: Final = 10.0


async def post(client: httpx.AsyncClient, outgoing: Outgoing) -> int | None:
    """Make one attempt: POST it, and return how it was answered."""
    # The length is said by whoever sends the bytes.
    headers = [(name, value) for name, value in outgoing.headers if name.lower() != "content-length"]
    try:
        answer = await client.post(outgoing.url, content=outgoing.body, headers=headers, timeout=_TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return answer.status_code


class Carrier:
    """Carry what is due, in the service's order, until cancelled. *pause* is how often it looks, in seconds."""

    def __init__(self, sandbox: Sandbox, road: Road, *, pause: float = _PAUSE) -> None:
        self.sandbox, self.road, self.pause = sandbox, road, pause

    async def carry_due(self) -> int:
        """Carry what is due now; return how many attempts that were."""
        due = self.sandbox.due()
        for outgoing in due:
            self.sandbox.answered(outgoing, await self.road(outgoing))
        return len(due)

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            if not await self.carry_due():
                await asyncio.sleep(self.pause)


def serve_sandbox(played: Sandbox, listener: socket.socket) -> None:
    """Serve *played* at *listener* and carry its deliveries, until a signal says stop."""
    asyncio.run(_serve(played, listener))


async def _serve(played: Sandbox, listener: socket.socket) -> None:
    server: Any = make_server(played.app, Served, bare=True, grace=2)

    def stop(*_: object) -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with make_async_client() as client:
        carrier = asyncio.create_task(Carrier(played, lambda outgoing: post(client, outgoing)).run())
        carrier.add_done_callback(stop)
        try:
            await server.serve(sockets=[listener])
        finally:
            carrier.cancel()
            with suppress(asyncio.CancelledError):
                await carrier
