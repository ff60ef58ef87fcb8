"""Every answer and every delivery of the sandbox is what BTCPay Server's own OpenAPI description says."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from bursar.testing.sandboxes import Sandbox
from bursar_btcpay.sandbox import BTCPaySandbox, api_invoices, api_payouts, api_stores, api_webhooks
from bursar_btcpay.sandbox.ids import Ids
from bursar_btcpay.sandbox.permissions import KNOWN
from bursar_btcpay.sandbox.transport import AppTransport

ROUTES = [*api_stores.ROUTES, *api_invoices.ROUTES, *api_webhooks.ROUTES, *api_payouts.ROUTES]
SERVER = "https://btcpay.example"
# What the server answers (recorded, or read in its source) and the description does not list for that operation.
UNLISTED = {
    400: "ProblemDetails",
    403: "ProblemDetails",
    404: "ProblemDetails",
    422: "ValidationProblemDetails",
}


def modernize(schema: Any) -> Any:
    """Turn OpenAPI 3.0's `nullable` into JSON Schema."""
    if isinstance(schema, list):
        return [modernize(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: modernize(value) for name, value in schema.items() if name not in {"nullable", "example"}}
    if "$ref" in plain:
        plain["$ref"] = plain["$ref"].replace("#/components/schemas/", "#/$defs/")
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


class Description:
    """Check answers and deliveries against the OpenAPI file."""

    def __init__(self) -> None:
        file = Path(__file__).parents[2] / "vectors" / "btcpay-openapi.json"
        self.document = json.loads(file.read_text("utf-8"), parse_float=Decimal)
        self.definitions = {
            name: modernize(schema) for name, schema in self.document["components"]["schemas"].items()
        }
        self.paths = {
            re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): (path, operations)
            for path, operations in self.document["paths"].items()
        }
        self.checked = 0

    def check(self, schema: Any, text: str) -> None:
        value = json.loads(text, parse_float=Decimal)
        validator = Draft202012Validator({**modernize(schema), "$defs": self.definitions})
        assert [error.message for error in validator.iter_errors(value)] == [], text
        self.checked += 1

    def check_answer(self, method: str, path: str, status: int, text: str) -> None:
        if status in {404, 405, 415, 500} and not text.startswith('{"code"'):
            return None
        # An exact path wins over one with parameters: api-keys/current is no key's name.
        found = [entry for pattern, entry in self.paths.items() if pattern.fullmatch(path)]
        template, operations = min(found, key=lambda entry: entry[0].count("{"))
        operation = operations[method.lower()]
        answer = operation["responses"].get(str(status))
        if answer is None or (status in UNLISTED and "content" not in answer):
            return self.check({"$ref": f"#/components/schemas/{UNLISTED[status]}"}, text)
        content = answer.get("content", {})
        if not content:
            assert text == "", f"{method} {template} {status} answers nothing"
            return None
        return self.check(content["application/json"]["schema"], text)

    def check_delivery(self, event: str, text: str) -> None:
        body = self.document["x-webhooks"][event]["post"]["requestBody"]
        self.check(body["content"]["application/json"]["schema"], text)


class Shop:
    """Drive a sandbox over its API, and check all that comes back."""

    def __init__(self, description: Description) -> None:
        self.now, self.description = 1_790_000_000.25, description
        self.sandbox = BTCPaySandbox(clock=lambda: self.now, url=SERVER, seed=7)
        self.settings = self.sandbox.account(webhook_url="https://shop.example/hooks")
        self.store = f"/stores/{self.settings['store_id']}"
        self.key = self.sandbox.make_key("everything", sorted(KNOWN))
        self.http = httpx.Client(transport=AppTransport(self.sandbox.app), base_url=f"{SERVER}/api/v1")
        self.last = ""
        self.asked: set[tuple[str, str]] = set()
        self.events: set[str] = set()

    def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, key: str | None = None
    ) -> Any:
        headers = {"Authorization": f"token {self.key if key is None else key}"}
        answer = self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        self.last = answer.text
        bare = path.partition("?")[0]
        self.asked.add((method, bare))
        self.description.check_answer(method, f"/api/v1{bare}", status, answer.text)
        return json.loads(answer.text, parse_float=Decimal) if answer.text else None

    def deliver(self) -> None:
        while batch := self.sandbox.due():
            for outgoing in batch:
                self.description.check_delivery(outgoing.event, outgoing.body.decode())
                self.events.add(outgoing.event)
                self.sandbox.answered(outgoing, 200)

    def invoice(self, **members: Any) -> str:
        id: str = self.ask(
            "POST", f"{self.store}/invoices", {"amount": "20.00", "currency": "EUR", **members}
        )["id"]
        return id


@pytest.fixture(scope="module")
def description() -> Description:
    return Description()


@pytest.fixture
def shop(description: Description) -> Shop:
    return Shop(description)


def play_stores(shop: Shop) -> None:
    for path in ("/health", "/server/info", "/api-keys/current", "/stores", shop.store):
        shop.ask("GET", path)
    shop.ask("GET", f"{shop.store}/payment-methods?onlyEnabled=true")
    shop.ask("GET", f"{shop.store}/payment-methods/BTC-CHAIN?includeConfig=true")
    rates = shop.ask("GET", f"{shop.store}/rates?currencyPair=BTC_EUR&currencyPair=BTC_XXX&currencyPair=nope")
    assert [rate["rate"] for rate in rates] == ["40000", None]
    shop.ask(
        "DELETE", "/api-keys/current", key=shop.sandbox.make_key("gone", ["btcpay.store.canviewinvoices"])
    )


def play_invoices(shop: Shop, prefix: str) -> str:
    paid, late, unpaid = shop.invoice(), shop.invoice(), shop.invoice(checkout={"lazyPaymentMethods": True})
    one = f"{prefix}/invoices/{paid}"
    shop.ask("GET", f"{one}?includePaymentMethods=true")
    shop.ask("PUT", one, {"metadata": {"orderId": "42", "nested": {"n": 1}}})
    shop.sandbox.pay(paid, share=Decimal("1.5"), replaceable=True)
    shop.sandbox.replace(paid)
    shop.ask("GET", f"{one}/payment-methods?onlyAccountedPayments=false")
    shop.sandbox.confirm(paid)
    shop.ask("GET", f"{one}/refund/BTC-CHAIN")
    shop.ask("POST", f"{prefix}/invoices/{unpaid}/payment-methods/BTC-CHAIN/activate")
    shop.ask("POST", f"{prefix}/invoices/{unpaid}/status", {"status": "Invalid"})
    shop.ask("POST", f"{prefix}/invoices/{unpaid}/status", {"status": "Nonsense"}, status=422)
    shop.ask("DELETE", f"{prefix}/invoices/{unpaid}")
    shop.ask("POST", f"{prefix}/invoices/{unpaid}/unarchive")
    shop.ask("POST", f"{prefix}/invoices/{unpaid}/unarchive", status=400)
    shop.sandbox.pay(late, share=Decimal("0.4"))
    shop.sandbox.expire(late)
    shop.sandbox.pay_rest(late)
    shop.ask("GET", f"{shop.store}/invoices?take=2&includePaymentMethods=true")
    return paid


def play_refunds(shop: Shop, prefix: str, paid: str) -> None:
    body = {
        "refundVariant": "Custom",
        "customAmount": "6.00",
        "customCurrency": "EUR",
        "payoutMethods": ["BTC-CHAIN"],
    }
    pull = shop.ask("POST", f"{prefix}/invoices/{paid}/refund", body)["id"]
    buyer = Ids(int(shop.now) + len(prefix))
    claims = [
        shop.ask(
            "POST",
            f"/pull-payments/{pull}/payouts",
            {"destination": buyer.address(), "payoutMethodId": "BTC-CHAIN", "amount": "2.00"},
        )["id"]
        for _ in range(3)
    ]
    shop.ask("GET", f"/pull-payments/{pull}")
    shop.ask("GET", f"/pull-payments/{pull}/payouts?includeCancelled=true")
    shop.ask("GET", f"/pull-payments/{pull}/payouts/{claims[0]}")
    for claim in claims[:2]:
        shop.ask("POST", f"{prefix}/payouts/{claim}", {"revision": 0})
    shop.ask("POST", f"{prefix}/payouts/{claims[0]}/mark-paid")
    shop.ask("POST", f"{prefix}/payouts/{claims[0]}/mark-paid", status=400)
    shop.sandbox.pay_payout(claims[1])
    shop.ask("POST", f"{prefix}/payouts/{claims[1]}/mark", {"state": "Completed"})
    shop.ask("DELETE", f"{prefix}/payouts/{claims[2]}")
    shop.ask("GET", f"{prefix}/payouts/{claims[1]}")
    shop.ask("GET", f"{shop.store}/payouts?includeCancelled=true")
    offer = {"name": "By hand", "amount": "1.00", "currency": "EUR", "payoutMethods": ["BTC-CHAIN"]}
    made = shop.ask("POST", f"{shop.store}/pull-payments", offer)["id"]
    shop.ask("GET", f"{shop.store}/pull-payments")
    shop.ask("DELETE", f"{prefix}/pull-payments/{made}")
    straight = {
        "destination": buyer.address(),
        "payoutMethodId": "BTC-CHAIN",
        "amount": "0.0001",
        "approved": True,
    }
    shop.ask("POST", f"{shop.store}/payouts", straight)


def play_webhooks(shop: Shop, prefix: str) -> None:
    shop.deliver()
    first = shop.ask("GET", f"{shop.store}/webhooks")[0]["id"]
    one = f"{prefix}/webhooks/{first}"
    delivery = shop.ask("GET", f"{one}/deliveries?count=3")[0]["id"]
    shop.ask("GET", f"{one}/deliveries/{delivery}")
    shop.ask("GET", f"{one}/deliveries/{delivery}/request")
    shop.ask("POST", f"{one}/deliveries/{delivery}/redeliver")
    shop.deliver()
    shop.ask("GET", one)
    made = shop.ask("POST", f"{shop.store}/webhooks", {"url": "https://shop.example/second"})["id"]
    shop.ask("PUT", f"{prefix}/webhooks/{made}", {"url": "https://shop.example/second", "enabled": False})
    shop.ask("DELETE", f"{prefix}/webhooks/{made}")
    shop.ask("GET", f"{prefix}/webhooks/{made}", status=404)


def routed(asked: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for method, path in asked:
        for route in ROUTES:
            if route.method == method and route.pattern.fullmatch(path):
                yield method, route.path


def test_every_route_answers_what_the_description_says(shop: Shop) -> None:
    play_stores(shop)
    for prefix in (shop.store, ""):
        paid = play_invoices(shop, prefix)
        play_refunds(shop, prefix, paid)
        play_webhooks(shop, prefix)
    assert {(route.method, route.path) for route in ROUTES} - set(routed(shop.asked)) == set()


def test_every_kind_of_event_is_sent_as_the_description_says(shop: Shop) -> None:
    paid, confirmed_late, unpaid = shop.invoice(), shop.invoice(), shop.invoice()
    shop.sandbox.pay(confirmed_late)
    shop.sandbox.end_monitoring(confirmed_late)
    shop.sandbox.pay(unpaid, share=Decimal("0.4"))
    shop.sandbox.expire(unpaid)
    shop.sandbox.pay_rest(unpaid)
    shop.sandbox.pay(paid)
    shop.sandbox.confirm(paid)
    play_refunds(shop, shop.store, paid)
    shop.deliver()
    assert shop.events == {
        "InvoiceCreated",
        "InvoiceReceivedPayment",
        "InvoiceProcessing",
        "InvoicePaymentSettled",
        "InvoiceSettled",
        "InvoiceInvalid",
        "InvoiceExpired",
        "InvoiceExpiredPaidPartial",
        "InvoicePaidAfterExpiration",
        "InvoiceRefund",
        "PayoutCreated",
        "PayoutApproved",
        "PayoutUpdated",
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"status":"New"', '"status":"Paid"'),
        ('"paidAmount":"0"', '"paidAmount":0'),
        ('"archived":false', '"archived":"no"'),
        ('"expirationMinutes":15', '"expirationMinutes":"15"'),
    ],
)
def test_the_check_itself_finds_what_is_wrong(shop: Shop, right: str, wrong: str) -> None:
    shop.invoice()
    assert right in shop.last
    with pytest.raises(AssertionError):
        shop.description.check_answer(
            "POST", f"/api/v1{shop.store}/invoices", 200, shop.last.replace(right, wrong)
        )


def test_the_sandbox_has_all_that_the_port_asks_for(shop: Shop) -> None:
    sandbox: Sandbox = shop.sandbox
    assert (sandbox.name, sandbox.wakes_at()) == ("btcpay", None)
