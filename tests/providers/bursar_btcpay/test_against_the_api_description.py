"""Every request that is made, and every recorded answer that is read, against BTCPay's own description of its API."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import attrs
import httpx
import pytest
from jsonschema import Draft202012Validator

from bursar.flows import Flow
from bursar.money import Money, fiat
from bursar.providers import OpenRequest, RefundRequest
from bursar.secrets import Secret
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

API: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "btcpay-openapi.json").read_text(encoding="utf-8")
)
RECORDINGS = Path(__file__).parent / "recordings"
STORE = "3aHNkVeHX9QkMYRRLiYjJn25JPhWnBmkvRVzWSW57Khn"
INVOICE = "68G9iNYtYg5Hu6DDoGQmDU"
USD = fiat("USD")
TEN = Money(1000, USD)
ASKED = OpenRequest(
    attempt="a7c1f0c2", reference="ord-1001", amount=TEN, return_url="https://shop.example/back", window=900
)
REFUND = RefundRequest(operation="op-1", payment_id=INVOICE, amount=Money(500, USD), paid=TEN, reason="cold")
FORM = {"apiKey": ["5f0c"], "permissions[]": []}
Answer = Callable[[str, int], httpx.Response]


def as_json_schema(schema: Any) -> Any:
    """Turn an OpenAPI 3.0 schema into JSON Schema: `nullable` becomes one more type."""
    if isinstance(schema, list):
        return [as_json_schema(part) for part in cast(Any, schema)]
    if not isinstance(schema, dict):
        return schema
    members: dict[str, Any] = cast(Any, schema)
    done = {
        name: as_json_schema(part) for name, part in members.items() if name not in ("nullable", "format")
    }
    return {"anyOf": [done, {"type": "null"}]} if members.get("nullable") is True else done


COMPONENTS = {"components": as_json_schema(API["components"])}


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    validator = Draft202012Validator({**as_json_schema(schema), **COMPONENTS})
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(value)]


def operation(method: str, path: str) -> dict[str, Any] | None:
    """Return the description of what stands at *path*."""
    for template, operations in API["paths"].items():
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations and "{" not in path:
            exact: dict[str, Any] = operations[method.lower()]
            names = {p.get("name") for p in _parameters(exact, operations)}
            return exact | {"query": names}
    return None


def _parameters(*holders: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for holder in holders:
        for parameter in holder.get("parameters", ()):
            reference = parameter.get("$ref")
            yield API["components"]["parameters"][reference.rpartition("/")[2]] if reference else parameter


def content(described: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = described.get("content", {}).get("application/json", {}).get("schema")
    return found


def requests_of(flow: Flow[Any], *answers: httpx.Response) -> Iterator[httpx.Request]:
    """Carry a flow by hand and yield all that it asks."""
    try:
        yield next(flow)
        for answer in answers:
            yield flow.send(answer)
    except StopIteration:
        return


def every_request(answer: Answer) -> Iterator[httpx.Request]:
    """Yield what each conversation asks, by several settings."""
    info, empty, made = answer("setup", 20), httpx.Response(200, json=[]), answer("refund_errors", 30)
    plain = Settings(url="https://btcpay.example", api_key=Secret("key"), store_id=STORE)
    full = attrs.evolve(
        plain,
        payment_methods=("BTC-CHAIN",),
        speed_policy="LowSpeed",
        window=15,
        monitoring=60,
        tolerance=Decimal("0.5"),
        redirect_automatically=False,
        language="en",
        lazy_methods=True,
        webhook_secret=Secret("secret"),
    )
    for settings in (
        plain,
        full,
        attrs.evolve(full, refund_variant="PullPayment"),
        attrs.evolve(full, refund_variant="Fiat"),
    ):
        btcpay = BTCPay(settings)
        invoice, methods = answer("paid_1conf", 4), answer("paid_1conf", 5)
        yield from requests_of(btcpay.open_payment(ASKED, now=1), answer("paid_1conf", 1), methods)
        yield from requests_of(btcpay.find_payment(ASKED, now=1), empty, empty)
        yield from requests_of(btcpay.look_up(INVOICE, billed=TEN, now=1), invoice, methods)
        yield from requests_of(
            btcpay.look_up(INVOICE, billed=TEN, now=1), answer("unknown_invoices", 5), empty
        )
        yield from requests_of(btcpay.read_opened(INVOICE, now=1), invoice, methods)
        yield from requests_of(btcpay.cancel(INVOICE, now=1), invoice, invoice)
        yield from requests_of(btcpay.list_methods(now=1), answer("setup", 22))
        answers = (invoice, made) if settings.refund_variant == "PullPayment" else (invoice, info, made)
        yield from requests_of(btcpay.refund(REFUND, now=1), *answers)
        yield from requests_of(btcpay.refund(attrs.evolve(REFUND, amount=TEN), now=1), *answers)
        yield from requests_of(btcpay.find_refund(REFUND, now=1), empty)
        yield from requests_of(btcpay.look_up_refund("pull", now=1), made, empty)
        yield from requests_of(btcpay.withdraw_refund("pull", now=1), made, empty, httpx.Response(200))
        health = httpx.Response(200, json={"synchronized": True})
        key, store = answer("setup", 26), answer("setup", 21)
        yield from requests_of(
            btcpay.check(now=1), health, info, key, store, answer("setup", 22), answer("setup", 25), empty
        )
        posted = httpx.Response(200, json=key.json() | {"apiKey": "5f0c"})
        hooks = answer("setup", 25) if settings.webhook_secret else empty
        secret = httpx.Response(200, json={"id": "x", "secret": "s"})
        yield from requests_of(
            btcpay.read_callback(FORM, webhook_url="http://127.0.0.1:45693/hooks/main", now=1),
            posted,
            store,
            hooks,
            secret,
        )


def test_every_request_is_one_that_the_api_describes(answer: Answer) -> None:
    seen: set[tuple[str, str]] = set()
    for request in every_request(answer):
        described = operation(request.method, request.url.path)
        assert described is not None, f"{request.method} {request.url.path} is not described"
        seen.add((request.method, described["operationId"]))
        # Not described, and read from the server's source: archived ones are left out of the list without it.
        unknown = set(request.url.params) - described["query"] - {"includeArchived"}
        assert not unknown, f"{request.method} {request.url.path}: {unknown}"
        schema = content(described.get("requestBody", {}))
        assert (schema is None) == (not request.content), f"{request.method} {request.url.path}"
        if schema is not None:
            assert problems(schema, json.loads(request.content)) == []

    assert {method for method, _ in seen} == {"GET", "POST", "PUT", "DELETE"}
    assert len(seen) >= 19


def test_no_request_gives_away_more_than_the_ids_of_order_and_attempt(answer: Answer) -> None:
    bodies = [json.loads(r.content) for r in every_request(answer) if r.content]
    metadata = [body["metadata"] for body in bodies if "metadata" in body]

    assert len(metadata) == 4
    assert all(given == {"orderId": "ord-1001", "attemptId": "a7c1f0c2"} for given in metadata)
    assert not any(word in json.dumps(body) for body in bodies for word in ("buyer", "@"))


@pytest.mark.parametrize("file", sorted(RECORDINGS.glob("*.json")), ids=lambda file: file.stem)
def test_every_recorded_answer_and_delivery_is_as_described(file: Path) -> None:
    checked = 0
    for entry in json.loads(file.read_text(encoding="utf-8"))["entries"]:
        if entry["kind"] == "webhook":
            event = json.loads(entry["request"]["body"])
            body = API["x-webhooks"][event["type"]]["post"]["requestBody"]
            schema = content(body)
            assert schema is not None
            assert problems(schema, event) == []
            checked += 1
        elif entry["kind"] == "http":
            path = entry["request"]["target"].partition("?")[0]
            described = operation(entry["request"]["method"], path)
            answered = described["responses"].get(str(entry["response"]["status"])) if described else None
            schema = content(answered) if answered else None
            if schema is not None and entry["response"]["body"]:
                assert problems(schema, json.loads(entry["response"]["body"])) == []
                checked += 1

    assert checked


def test_the_description_is_held_to_in_earnest() -> None:
    described = operation("POST", f"/api/v1/stores/{STORE}/invoices/{INVOICE}/refund")
    assert described is not None
    schema = content(described["requestBody"])
    assert schema is not None

    assert problems(schema, {"refundVariant": "Custom", "customAmount": "5.00"}) == []
    assert problems(schema, {"refundVariant": "Everything"})
    assert problems(schema, {"customAmount": "5.00"})
    assert problems(schema, {"refundVariant": "Custom", "paymentMethod": "BTC"})
