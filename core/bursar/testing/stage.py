"""A stage: a Bursar and one service's sandbox on one clock, in one process, without a network.

Time stands still until `wait`; deliveries come when `settle` carries them. So a story of weeks is played in a second, and
the same at every playing.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs
import httpx

from bursar import plugins
from bursar.config import Config, read_config
from bursar.service import Bursar
from bursar.testing.sandboxes import ASGIApp, Outgoing
from bursar.views import OrderView, PaymentView

__all__ = ["Bridge", "Stage", "account_table"]

_START: Final = 1_790_000_000
_URL: Final = "http://127.0.0.1:9"


class Bridge(httpx.BaseTransport):
    """Let blocking code talk to an ASGI application in this process."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app=app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request into the application."""
        return asyncio.run(self._carry(request))

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        answer = await self._transport.handle_async_request(asked)
        body = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=body, request=request)


def account_table(provider: str, settings: Mapping[str, str], *, name: str = "main") -> str:
    """Write the `[accounts.NAME]` of a configuration for a sandbox's *settings*, whose secrets are in clear."""
    kinds = {
        f.name: str(f.type) for f in attrs.fields(attrs.resolve_types(plugins.provider(provider).Settings))
    }
    lines = [f"[accounts.{name}]", f'provider = "{provider}"']
    for key, value in settings.items():
        secret = "literal:" if "Secret" in kinds.get(key, "") else ""
        lines.append(f'{key} = "{secret}{value}"')
    return "\n".join(lines) + "\n"


class Stage:
    """Play one order's story. *policy* is the account's, *more* text to put at the end of the configuration.

    `bursar`, `sandbox`, `now` and `log` (every delivery attempt with its answer, None while it is lost) are there to be
    used and looked at. *lose* decides, by the event's name, which deliveries are lost on their way.
    """

    def __init__(
        self,
        provider: str,
        folder: Path,
        *,
        policy: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        more: str = "",
        seed: int = 0,
        around: Callable[[httpx.BaseTransport], httpx.BaseTransport] = lambda transport: transport,
        lose: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.now = float(_START)
        self.lose: Callable[[str], bool] = lose
        self.log: list[tuple[Outgoing, int | None]] = []
        self.sandbox: Any = plugins.sandbox(provider)(clock=lambda: self.now, url=_URL, seed=seed)
        given = self.sandbox.account(webhook_url=f"{_URL}/webhooks/main") | dict(settings or {})
        text = f'[bursar]\ndatabase = "sqlite:///{(folder / "bursar.db").as_posix()}"\naccount = "main"\n'
        text += account_table(provider, given)
        if policy:
            text += "[accounts.main.policy]\n" + "".join(
                f'{key} = "{value}"\n' for key, value in policy.items()
            )
        self.config: Config = read_config(text + more, env={}, source="stage")
        self.transport = around(Bridge(self.sandbox.app))
        self.bursar = Bursar(self.config, clock=lambda: self.now, transport=self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bursar.close()

    def order(
        self, amount: str = "10.00", currency: str = "USD", *, reference: str = "1001", **more: Any
    ) -> OrderView:
        """Open an order."""
        return self.bursar.open_order(reference=reference, amount=amount, currency=currency, **more)

    def start(self, order: OrderView, **more: Any) -> PaymentView:
        """Start a payment of *order*."""
        return self.bursar.start_payment(order.key, **more)

    def look(self, order: OrderView) -> OrderView:
        """Look at *order* as it stands now."""
        return self.bursar.order(order.key)

    def deliver(self) -> int:
        """Carry every delivery that is due now; return how many came through."""
        came = 0
        while due := self.sandbox.due():
            for outgoing in due:
                came += self.attempt(outgoing)
        return came

    def attempt(self, outgoing: Outgoing) -> bool:
        """Carry one delivery, or lose it; tell the sandbox how it was answered."""
        status = None
        if not self.lose(outgoing.event):
            status = self.bursar.receive("main", outgoing.body, dict(outgoing.headers)).status
        self.log.append((outgoing, status))
        self.sandbox.answered(outgoing, status)
        return status is not None

    def settle(self, *, rounds: int = 20) -> None:
        """Carry what is due and let the courier work, until both are quiet. No time passes."""
        for _ in range(rounds):
            self.sandbox.tick()
            came, visits = self.deliver(), self.bursar.run_due()
            if not came and not visits:
                return

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping wherever the sandbox or the courier has something to do."""
        end = self.now + seconds
        self.settle()
        while self.now < end:
            wakes = (self.sandbox.wakes_at(), self.bursar.desk.store.next_due())
            later = [at for at in wakes if at is not None and at > self.now]
            self.now = min([end, *later])
            self.settle()
