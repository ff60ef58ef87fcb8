import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from bursar.changes import observed, payment_intended, payment_opened, polled
from bursar.flows import Flow, make_client, run
from bursar.lifecycle import OrderState, OrderStatus, Reason, order_state
from bursar.money import Money, fiat
from bursar.orders import Dossier, Order, Payment, Terms
from bursar.providers import Delivery, OpenRequest
from bursar.secrets import Secret
from bursar.signatures import verify
from bursar.testing.sandboxes import ASGIApp
from bursar_coinpay.provider import CoinPay
from bursar_coinpay.sandbox import CoinPaySandbox
from bursar_coinpay.settings import CoinPaySettings

KEY = "cp_live_0123456789abcdef0123456789abcdef"
BUSINESS = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"
Serve = Callable[[ASGIApp], httpx.Client]

URL = "http://coinpay.test"
USD = fiat("USD")


@pytest.fixture
def make_settings() -> Callable[..., CoinPaySettings]:
    def make(**changes: Any) -> CoinPaySettings:
        values: dict[str, Any] = {
            "api_key": Secret(KEY),
            "business_id": BUSINESS,
            "webhook_secret": Secret("whsecret_" + "5a" * 32),
            "blockchain": "USDC_POL",
        }
        return CoinPaySettings(**(values | changes))

    return make


@pytest.fixture
def make_provider(make_settings: Callable[..., CoinPaySettings]) -> Callable[..., CoinPay]:
    def make(**changes: Any) -> CoinPay:
        return CoinPay(make_settings(**changes))

    return make


@pytest.fixture
def ask() -> Callable[..., OpenRequest]:
    def make(amount: str = "49.99", **changes: Any) -> OpenRequest:
        values: dict[str, Any] = {
            "attempt": "attempt-1",
            "reference": "order-1",
            "amount": Money.of(amount, fiat("USD")),
        }
        return OpenRequest(**(values | changes))

    return make


@pytest.fixture
def converse() -> Callable[..., Any]:
    """Carry a flow by hand: one answer for each request; the requests are kept in the list that is given."""

    def carry(flow: Flow[Any], *answers: httpx.Response, seen: list[httpx.Request] | None = None) -> Any:
        requests = [] if seen is None else seen
        left = list(answers)
        try:
            request = next(flow)
            while True:
                requests.append(request)
                assert left, f"no answer is left for {request.method} {request.url}"
                request = flow.send(left.pop(0))
        except StopIteration as done:
            assert not left, "not all answers were asked for"
            return done.value

    return carry


class _InProcess(httpx.BaseTransport):
    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app=app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def send() -> httpx.Response:
            response = await self._inner.handle_async_request(request)
            return httpx.Response(
                response.status_code, headers=response.headers, content=await response.aread()
            )

        return asyncio.run(send())


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], httpx.Client]]:
    """Answer requests by an application in this process, as core's own client would send them."""
    clients: list[httpx.Client] = []

    def client_for(app: ASGIApp) -> httpx.Client:
        clients.append(make_client(_InProcess(app)))
        return clients[-1]

    yield client_for
    for client in clients:
        client.close()


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        # A second before a whole minute, so that the cron is near.
        self.now = 1_785_239_999.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Bench:
    """A sandbox, its API, and a webhook receiver whose answers the test chooses."""

    def __init__(self, serve: Serve, clock: Any, **options: Any) -> None:
        self.clock = clock
        self.sandbox = CoinPaySandbox(clock=clock, url=URL, **options)
        self.account = self.sandbox.account(webhook_url="https://shop.test/hook")
        self.client = serve(self.sandbox.app)
        self.headers = {"Authorization": f"Bearer {self.account['api_key']}"}

    def get(self, path: str, *, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.get(f"{URL}/api{path}", headers=self.headers if headers is None else headers)

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return self.client.post(f"{URL}/api{path}", json=body, headers=self.headers | headers)

    def create(self, **changes: Any) -> str:
        answer = self.post("/payments/create", {"amount": 50, "blockchain": "USDC_POL"} | changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["payment"]["id"])

    def status(self, payment_id: str) -> str:
        return str(self.get(f"/payments/{payment_id}").json()["payment"]["status"])

    def told(self, status: int | None = 200) -> list[str]:
        kinds: list[str] = []
        for outgoing in self.sandbox.due():
            kinds.append(outgoing.event)
            self.sandbox.answered(outgoing, status)
        return kinds

    def after(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def bench(serve: Serve, clock: Any) -> Callable[..., Bench]:
    def make(**options: Any) -> Bench:
        return Bench(serve, clock, **options)

    return make


class Shop:
    """One order, followed as core follows it, with the sandbox at the other end."""

    def __init__(
        self, serve: Serve, clock: Any, *, settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.clock = clock
        self.sandbox = CoinPaySandbox(clock=clock, url="http://coinpay.test", **options)
        account = self.sandbox.account(webhook_url="https://shop.test/hook")
        values: dict[str, Any] = {
            "url": account["url"],
            "api_key": Secret(account["api_key"]),
            "business_id": account["business_id"],
            "webhook_secret": Secret(account["webhook_secret"]),
            "blockchain": "USDC_POL",
            "allow_http": True,
        }
        self.provider = CoinPay(CoinPaySettings(**(values | (settings or {}))))
        self.client = serve(self.sandbox.app)
        order = Order("key", "order-1", Money.of("49.99", USD), int(clock.now))
        self.dossier = Dossier(order)
        self.event_ids: list[str] = []

    @property
    def now(self) -> int:
        return int(self.clock.now)

    @property
    def state(self) -> OrderState:
        return order_state(self.dossier)

    def status(self) -> OrderStatus:
        return self.state.status

    @property
    def payment(self) -> Payment:
        return self.dossier.payments[-1]

    @property
    def reviews(self) -> set[Reason]:
        return {review.reason for review in self.state.reviews}

    def request(self, attempt: str = "a-1", **changes: Any) -> OpenRequest:
        return OpenRequest(attempt, "order-1", self.dossier.order.amount, **changes)

    def open(self, **changes: Any) -> str:
        opened = run(self.provider.open_payment(self.request(**changes), now=self.now), self.client)
        amount = self.dossier.order.amount
        self.dossier = payment_intended(
            self.dossier, account="main", attempt="a-1", terms=Terms(amount, amount), at=self.now
        )
        self.dossier = payment_opened(self.dossier, self.payment.number, opened)
        return opened.payment_id

    def deliver(self, *, lose: bool = False, twice: bool = False) -> list[str]:
        kinds: list[str] = []
        for outgoing in self.sandbox.due():
            kinds.append(outgoing.event)
            if not lose:
                headers = dict(outgoing.headers)
                verify(
                    self.provider.scheme,
                    outgoing.body,
                    headers,
                    secrets=self.provider.secrets(),
                    now=self.now,
                )
                reading = self.provider.read_webhook(Delivery(outgoing.body, headers, self.now))
                self.event_ids.append(reading.event_id)
                for seen in reading.seen * (2 if twice else 1):
                    self.dossier = observed(self.dossier, "main", seen)
            self.sandbox.answered(outgoing, None if lose else 200)
        return kinds

    def poll(self) -> None:
        payment = self.payment
        assert payment.payment_id is not None
        seen = run(
            self.provider.look_up(payment.payment_id, billed=payment.terms.billed, now=self.now), self.client
        )
        habits = self.provider.capabilities.habits
        self.dossier = polled(self.dossier, payment.number, seen, at=self.now, habits=habits)

    def after(self, seconds: float) -> None:
        self.clock.now += seconds

    def settle_all(self) -> list[str]:
        """Let two minutes pass, delivering whatever comes."""
        kinds: list[str] = []
        for _ in range(6):
            kinds += self.deliver()
            self.after(20)
        return kinds


@pytest.fixture
def shop(serve: Serve, clock: Any) -> Callable[..., Shop]:
    def make(**options: Any) -> Shop:
        return Shop(serve, clock, **options)

    return make
