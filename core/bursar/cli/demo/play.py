"""Play one order at one service: what buyer, blockchain, merchant and time do, and what the shop comes to know of it."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from bursar.cli.demo.ledger import Sale
from bursar.cli.demo.road import Road
from bursar.cli.demo.services import AT, Service
from bursar.cli.demo.stand import Stand

__all__ = ["Play", "Stuck"]

_PATIENCE: Final = 12.0
_LOOK_EVERY: Final = 0.01


class Stuck(Exception):
    """Say what was waited for and never came."""


class Play:
    """Hold one order's play. `sale` is the shop's record of it; *tell* is called with every line worth reading."""

    sale: Sale
    payment_id: str

    def __init__(self, stand: Stand, service: str, tell: Callable[[str], None]) -> None:
        self.stand, self.service_name, self.tell = stand, service, tell
        self._told = 0

    @property
    def service(self) -> Service:
        return AT[self.service_name]

    @property
    def sandbox(self) -> Any:
        return self.stand.sandboxes[self.service_name]

    @property
    def road(self) -> Road:
        return self.stand.roads[self.service_name]

    async def buy(self, product: str = "tea") -> None:
        """Buy *product* at the shop, as a buyer's browser does, and find out where to pay."""
        answer = await self.stand.client.post(
            f"{self.stand.urls['shop']}/buy",
            data={"product": product, "account": self.service_name},
            headers={"Accept": "application/json"},
        )
        if answer.status_code != 201:
            raise Stuck(f"the shop sold nothing: {answer.status_code} {answer.text[:200]}")
        self.sale = self.stand.shop.ledger.sales[answer.json()["reference"]]
        order = await self.look()
        self.payment_id = order["payments"][-1]["payment_id"]
        self.tell(f"order {self.sale.reference}: {self.sale.product.price} {self.sale.product.currency}")
        await self.service.talk(self.press, self.payment_id)
        if not self.stand.shop.closed:
            await self.reaches("awaiting_payment")

    def pay(self, share: str = "1") -> None:
        """Send *share* of what is asked, unconfirmed."""
        self.sandbox.pay(self.payment_id, share=Decimal(share))
        self.tell(f"buyer: sends {Decimal(share) * 100:f} %")

    def pay_rest(self) -> None:
        """Send what is still due."""
        self.service.pay_rest(self.sandbox, self.payment_id)
        self.tell("buyer: sends the rest")

    def confirm(self) -> None:
        """Put all that was sent into a block."""
        self.sandbox.confirm(self.payment_id)
        self.tell("chain: confirms")

    def double_spend(self) -> None:
        """Take back all that is unconfirmed."""
        self.sandbox.double_spend(self.payment_id)
        self.tell("buyer: spends the same coins elsewhere")

    async def seen(self) -> None:
        """Wait until the money is seen, where the service speaks of money before it is final."""
        if self.service.sees_unconfirmed:
            await self.reaches("processing")

    def minutes_pass(self, minutes: int) -> None:
        """Let time pass for everyone."""
        self.stand.let_pass(minutes * 60)
        self.tell(f"time: {minutes} min pass")

    async def merchant(self, verb: str, **form: str) -> None:
        """Press a button of the shop's own page."""
        answer = await self.stand.client.post(
            f"{self.stand.urls['shop']}/orders/{self.sale.reference}/{verb}",
            data=form,
            headers={"Accept": "application/json"},
        )
        if not answer.is_success:
            raise Stuck(f"the shop could not {verb}: {answer.text[:300]}")
        self.tell(f"merchant: {verb} {' '.join(form.values())}".rstrip())

    async def press(self, path: str, form: dict[str, str]) -> None:
        """Press a button of the service's panel."""
        url = self.stand.urls[self.service_name] + path
        answer = await self.stand.client.post(url, data=form)
        if answer.status_code >= 400:
            raise Stuck(f"the panel refused {path} {form}: {answer.status_code}")

    async def look(self) -> dict[str, Any]:
        """Ask Bursar's own API how the order stands."""
        return await self.stand.shop.till.look(self.sale)

    async def reaches(self, status: str, *reasons: str) -> None:
        """Wait until the shop was told that the order is *status*, with exactly *reasons* open for a person."""
        wanted = " + ".join((status, *sorted(reasons)))
        await self.until(lambda: self._known() == wanted, wanted)

    def _known(self) -> str:
        reasons = sorted(review["reason"] for review in self.sale.order.get("reviews", ()))
        return " + ".join((self.sale.status, *reasons))

    async def refund_is(self, status: str) -> dict[str, Any]:
        """Wait until the API says that the order's first refund is *status*, and return that refund."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            refunds = (await self.look())["refunds"]
            if refunds and refunds[0]["status"] == status:
                self.tell(f"refund: {status.replace('_', ' ')}")
                return dict(refunds[0])
            if time.monotonic() > give_up:
                raise Stuck(f"waited for a refund that is {status}; there is {refunds}")
            await asyncio.sleep(_LOOK_EVERY)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until *holds*, for real time only; raise `Stuck` where it does not come to that."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            self._retell()
            if holds():
                return
            if time.monotonic() > give_up:
                raise Stuck(f"waited for {what}; the shop knows {self._known() or 'nothing'}")
            await asyncio.sleep(_LOOK_EVERY)

    def _retell(self) -> None:
        for number, status in self.sale.told[self._told :]:
            self.tell(f"shop: told {status} (change {number})")
        self._told = len(self.sale.told)
