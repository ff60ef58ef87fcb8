"""What an integrator calls: `Bursar` from ordinary code, `AsyncBursar` from asyncio. One implementation serves both."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from bursar import ordering, paying, refunding, refundsending
from bursar.config import Config, load_config
from bursar.courier import AsyncCourier, Courier
from bursar.desk import Desk, build_desk
from bursar.doctor import AccountFindings, check_accounts
from bursar.effects import AsyncDriver, Driver, Operation
from bursar.flows import make_async_client, make_client
from bursar.orders import ActKind
from bursar.receiving import Answer, receive
from bursar.store import Writer, open_store
from bursar.views import OrderView, PaymentView, RefundView
from bursar.work import Kept, KeptDelivery, ParkedDelivery, Summary, Transition

__all__ = ["AsyncBursar", "Bursar"]


class _Base:
    def __init__(self, config: Config, *, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.desk: Desk = build_desk(
            config, lambda wake, tell: open_store(config.server.database, wake=wake, tell=tell), clock=clock
        )
        self.writer = Writer(self.desk.store)

    def _view(self, kept: Kept) -> OrderView:
        return OrderView.of(kept, public_url=self.config.server.public_url)

    def _opened(self, operation: Operation[tuple[Kept, bool]]) -> Operation[OrderView]:
        kept, _ = yield from operation
        return self._view(kept)

    def _synced(self, order_key: str) -> Operation[Kept]:
        kept = yield from paying.sync(self.desk, order_key)
        return (yield from refundsending.sync_refunds(self.desk, kept))

    def _viewed(self, operation: Operation[Kept]) -> Operation[OrderView]:
        kept = yield from operation
        return self._view(kept)

    def _started(self, operation: Operation[tuple[Kept, Any]]) -> Operation[PaymentView]:
        kept, payment = yield from operation
        return next(p for p in self._view(kept).payments if p.number == payment.number)

    def _refunded(self, operation: Operation[tuple[Kept, Any]]) -> Operation[RefundView]:
        kept, refund = yield from operation
        return next(r for r in self._view(kept).refunds if r.number == refund.number)


class Bursar(_Base):
    """Take payments for a shop's orders, blocking the calling thread. Safe from any thread; close it at the end.

    Amounts are `Money`, or text, `Decimal` or int with a currency; never a float. Times are Unix seconds.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.time,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(config, clock=clock)
        self.client = make_client(transport)
        self.driver = Driver(self.writer, self.client)
        self.courier = Courier(self.desk, self.driver)

    @classmethod
    def from_config(cls, path: str | Path = "bursar.toml", *, env: Mapping[str, str] | None = None) -> Self:
        """Make a Bursar as the file at *path* says. Raises `ConfigError` with file, line, key and cure."""
        return cls(load_config(path, env=env))

    def close(self) -> None:
        """Finish what was submitted, then close the database and the connections."""
        self.writer.close()
        self.client.close()
        self.desk.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_order(self, **order: Any) -> OrderView:
        """Open an order (see `bursar.ordering.open_order` for the arguments), or return the one that is there."""
        return self.driver(self._opened(ordering.open_order(self.desk, **order)))

    def start_payment(
        self, order_key: str, *, account: str = "", method: str = "", return_url: str = ""
    ) -> PaymentView:
        """Start a payment of what the order still needs, at *account* or the configured one (see `bursar.paying.start`)."""
        operation = paying.start(self.desk, order_key, account=account, method=method, return_url=return_url)
        return self.driver(self._started(operation))

    def receive(self, account: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Take a webhook's raw bytes and headers; send the answer back as it is."""
        return self.driver(receive(self.desk, account, body, headers))

    def order(self, order_key: str) -> OrderView:
        """Look at an order; raise `NotFound`."""
        return self._view(self.desk.kept(order_key))

    def find(self, reference: str, *, shop: str = "shop") -> OrderView:
        """Look at the order that *shop* calls *reference*; raise `NotFound`."""
        return self._view(self.desk.named(reference, shop))

    def history(self, order_key: str) -> list[Transition]:
        """Return every change of the order, oldest first."""
        return self.desk.store.history(order_key)

    def deliveries(self, order_key: str) -> list[KeptDelivery]:
        """Return the webhooks that were kept for the order, byte for byte."""
        return self.desk.store.deliveries(order_key)

    def parked(self, *, limit: int = 50) -> list[ParkedDelivery]:
        """Return deliveries that wait for their payment to become known."""
        return self.desk.store.parked(limit=limit)

    def orders(self, *, needs_review: bool | None = None, limit: int = 50) -> list[Summary]:
        """List orders, the last changed first."""
        return self.desk.store.orders(needs_review=needs_review, limit=limit)

    def cancel(self, order_key: str, *, who: str, why: str = "") -> OrderView:
        """Cancel an order that is not paid; its open payments are cancelled at their provider where that can be done."""
        return self.driver(self._viewed(ordering.act(self.desk, order_key, ActKind.CANCEL, who=who, why=why)))

    def fulfil(self, order_key: str, *, who: str, why: str = "") -> OrderView:
        """Record that a paid order was delivered."""
        return self.driver(self._viewed(ordering.act(self.desk, order_key, ActKind.FULFIL, who=who, why=why)))

    def accept(self, order_key: str, *, who: str, why: str = "") -> OrderView:
        """Accept what the policy leaves to a person: late, short or mismatched money counts."""
        return self.driver(self._viewed(ordering.act(self.desk, order_key, ActKind.ACCEPT, who=who, why=why)))

    def resolve(self, order_key: str, review: str, *, who: str, why: str = "") -> OrderView:
        """Close one review (by its key) with a record of who, when and why."""
        return self.driver(
            self._viewed(
                ordering.act(self.desk, order_key, ActKind.RESOLVE, who=who, why=why, subject=review)
            )
        )

    def refund(self, order_key: str, **refund: Any) -> RefundView:
        """Send money back (see `bursar.refunding.request` for the arguments); never more than can still go back."""
        return self.driver(self._refunded(refunding.request(self.desk, order_key, **refund)))

    def record_refund(self, order_key: str, number: int, *, transaction: str, who: str) -> OrderView:
        """Record that a person has sent the money of a manual refund."""
        return self.driver(
            self._viewed(refunding.record(self.desk, order_key, number, transaction=transaction, who=who))
        )

    def withdraw_refund(self, order_key: str, number: int, *, who: str) -> OrderView:
        """Take back a refund that was not paid out yet."""
        return self.driver(self._viewed(refunding.withdraw(self.desk, order_key, number, who=who)))

    def sync(self, order_key: str) -> OrderView:
        """Ask the providers about every payment and refund of the order, now."""
        return self.driver(self._viewed(self._synced(order_key)))

    def adopt(self, order_key: str, *, account: str, payment_id: str) -> OrderView:
        """Follow a payment that exists at the provider already as a payment of this order."""
        return self.driver(
            self._viewed(paying.adopt(self.desk, order_key, account=account, payment_id=payment_id))
        )

    def check(self) -> Sequence[AccountFindings]:
        """Check every account's and shop's credentials and set-up."""
        return self.driver(check_accounts(self.desk))

    def run_due(self) -> int:
        """Do all that is due now (polls, refunds, telling shops), in this thread; return how many visits that took."""
        return self.courier.run_until_quiet()


class AsyncBursar(_Base):
    """Take payments for a shop's orders from asyncio. The methods mean what they mean in `Bursar`."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(config, clock=clock)
        self.client = make_async_client(transport)
        self.driver = AsyncDriver(self.writer, self.client, self._nudge)
        self.courier = AsyncCourier(self.desk, self.driver)

    @classmethod
    def from_config(cls, path: str | Path = "bursar.toml", *, env: Mapping[str, str] | None = None) -> Self:
        """Make a Bursar as the file at *path* says. Raises `ConfigError` with file, line, key and cure."""
        return cls(load_config(path, env=env))

    def _nudge(self) -> None:
        self.courier.nudge()

    async def close(self) -> None:
        """Finish what was submitted, then close the database and the connections."""
        await self._thread(self.writer.close)
        await self.client.aclose()
        await self._thread(self.desk.store.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @staticmethod
    async def _thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        import asyncio

        return await asyncio.to_thread(call, *args, **kwargs)

    async def open_order(self, **order: Any) -> OrderView:
        """Open an order, or return the one that is there."""
        return await self.driver(self._opened(ordering.open_order(self.desk, **order)))

    async def start_payment(
        self, order_key: str, *, account: str = "", method: str = "", return_url: str = ""
    ) -> PaymentView:
        """Start a payment of what the order still needs."""
        operation = paying.start(self.desk, order_key, account=account, method=method, return_url=return_url)
        return await self.driver(self._started(operation))

    async def receive(self, account: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Take a webhook's raw bytes and headers; send the answer back as it is."""
        return await self.driver(receive(self.desk, account, body, headers))

    async def order(self, order_key: str) -> OrderView:
        """Look at an order; raise `NotFound`."""
        return self._view(await self._thread(self.desk.kept, order_key))

    async def find(self, reference: str, *, shop: str = "shop") -> OrderView:
        """Look at the order that *shop* calls *reference*; raise `NotFound`."""
        return self._view(await self._thread(self.desk.named, reference, shop))

    async def history(self, order_key: str) -> list[Transition]:
        """Return every change of the order, oldest first."""
        found: list[Transition] = await self._thread(self.desk.store.history, order_key)
        return found

    async def deliveries(self, order_key: str) -> list[KeptDelivery]:
        """Return the webhooks that were kept for the order, byte for byte."""
        found: list[KeptDelivery] = await self._thread(self.desk.store.deliveries, order_key)
        return found

    async def parked(self, *, limit: int = 50) -> list[ParkedDelivery]:
        """Return deliveries that wait for their payment to become known."""
        found: list[ParkedDelivery] = await self._thread(self.desk.store.parked, limit=limit)
        return found

    async def orders(self, *, needs_review: bool | None = None, limit: int = 50) -> list[Summary]:
        """List orders, the last changed first."""
        found: list[Summary] = await self._thread(
            self.desk.store.orders, needs_review=needs_review, limit=limit
        )
        return found

    async def cancel(self, order_key: str, *, who: str, why: str = "") -> OrderView:
        """Cancel an order that is not paid."""
        return await self._act(order_key, ActKind.CANCEL, who, why)

    async def fulfil(self, order_key: str, *, who: str, why: str = "") -> OrderView:
        """Record that a paid order was delivered."""
        return await self._act(order_key, ActKind.FULFIL, who, why)

    async def accept(self, order_key: str, *, who: str, why: str = "") -> OrderView:
        """Accept what the policy leaves to a person."""
        return await self._act(order_key, ActKind.ACCEPT, who, why)

    async def resolve(self, order_key: str, review: str, *, who: str, why: str = "") -> OrderView:
        """Close one review (by its key)."""
        return await self._act(order_key, ActKind.RESOLVE, who, why, review)

    async def _act(self, order_key: str, kind: ActKind, who: str, why: str, subject: str = "") -> OrderView:
        return await self.driver(
            self._viewed(ordering.act(self.desk, order_key, kind, who=who, why=why, subject=subject))
        )

    async def refund(self, order_key: str, **refund: Any) -> RefundView:
        """Send money back; never more than can still go back."""
        return await self.driver(self._refunded(refunding.request(self.desk, order_key, **refund)))

    async def record_refund(self, order_key: str, number: int, *, transaction: str, who: str) -> OrderView:
        """Record that a person has sent the money of a manual refund."""
        return await self.driver(
            self._viewed(refunding.record(self.desk, order_key, number, transaction=transaction, who=who))
        )

    async def withdraw_refund(self, order_key: str, number: int, *, who: str) -> OrderView:
        """Take back a refund that was not paid out yet."""
        return await self.driver(self._viewed(refunding.withdraw(self.desk, order_key, number, who=who)))

    async def sync(self, order_key: str) -> OrderView:
        """Ask the providers about every payment and refund of the order, now."""
        return await self.driver(self._viewed(self._synced(order_key)))

    async def adopt(self, order_key: str, *, account: str, payment_id: str) -> OrderView:
        """Follow a payment that exists at the provider already as a payment of this order."""
        return await self.driver(
            self._viewed(paying.adopt(self.desk, order_key, account=account, payment_id=payment_id))
        )

    async def check(self) -> Sequence[AccountFindings]:
        """Check every account's and shop's credentials and set-up."""
        return await self.driver(check_accounts(self.desk))

    async def run_due(self) -> int:
        """Do all that is due now (polls, refunds, telling shops); return how many visits that took."""
        return await self.courier.run_until_quiet()
