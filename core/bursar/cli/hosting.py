"""Serve an application on a socket of our own, with uvicorn, in one process."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn

from bursar.errors import ConfigError

__all__ = ["Ending", "Served", "Server", "address_of", "listen", "make_server"]

_GRACE: Final = 10
"""Seconds that requests under way have to finish when the server stops."""


def listen(host: str, port: int, *, cure: str) -> socket.socket:
    """Return a listening socket. Raise `ConfigError` where the address cannot be had, with *cure*."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot listen on {host}:{port}: {why}; {cure}") from None


def address_of(listener: socket.socket) -> str:
    """Return the URL at which *listener* is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Ending:
    """Tell streams that have no end of their own that the server stops, as if their reader had gone.

    Otherwise one open page would hold up the stop for all of the grace. Only reads (GET) are told, and only after their
    answer has begun: whatever takes something in is left to finish.
    """

    def __init__(self, app: Any) -> None:
        self.app, self.stopping = app, asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        async def receiving() -> Any:
            real, stop = asyncio.ensure_future(receive()), asyncio.ensure_future(self.stopping.wait())
            try:
                await asyncio.wait((real, stop), return_when=asyncio.FIRST_COMPLETED)
                if not real.done() and begun:
                    return {"type": "http.disconnect"}
                return await real
            finally:
                real.cancel()
                stop.cancel()

        await self.app(scope, receiving, sending)


class Served(uvicorn.Server):
    """Leave signals to whoever runs several servers on one event loop."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop gracefully; streams without an end are ended first."""
        _end_streams(self)
        await super().shutdown(sockets)


class Server(uvicorn.Server):
    """Stop gracefully at the first signal, at once at the second, and end as a success."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop gracefully; streams without an end are ended first."""
        _end_streams(self)
        await super().shutdown(sockets)


def _end_streams(server: uvicorn.Server) -> None:
    app: Any = server.config.app
    if isinstance(app, Ending):
        app.stopping.set()


def make_server(app: Any, kind: type[uvicorn.Server], *, bare: bool = False, grace: int = _GRACE) -> Any:
    """Return a server of *kind* for *app*. A *bare* one adds no headers of its own, for a fake that sends its own."""
    config = uvicorn.Config(
        Ending(app),
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off" if bare else "on",
        date_header=not bare,
        server_header=False,
        timeout_graceful_shutdown=grace,
    )
    return kind(config)
