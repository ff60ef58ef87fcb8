"""Tell open pages that their order has changed: one look at the store a second for all of them together."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Final

import structlog

from bursar.service import AsyncBursar
from bursar.views import OrderView

__all__ = ["Watcher", "version_of"]

_log = structlog.get_logger("bursar.web")
_EVERY: Final = 1.0
_HEARTBEAT: Final = 20.0


def version_of(order: OrderView) -> str:
    """Return a short text that changes whenever the buyer's view of *order* does."""
    text = json.dumps(order.document(merchant=False), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Watcher:
    """Watch the orders whose pages are open. Started and stopped with the application."""

    def __init__(self, bursar: AsyncBursar) -> None:
        self.bursar = bursar
        self.versions: dict[str, str] = {}
        self.changed: dict[str, asyncio.Condition] = {}
        self.listeners: dict[str, int] = {}
        self.stopping = False

    async def run(self) -> None:
        """Look at every watched order, once a second, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the store may be away for a while; pages only wait longer
                _log.warning("open pages could not be refreshed", error=type(error).__name__)

    async def look(self) -> None:
        """Look at every watched order once, and tell the pages whose order has changed."""
        found = await asyncio.to_thread(self._look, list(self.listeners))
        for key, version in found.items():
            if key in self.changed and self.versions.get(key) != version:
                self.versions[key] = version
                async with self.changed[key]:
                    self.changed[key].notify_all()

    async def stop(self) -> None:
        """Let every open stream end."""
        self.stopping = True
        for condition in list(self.changed.values()):
            async with condition:
                condition.notify_all()

    def _look(self, keys: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in keys:
            kept = self.bursar.desk.store.get(key)
            if kept is not None:
                found[key] = version_of(OrderView.of(kept, public_url=self.bursar.config.server.public_url))
        return found

    async def changes(self, key: str, version: str) -> AsyncGenerator[str | None]:
        """Yield the order's version at every change after *version*, and None now and then, to keep the stream alive."""
        condition = self.changed.setdefault(key, asyncio.Condition())
        self.listeners[key] = self.listeners.get(key, 0) + 1
        self.versions.setdefault(key, version)
        last = version
        try:
            while not self.stopping:
                if self.versions[key] != last:
                    last = self.versions[key]
                    yield last
                    continue
                async with condition:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(condition.wait(), _HEARTBEAT)
                if self.versions[key] == last:
                    yield None
        finally:
            self.listeners[key] -= 1
            if not self.listeners[key]:
                del self.listeners[key], self.changed[key], self.versions[key]
