"""The courier: claim what is due, visit it, give it back; inside the server, or as any number of workers."""

import asyncio
import os
import secrets
from typing import Final

import structlog

from bursar.desk import Desk
from bursar.effects import AsyncDriver, Driver
from bursar.errands import backoff, visit
from bursar.work import Claimed, Visit

__all__ = ["AsyncCourier", "Courier"]

_log = structlog.get_logger("bursar.courier")
_LEASE: Final = 300
_AT_ONCE: Final = 32
_LONGEST_NAP: Final = 2.0


def _owner() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}"


class Courier:
    """Visit due orders one after another, in the calling thread."""

    def __init__(self, desk: Desk, driver: Driver) -> None:
        self.desk, self.driver, self.owner = desk, driver, _owner()

    def run_due(self, *, limit: int = _AT_ONCE) -> int:
        """Visit up to *limit* orders that are due now; return how many were."""
        for visits in range(limit):
            # One at a time: a lease that waits behind slow visits would pass to another courier.
            claimed = self.desk.store.claim(now=self.desk.now, limit=1, lease=_LEASE, owner=self.owner)
            if not claimed:
                return visits
            self.desk.store.finish([self.driver(visit(self.desk, claimed[0]))])
        return limit

    def run_until_quiet(self, *, rounds: int = 100) -> int:
        """Visit what is due now until nothing is; return how many visits it took."""
        visits = 0
        for _ in range(rounds):
            done = self.run_due()
            if not done:
                break
            visits += done
        return visits


class AsyncCourier:
    """Visit due orders concurrently on an event loop, until stopped."""

    def __init__(self, desk: Desk, driver: AsyncDriver) -> None:
        self.desk, self.driver, self.owner = desk, driver, _owner()
        self._nudged = asyncio.Event()
        self._stopping = False

    def nudge(self) -> None:
        """Say that something may have become due. Call it on the courier's own event loop."""
        self._nudged.set()

    def stop(self) -> None:
        """Finish what is in hand, then return from `run`."""
        self._stopping = True
        self._nudged.set()

    async def run(self) -> None:
        """Go on until `stop`. What fails is logged and comes due again."""
        while not self._stopping:
            self._nudged.clear()
            try:
                busy, due = await self.run_due(), None
                if not busy:
                    due = await asyncio.to_thread(self.desk.store.next_due)
            except Exception as error:  # noqa: BLE001 - the store may be away for a while; the courier outlives it
                _log.error("courier could not claim", error=type(error).__name__)
                busy, due = 0, None
            if not busy:
                await self._nap(due)

    async def run_due(self, *, limit: int = _AT_ONCE) -> int:
        """Visit up to *limit* orders that are due now, at the same time; return how many were."""
        store = self.desk.store
        claimed = await asyncio.to_thread(
            store.claim, now=self.desk.now, limit=limit, lease=_LEASE, owner=self.owner
        )
        await asyncio.gather(*(self._visit(one) for one in claimed))
        return len(claimed)

    async def run_until_quiet(self, *, rounds: int = 100) -> int:
        """Visit what is due now until nothing is; return how many visits it took."""
        visits = 0
        for _ in range(rounds):
            done = await self.run_due()
            if not done:
                break
            visits += done
        return visits

    async def _visit(self, claimed: Claimed) -> None:
        try:
            done = await asyncio.wait_for(self.driver(visit(self.desk, claimed)), _LEASE - 30)
        except TimeoutError:
            # Before the lease can pass to another courier, so that one order never has two.
            now, slow = self.desk.now, "the visit took too long"
            done = Visit(
                claimed.order_key,
                claimed.token,
                now,
                hold_until=now + backoff(claimed.attempts),
                shop_hold_until=now + backoff(claimed.shop_attempts),
                problem=slow,
                shop_problem=slow,
            )
        try:
            await asyncio.to_thread(self.desk.store.finish, [done])
        except Exception as error:  # noqa: BLE001 - then its lease ends by itself; the other visits go on
            _log.error("visit not given back", order=claimed.order_key, error=type(error).__name__)

    async def _nap(self, due: int | None) -> None:
        wait = _LONGEST_NAP if due is None else min(_LONGEST_NAP, max(0.05, due - self.desk.clock()))
        try:
            await asyncio.wait_for(self._nudged.wait(), wait)
        except TimeoutError:
            return
