"""A scene: one order between a sandbox, a shop's server and us, where the process may die and start again.

Time is passed in. The database is a real file; after a crash a new Bursar opens it, as a restarted process would.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from bursar import plugins
from bursar.config import Config, read_config
from bursar.errors import BursarError
from bursar.service import Bursar
from bursar.signatures import STANDARD_WEBHOOKS, verify
from bursar.testing.faults.edges import BreakingDriver, BreakingTransport, Crash, Trap
from bursar.testing.stage import Bridge, account_table
from bursar.views import OrderView

__all__ = ["SHOP_SECRET", "Scene", "ShopServer", "write_config"]

T = TypeVar("T")
_START: Final = 1_790_000_000
SHOP_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_MORE: Final[dict[str, dict[str, str]]] = {"coinpay": {"blockchain": "USDC_POL"}}


class ShopServer:
    """A shop that takes signed messages, keeps the highest number of each order, and drops what it has had."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.applied: list[tuple[int, str]] = []
        self.ids: dict[int, set[str]] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Take one message."""
        body = request.read()
        proved = verify(
            STANDARD_WEBHOOKS, body, request.headers, secrets=[SHOP_SECRET.encode()], now=int(self.clock())
        )
        message = json.loads(proved.body)
        number = int(message["number"])
        self.ids.setdefault(number, set()).add(proved.message_id or "")
        if number > max((known for known, _ in self.applied), default=0):
            self.applied.append((number, message["order"]["status"]))
        return httpx.Response(204)


class _Routes(httpx.BaseTransport):
    def __init__(self, sandbox: httpx.BaseTransport, shop: ShopServer) -> None:
        self.sandbox, self.shop = sandbox, shop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "shop":
            return self.shop.answer(request)
        return self.sandbox.handle_request(request)


def write_config(database: Path, provider: str, settings: dict[str, str], shop_url: str) -> str:
    """Write the configuration of one account and one shop."""
    return (
        f'[bursar]\ndatabase = "sqlite:///{database.as_posix()}"\n'
        + account_table(provider, settings | _MORE.get(provider, {}))
        + f'[shops.shop]\nadapter = "http"\nurl = "{shop_url}"\nsecret = "literal:{SHOP_SECRET}"\nallow_http = true\n'
    )


class Scene:
    """Play one order's story at *provider*'s sandbox, with *trap* between us and everything else."""

    def __init__(self, provider: str, folder: Path, trap: Trap) -> None:
        self.now, self.provider, self.trap = float(_START), provider, trap
        self.crashes = 0
        self.surprises: list[str] = []
        self.lose_webhooks = False
        self.sandbox: Any = plugins.sandbox(provider)(clock=lambda: self.now, url="http://service")
        self.shop = ShopServer(lambda: self.now)
        settings = self.sandbox.account(webhook_url="http://pay/webhooks/main")
        self.text = write_config(folder / "bursar.db", provider, settings, "http://shop/bursar")
        self.config: Config = read_config(self.text, env={}, source="scene")
        self.transport = BreakingTransport(_Routes(Bridge(self.sandbox.app), self.shop), trap)
        self.bursar = self._open()

    def _open(self) -> Bursar:
        bursar = Bursar(self.config, clock=lambda: self.now, transport=self.transport)
        driver = BreakingDriver(bursar.writer, bursar.client)
        driver.trap = self.trap
        bursar.driver, bursar.courier.driver = driver, driver
        return bursar

    def close(self) -> None:
        self.bursar.close()

    def tries(self, call: Callable[[Bursar], T]) -> T | BursarError | None:
        """Make one call; return what it returned, the error it raised, or None where the process died in it."""
        try:
            return call(self.bursar)
        except BursarError as error:
            return error
        except Crash:
            self.crashes += 1
            self.bursar.close()
            self.bursar = self._open()
            return None
        except Exception as error:  # noqa: BLE001 - a promise is that nothing else is ever raised
            self.surprises.append(repr(error))
            return None

    def order(self) -> OrderView:
        """Look at the scene's order."""
        return self.bursar.find("1001")

    def deliver(self) -> None:
        """Carry the sandbox's webhooks; what we do not answer well comes again, by the service's habits."""
        while due := self.sandbox.due():
            for outgoing in due:
                status: int | None = 200
                if not self.lose_webhooks:
                    answer = self.tries(
                        lambda b, o=outgoing: b.receive("main", o.body, dict(o.headers))  # type: ignore[misc]
                    )
                    status = getattr(answer, "status", None)
                self.sandbox.answered(outgoing, status)

    def settle(self) -> None:
        """Let webhooks come and the courier work until both are quiet; no time passes."""
        for _ in range(60):
            self.sandbox.tick()
            self.deliver()
            if not self.tries(lambda b: b.run_due()) and not self.sandbox.due():
                return

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end = self.now + seconds
        self.settle()
        while self.now < end:
            due = (self.sandbox.wakes_at(), self.bursar.desk.store.next_due())
            self.now = min([end, *(at for at in due if at is not None and at > self.now)])
            self.settle()

    def pay(self) -> None:
        """Let the buyer pay the open payment in full, and the chain confirm it."""
        payment = self.order().payment
        if payment is not None and payment.payment_id is not None:
            self.sandbox.pay(payment.payment_id)
            self.sandbox.confirm(payment.payment_id)
