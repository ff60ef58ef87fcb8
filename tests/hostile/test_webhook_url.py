"""Hostile bytes and headers at the webhook URL: the answer is always 2xx or 4xx, nothing is raised, no order changes."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar import AsyncBursar, read_config
from bursar.plugins import sandbox
from bursar.testing.stage import account_table
from bursar.web import create_app

NOW = 1_790_000_000.0
MILLION = 1_000_000
BATCH = 20


@attrs.define
class Target:
    """The whole application, two accounts with a paid-for order each, and genuine deliveries to be spoiled."""

    app: Any
    bursar: AsyncBursar
    loop: asyncio.AbstractEventLoop
    genuine: list[tuple[str, bytes, list[tuple[bytes, bytes]]]]
    keys: list[str]

    def states(self) -> list[tuple[str, int]]:
        found = [self.bursar.desk.kept(key) for key in self.keys]
        return [(kept.state.status.value, kept.number) for kept in found]

    def ask(self, method: str, path: str, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> int:
        return self.loop.run_until_complete(self._ask(method, path, headers, pieces))

    async def _ask(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], pieces: list[bytes]
    ) -> int:
        waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
        answers: list[int] = []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self.app(scope, receive, send)
        (status,) = answers
        return status


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    loop = asyncio.new_event_loop()
    fakes: dict[str, Any] = {
        name: sandbox(name)(clock=lambda: NOW, url=f"http://{name}.test") for name in ("btcpay", "coinpay")
    }
    text = f'[bursar]\ndatabase = "sqlite:///{(folder / "bursar.db").as_posix()}"\naccount = "btcpay"\n'
    for name, fake in fakes.items():
        given_settings = fake.account(webhook_url=f"http://127.0.0.1/webhooks/{name}")
        more = {"blockchain": "USDC_POL"} if name == "coinpay" else {"allow_http": "true"}
        given_settings["url"] = given_settings["url"].replace(f"{name}.test", "127.0.0.1")
        text += account_table(name, given_settings | more, name=name)

    async def route(request: httpx.Request) -> httpx.Response:
        name = "coinpay" if "/payments" in request.url.path and "/v1/" not in request.url.path else "btcpay"
        return await httpx.ASGITransport(app=fakes[name].app).handle_async_request(request)

    async def begin() -> Target:
        bursar = AsyncBursar(
            read_config(text, env={}), clock=lambda: NOW, transport=httpx.MockTransport(route)
        )
        keys: list[str] = []
        for name, fake in fakes.items():
            order = await bursar.open_order(reference=name, amount="10.00", currency="USD")
            payment = await bursar.start_payment(order.key, account=name)
            keys.append(order.key)
            fake.pay(payment.payment_id)
            fake.confirm(payment.payment_id)
        genuine: list[tuple[str, bytes, list[tuple[bytes, bytes]]]] = []
        for name, fake in fakes.items():
            while due := fake.due():
                for outgoing in due:
                    answer = await bursar.receive(name, outgoing.body, dict(outgoing.headers))
                    fake.answered(outgoing, answer.status)
                    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in outgoing.headers]
                    genuine.append((name, outgoing.body, headers))
        return Target(create_app(bursar, run_courier=False), bursar, loop, genuine, keys)

    made = loop.run_until_complete(begin())
    assert {status for status, _ in made.states()} == {"paid"}
    yield made
    loop.run_until_complete(made.bursar.close())
    loop.close()


NAMES = st.sampled_from(
    [b"btcpay-sig", b"x-coinpay-signature", b"content-length", b"content-type", b"transfer-encoding", b"host"]
)
VALUES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [b"sha256=", b"sha256=" + b"0" * 64, b"t=1790000000,v1=" + b"a" * 64, b"t=,v1=", b"99999999"]
    ),
    st.integers().map(lambda number: str(number).encode()),
)
HEADERS = st.lists(st.tuples(st.one_of(NAMES, st.binary(min_size=1, max_size=20)), VALUES), max_size=4)
PIECES = st.lists(st.binary(max_size=200), max_size=3)
PATHS = st.one_of(
    st.sampled_from(
        ["/webhooks/btcpay", "/webhooks/coinpay", "/webhooks/btcpay/", "/webhooks/nobody", "/webhooks/"]
    ),
    st.text(max_size=20).map(lambda text: f"/webhooks/{text}"),
)
METHODS = st.sampled_from(["POST", "POST", "POST", "POST", "GET", "PUT", "HEAD", "BREW"])
Request = tuple[str, str, list[tuple[bytes, bytes]], list[bytes]]
RAW = st.tuples(METHODS, PATHS, HEADERS, PIECES)
SPOILT = st.tuples(
    st.integers(0, 50),
    st.sampled_from(["body", "header", "cut", "twice", "other", "none"]),
    st.integers(0, 400),
    st.binary(min_size=1, max_size=6),
)


def spoil(target: Target, plan: tuple[int, str, int, bytes]) -> Request:
    """Make a request of a genuine one by spoiling it; what is left as it was is a duplicate."""
    which, how, at, junk = plan
    account, body, headers = target.genuine[which % len(target.genuine)]
    headers = list(headers)
    signature = next(i for i, (name, _) in enumerate(headers) if b"sig" in name.lower())
    name, value = headers[signature]
    match how:
        case "body":
            body = body[:at] + junk + body[at:]
        case "cut":
            body = body[: at % len(body)]
        case "header":
            headers[signature] = (name, value[: at % len(value)] + junk + value[at % len(value) :])
        case "twice":
            headers.append((name.upper(), junk))
        case "other":
            account = "coinpay" if account == "btcpay" else "btcpay"
        case _:
            del headers[signature]
    return "POST", f"/webhooks/{account}", headers, [body[:100], body[100:]]


def check(target: Target, requests: list[Any]) -> int:
    """Send *requests*; fail unless every answer is 2xx or 4xx."""
    for plan in requests:
        request: Request = spoil(target, plan) if isinstance(plan[0], int) else plan
        status = target.ask(*request)
        assert 200 <= status < 300 or 400 <= status < 500, (status, request)
    return len(requests)


BATCHES = st.lists(st.one_of(RAW, SPOILT), min_size=1, max_size=BATCH)
QUIET = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.function_scoped_fixture,
    HealthCheck.large_base_example,
]


def test_nothing_that_is_sent_gets_an_answer_but_2xx_or_4xx_and_no_order_changes(target: Target) -> None:
    before = target.states()

    @settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
    @given(BATCHES)
    def hostile(requests: list[Any]) -> None:
        check(target, requests)

    hostile()
    assert target.states() == before


def test_every_genuine_delivery_again_is_a_duplicate(target: Target) -> None:
    before = target.states()

    for account, body, headers in target.genuine:
        assert target.ask("POST", f"/webhooks/{account}", headers, [body]) == 200

    assert target.states() == before


def test_a_spoilt_delivery_is_never_taken(target: Target) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
    @given(SPOILT)
    def spoilt(plan: tuple[int, str, int, bytes]) -> None:
        _, body, _ = target.genuine[plan[0] % len(target.genuine)]
        request = spoil(target, plan)
        untouched = plan[1] == "cut" and b"".join(request[3]) == body
        assert untouched or target.ask(*request) == 401

    spoilt()


@pytest.mark.million
@pytest.mark.skipif(not os.environ.get("BURSAR_MILLION"), reason="takes tens of minutes: make million")
def test_a_million_hostile_requests(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    before, begun, sent = target.states(), time.monotonic(), 0
    say: Callable[[str], None] = print

    @settings(max_examples=2_500, deadline=None, suppress_health_check=QUIET, database=None)
    @given(st.lists(st.one_of(RAW, SPOILT), min_size=BATCH, max_size=BATCH))
    def hostile(requests: list[Any]) -> None:
        nonlocal sent
        sent += check(target, requests)

    while sent < MILLION:
        hostile()
        with capsys.disabled():
            say(f"{sent:,} hostile requests, {sent / (time.monotonic() - begun):,.0f} a second")
    assert target.states() == before
    with capsys.disabled():
        say(f"million: {sent:,} requests at the webhook URL, no answer but 2xx and 4xx, no order changed")
