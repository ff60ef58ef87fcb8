import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar.config import read_config
from bursar.courier import AsyncCourier
from bursar.effects import AsyncDriver
from bursar.errands import backoff
from bursar.errors import Busy
from bursar.lifecycle import OrderStatus
from bursar.refunds import RefundStatus
from bursar.service import AsyncBursar, Bursar
from bursar.testing.stage import Stage
from bursar.views import OrderView
from bursar.work import Claimed, Visit

SECRET = "QUJD" * 10


class Ledger:
    """A shop's server that remembers what it was told, and fails as often as it is asked to."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, OrderStatus]] = []
        self.failures: list[httpx.Response | Exception] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile()
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        message = json.loads(request.read())
        order = message["order"]
        self.told.append((order["reference"], message["number"], OrderStatus(order["status"])))
        return httpx.Response(204)


class Play(Stage):
    """A stage whose orders are of a shop that is told."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.ledger = Ledger()
        self.fault: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        shop = f'[shops.shop]\nadapter = "http"\nurl = "https://shop.example/"\nsecret = "literal:{SECRET}"\n'
        super().__init__("btcpay", folder, more=shop, around=self._around, **options)

    def _around(self, inner: httpx.BaseTransport) -> httpx.BaseTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host == "shop.example":
                return self.ledger.answer(request)
            return self.fault(request) or inner.handle_request(request)

        return httpx.MockTransport(answer)

    def another(self) -> Bursar:
        """Start one more Bursar on the same database, as another process would."""
        return Bursar(self.config, clock=lambda: self.now, transport=self.transport)

    def paid(self) -> OrderView:
        order = self.order()
        payment = self.start(order)
        self.sandbox.pay(payment.payment_id)
        self.sandbox.confirm(payment.payment_id)
        self.deliver()
        return self.look(order)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    with Play(tmp_path) as one:
        yield one


def test_a_shop_is_told_each_change_and_then_left_alone(play: Play) -> None:
    play.order()
    play.bursar.run_due()
    play.bursar.run_due()

    assert play.ledger.told == [("1001", 1, OrderStatus.AWAITING_PAYMENT)]


def test_many_changes_are_told_as_one(play: Play) -> None:
    order = play.paid()
    play.bursar.fulfil(order.key, who="shop")
    play.bursar.run_due()

    assert play.ledger.told == [("1001", play.look(order).number, OrderStatus.FULFILLED)]


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(503),
        httpx.ReadTimeout("lost"),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        LookupError("the adapter's fault"),
    ],
)
def test_a_shop_that_cannot_be_told_is_told_later_with_growing_pauses(
    play: Play, failure: httpx.Response | Exception
) -> None:
    play.ledger.failures = [failure] * 4
    order = play.order()

    tries: list[int] = []
    for _ in range(400):
        visits = play.bursar.courier.run_until_quiet()
        assert visits < 3, "it was tried without a pause"
        if visits:
            tries.append(int(play.now))
        if play.ledger.told:
            break
        play.now += 1

    assert [b - a for a, b in pairwise(tries)] == [backoff(n) for n in range(4)]
    assert play.look(order).document(merchant=True)["shop_told"] == 1
    assert play.look(order).document(merchant=True)["shop_problem"] == ""


def test_the_shops_trouble_is_shown_without_what_a_plugins_error_may_hold(play: Play) -> None:
    play.ledger.failures = [ValueError("the secret is 1234")]
    order = play.order()

    play.bursar.run_due()

    problem = play.look(order).document(merchant=True)["shop_problem"]
    assert "ValueError" in problem
    assert "test_courier.py" in problem
    assert "1234" not in problem


def test_a_shop_that_names_a_time_is_told_then(play: Play) -> None:
    play.ledger.failures = [httpx.Response(503, headers={"Retry-After": "500"})]
    play.order()
    play.bursar.run_due()
    play.now += 499
    assert play.bursar.run_due() == 0
    play.now += 1

    assert play.bursar.run_due() == 1
    assert len(play.ledger.told) == 1


def test_a_provider_that_is_down_does_not_keep_the_shop_from_being_told(play: Play) -> None:
    order = play.paid()
    play.bursar.refund(order.key, amount="1.00", who="me")
    play.fault = lambda request: httpx.Response(503)
    play.now += 10_000
    play.bursar.fulfil(order.key, who="shop")

    play.bursar.run_due()

    assert play.ledger.told[-1][2] is OrderStatus.FULFILLED


def test_a_provider_plugin_that_fails_neither_stops_the_courier_nor_is_tried_without_pause(
    play: Play,
) -> None:
    order = play.order()
    play.start(order)

    def fault(request: httpx.Request) -> httpx.Response | None:
        raise LookupError("a plugin's fault")

    play.fault = fault
    play.now += 120
    assert play.bursar.run_due() == 1
    assert play.bursar.run_due() == 0
    assert play.ledger.told == [("1001", 1, OrderStatus.AWAITING_PAYMENT)]
    play.fault = lambda request: None
    play.now += backoff(0)

    assert play.bursar.run_due() == 1


def test_one_order_with_trouble_does_not_stop_the_others(play: Play) -> None:
    for number in range(5):
        play.start(play.order(reference=str(number)))
    refused: list[str] = []

    def fault(request: httpx.Request) -> httpx.Response | None:
        if not refused or refused[0] == request.url.path:
            refused.append(request.url.path)
            return httpx.Response(500)
        return None

    play.fault = fault
    play.now += 120
    play.bursar.run_due()

    polled = [play.bursar.find(str(n)).payments[0].kept.polled_at > 0 for n in range(5)]
    assert polled.count(True) == 4


def test_two_couriers_never_visit_one_order_at_the_same_time(play: Play) -> None:
    other = play.another()
    order = play.order()
    inside: list[int] = []
    # While one courier tells the shop, the other looks for work.
    play.ledger.meanwhile = lambda: inside.append(other.run_due())

    assert play.bursar.run_due() == 1
    other.close()

    assert inside == [0]
    assert play.look(order).document(merchant=True)["shop_told"] == 1


def test_a_courier_that_died_has_its_orders_visited_after_its_lease(play: Play) -> None:
    order = play.order()
    store = play.bursar.desk.store
    (lost,) = store.claim(now=int(play.now), limit=9, lease=300, owner="dead")
    assert lost.order_key == order.key
    assert play.bursar.run_due() == 0
    play.now += 301

    assert play.bursar.run_due() == 1
    store.finish([Visit(lost.order_key, lost.token, int(play.now), delivered=0, problem="a ghost")])
    assert play.look(order).document(merchant=True)["shop_told"] == 1


def test_a_refund_that_the_courier_and_a_clerk_send_at_once_is_sent_once(play: Play) -> None:
    order = play.paid()
    play.bursar.run_due()
    other = play.another()
    raced: list[int] = []

    def fault(request: httpx.Request) -> httpx.Response | None:
        # The clerk's refund is kept and about to be sent; the courier sees it in the same moment.
        if request.url.path.endswith("/invoices/" + str(order.payments[0].payment_id)) and not raced:
            raced.append(0)
            raced[0] = other.run_due()
        return None

    play.fault = fault
    refund = play.bursar.refund(order.key, who="clerk")
    other.close()
    play.fault = lambda request: None
    play.now += 600
    play.bursar.run_due()

    assert raced
    assert play.look(order).refunds[0].status is RefundStatus.WAITING_FOR_BUYER
    assert refund.number == 1
    assert len(play.sandbox.server.refunds.pulls) == 1


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5), (1, 10), (5, 160), (10, 3_600), (10_000, 3_600)])
def test_pauses_double_up_to_an_hour(attempts: int, seconds: int) -> None:
    assert backoff(attempts) == seconds


class Frail:
    """A store for the courier alone, which fails as often as it is told to."""

    def __init__(self, *, failures: int) -> None:
        self.failures, self.claims, self.finished = failures, 0, list[str]()
        self.claimed: list[Claimed] = []

    def claim(self, **_: object) -> list[Claimed]:
        self.claims += 1
        if self.failures:
            self.failures -= 1
            raise Busy("the database is away")
        claimed, self.claimed = self.claimed, []
        return claimed

    def next_due(self) -> int | None:
        if self.failures:
            self.failures -= 1
            raise Busy("the database is away")
        return None

    def finish(self, visits: Sequence[Visit]) -> None:
        if visits[0].order_key == "cursed":
            raise Busy("the database is away")
        self.finished.append(visits[0].order_key)

    def get(self, key: str) -> None:
        return None


def test_the_courier_outlives_a_database_that_is_away(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.courier._LONGEST_NAP", 0.01)

    async def scene() -> Frail:
        store: Any = Frail(failures=5)
        desk = attrs.evolve(play.bursar.desk, store=store)
        courier = AsyncCourier(desk, AsyncDriver(play.bursar.writer, httpx.AsyncClient()))
        running = asyncio.create_task(courier.run())
        async with asyncio.timeout(5):
            while store.failures or store.claims < 5:
                await asyncio.sleep(0.01)
        courier.stop()
        await asyncio.wait_for(running, 5)
        return store  # type: ignore[no-any-return]

    assert asyncio.run(scene()).failures == 0


def test_a_visit_that_cannot_be_given_back_does_not_spoil_the_others(play: Play) -> None:
    async def scene() -> tuple[int, list[str]]:
        store: Any = Frail(failures=0)
        store.claimed = [Claimed(key, "t", 0, True, True, 0, 0) for key in ("cursed", "a", "b")]
        desk = attrs.evolve(play.bursar.desk, store=store)
        courier = AsyncCourier(desk, AsyncDriver(play.bursar.writer, httpx.AsyncClient()))
        return await courier.run_due(), store.finished

    assert asyncio.run(scene()) == (3, ["a", "b"])


def test_a_nudge_wakes_the_courier_at_once(tmp_path: Path) -> None:
    config = read_config(
        f'[bursar]\ndatabase = "sqlite:///{(tmp_path / "b.db").as_posix()}"\n[shops.shop]\nadapter = "http"\n'
        f'url = "https://shop.example/"\nsecret = "literal:{SECRET}"\n',
        env={},
    )
    told = asyncio.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        told.set()
        return httpx.Response(200)

    async def scene() -> None:
        async with AsyncBursar(config, clock=lambda: 1e9, transport=httpx.MockTransport(answer)) as bursar:
            running = asyncio.create_task(bursar.courier.run())
            await asyncio.sleep(0)
            await bursar.open_order(reference="1", amount="1", currency="EUR")
            # Without the nudge it would look again only after two seconds.
            await asyncio.wait_for(told.wait(), 1.5)
            bursar.courier.stop()
            await asyncio.wait_for(running, 5)

    asyncio.run(scene())
