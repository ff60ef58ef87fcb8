import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar.flows import Flow
from bursar.providers import Delivery
from bursar.secrets import Secret
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

STORE = "3aHNkVeHX9QkMYRRLiYjJn25JPhWnBmkvRVzWSW57Khn"


@cache
def _entries(scenario: str) -> dict[int, dict[str, Any]]:
    file = Path(__file__).parent / "recordings" / f"{scenario}.json"
    return {entry["seq"]: entry for entry in json.loads(file.read_text(encoding="utf-8"))["entries"]}


@pytest.fixture
def settings() -> Settings:
    return Settings(
        url="https://btcpay.example/pay/",
        api_key=Secret("0123456789abcdef"),
        store_id=STORE,
        webhook_secret=Secret("webhook-secret-main"),
    )


@pytest.fixture
def btcpay(settings: Settings) -> BTCPay:
    return BTCPay(settings)


@pytest.fixture
def answer() -> Callable[[str, int], httpx.Response]:
    """A recorded answer, by scenario and number."""

    def read(scenario: str, seq: int) -> httpx.Response:
        recorded = _entries(scenario)[seq]["response"]
        return httpx.Response(
            recorded["status"],
            headers=[(k, v) for k, v in recorded["headers"] if k.lower() != "content-length"],
            content=(recorded["body"] or "").encode(),
        )

    return read


@pytest.fixture
def delivery() -> Callable[[str, int], Delivery]:
    """A recorded delivery, by scenario and number."""

    def read(scenario: str, seq: int) -> Delivery:
        request = _entries(scenario)[seq]["request"]
        headers = {name.lower(): value for name, value in request["headers"]}
        return Delivery(body=request["body"].encode(), headers=headers, received_at=0)

    return read


@pytest.fixture
def play() -> Callable[..., tuple[list[httpx.Request], Any]]:
    """Carry a flow by hand with these answers; return the requests it made and its result."""

    def carry(flow: Flow[Any], *answers: httpx.Response) -> tuple[list[httpx.Request], Any]:
        requests: list[httpx.Request] = []
        try:
            requests.append(next(flow))
            for response in answers:
                requests.append(flow.send(response))
        except StopIteration as done:
            assert len(requests) == len(answers), "it ended before all answers were given"
            return requests, done.value
        finally:
            flow.close()
        pytest.fail(f"it asks for more: {requests[-1].method} {requests[-1].url}")

    return carry
