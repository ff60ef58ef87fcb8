import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from bursar.cli.demo.shop import Choice, Shop
from bursar.cli.demo.till import Till
from bursar.signatures import STANDARD_WEBHOOKS, sign

NOW = 1_790_000_000
SECRET = "whsec_" + b64encode(b"s" * 32).decode()
ORDER = {
    "reference": "1001",
    "status": "paid",
    "currency": "USD",
    "received": "14.40",
    "surplus": "2.40",
    "refunded": "0.00",
    "flags": ["money_seen", "overpaid"],
    "reviews": [{"key": "surplus:1:2.40 USD", "reason": "surplus", "payment": 1, "amount": "2.40"}],
}


class Server:
    """Stand in for the server's API: what the shop asked of it, and what it answers."""

    def __init__(self) -> None:
        self.asked = list[tuple[str, str, Any, httpx.Headers]]()
        self.problem = ""
        self.refunds = list[dict[str, Any]]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, body, request.headers))
        if self.problem:
            return httpx.Response(
                409, json={"error": {"kind": "refused", "message": self.problem, "retry": False}}
            )
        order = {"key": "k1", "checkout_url": "https://pay.example.com/pay/k1.t", "refunds": self.refunds}
        return httpx.Response(200, json=order)


class Stall:
    """The shop, with a buyer's browser in front of it."""

    def __init__(self) -> None:
        self.server, self.passed = Server(), list[float]()
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.server))
        till = Till(
            client, url="https://pay.example.com", api_key="the-key", secret=SECRET, clock=lambda: NOW
        )
        self.shop = Shop(
            till,
            clock=lambda: NOW,
            choices=[
                Choice("btcpay", "BTCPay Server", "https://one.example/panel"),
                Choice("coinpay", "CoinPay", "x"),
            ],
            default="btcpay",
            let_pass=self.passed.append,
            config="bursar.toml",
        )
        self.browser = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.shop.app), base_url="http://shop.example"
        )

    async def tell(self, number: int = 1, *, secret: str = SECRET, **order: Any) -> httpx.Response:
        message = {"type": "order.changed", "number": number, "at": NOW, "order": ORDER | order}
        body = json.dumps(message).encode()
        headers = sign(STANDARD_WEBHOOKS, body, secret.encode(), now=NOW, message_id=f"msg_{number}")
        return await self.browser.post("/bursar", content=body, headers=headers)


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_buying_opens_an_order_through_the_api_and_sends_the_buyer_to_pay() -> None:
    async def story() -> None:
        stall = Stall()

        answer = await stall.browser.post("/buy", data={"product": "boat", "account": "coinpay"})

        assert answer.status_code == 303
        assert answer.headers["location"] == "https://pay.example.com/pay/k1.t"
        method, path, body, headers = stall.server.asked[0]
        assert (method, path) == ("POST", "/api/orders")
        assert (body["amount"], body["currency"], body["account"]) == ("4.90", "EUR", "coinpay")
        assert headers["authorization"] == "Bearer the-key"
        assert headers["idempotency-key"]

    in_loop(story)


def test_without_a_choice_the_configuration_chooses() -> None:
    async def story() -> None:
        stall = Stall()

        await stall.browser.post("/buy", data={"product": "tea", "account": ""})

        assert "account" not in stall.server.asked[0][2]
        assert stall.shop.ledger.sales["1001"].account == "btcpay"

    in_loop(story)


def test_what_is_not_for_sale_is_not_sold() -> None:
    async def story() -> None:
        stall = Stall()

        assert (await stall.browser.post("/buy", data={"product": "moon"})).status_code == 404
        assert (await stall.browser.post("/buy", data={"product": "tea", "account": "x"})).status_code == 404
        assert stall.server.asked == []

    in_loop(story)


def test_an_order_that_the_server_refuses_is_no_sale_and_its_words_are_shown() -> None:
    async def story() -> None:
        stall = Stall()
        stall.server.problem = "no <rate> source"

        answer = await stall.browser.post("/buy", data={"product": "tea"})
        page = await stall.browser.get(answer.headers["location"])

        assert "not sold: no &lt;rate&gt; source" in page.text
        assert stall.shop.ledger.sales == {}

    in_loop(story)


def test_the_page_shows_what_signed_messages_told() -> None:
    async def story() -> None:
        stall = Stall()
        await stall.browser.post("/buy", data={"product": "tea"})

        assert (await stall.tell()).status_code == 200
        page = (await stall.browser.get("/orders")).text

        assert "14.40 USD" in page
        assert "shipped once" in page
        assert "surplus: 2.40 USD" in page
        assert 'value="surplus:1:2.40 USD"' in page
        assert "https://pay.example.com/pay/k1.t" in page

    in_loop(story)


def test_a_forged_message_is_refused_and_believed_in_nothing() -> None:
    async def story() -> None:
        stall = Stall()
        await stall.browser.post("/buy", data={"product": "tea"})

        answer = await stall.tell(secret="whsec_" + b64encode(b"x" * 32).decode())

        assert answer.status_code == 401
        assert stall.shop.refused == 1
        assert stall.shop.ledger.sales["1001"].told == []

    in_loop(story)


def test_a_closed_shop_asks_to_be_told_again() -> None:
    async def story() -> None:
        stall = Stall()
        await stall.browser.post("/buy", data={"product": "tea"})
        stall.shop.closed = True

        assert (await stall.tell()).status_code == 503
        assert stall.shop.ledger.sales["1001"].told == []

    in_loop(story)


def test_the_page_asks_again_only_for_what_has_changed() -> None:
    async def story() -> None:
        stall = Stall()
        await stall.browser.post("/buy", data={"product": "tea"})
        first = await stall.browser.get("/orders")
        tag = {"If-None-Match": first.headers["etag"]}

        assert (await stall.browser.get("/orders", headers=tag)).status_code == 304
        await stall.tell()
        assert (await stall.browser.get("/orders", headers=tag)).status_code == 200

    in_loop(story)


def test_the_merchants_buttons_use_the_api() -> None:
    async def story() -> None:
        stall = Stall()
        await stall.browser.post("/buy", data={"product": "tea"})
        for verb, form, path in (
            ("accept", {}, "accept"),
            ("cancel", {}, "cancel"),
            ("fulfil", {}, "fulfil"),
            ("refund", {"amount": "2.40"}, "refunds"),
            ("record", {"number": "1", "transaction": "0x1"}, "refunds/1/record"),
            ("withdraw", {"number": "1"}, "refunds/1/withdraw"),
            ("resolve", {"review": "surplus:1:2.40 USD"}, "resolve"),
        ):
            stall.server.asked.clear()
            answer = await stall.browser.post(f"/orders/1001/{verb}", data=form)

            assert answer.status_code == 303
            _, asked, body, _ = stall.server.asked[0]
            assert asked == f"/api/orders/k1/{path}"
            assert body["who"] == "the shop"
        assert (await stall.browser.post("/orders/1001/explode")).status_code == 404
        assert (await stall.browser.post("/orders/9/accept")).status_code == 404

    in_loop(story)


def test_the_link_of_a_refund_comes_from_the_api_and_is_shown() -> None:
    async def story() -> None:
        stall = Stall()
        await stall.browser.post("/buy", data={"product": "tea"})
        amount = {"amount": "2.00", "currency": "USD"}
        link = "https://one.example/pull-payments/p"
        stall.server.refunds = [
            {"number": 1, "amount": amount, "status": "waiting_for_buyer", "links": [link]}
        ]

        await stall.browser.post("/orders/1001/refund", data={"amount": "2.00"})

        assert f'href="{link}"' in (await stall.browser.get("/orders")).text

    in_loop(story)


def test_time_passes_at_the_press_of_a_button() -> None:
    async def story() -> None:
        stall = Stall()

        for minutes in ("20", "-5", "0", "1e9", "", "999999999"):
            await stall.browser.post("/pass", data={"minutes": minutes})

        assert stall.passed == [1200]

    in_loop(story)


def test_no_other_site_can_press_the_shops_buttons() -> None:
    async def story() -> None:
        stall = Stall()
        stranger = {"Origin": "https://evil.example"}

        for path in ("/buy", "/pass", "/orders/1001/refund"):
            answer = await stall.browser.post(path, data={"product": "tea", "minutes": "1"}, headers=stranger)
            assert answer.status_code == 403
        own = await stall.browser.post(
            "/pass", data={"minutes": "1"}, headers={"Origin": "http://shop.example"}
        )

        assert own.status_code == 303
        assert stall.passed == [60]
        assert stall.shop.ledger.sales == {}

    in_loop(story)


def test_every_file_that_the_page_asks_for_is_there() -> None:
    async def story() -> None:
        stall = Stall()
        page = (await stall.browser.get("/")).text

        for path in ("/shop.css", "/shop.js", "/now", "/orders.json"):
            assert (await stall.browser.get(path)).status_code == 200
        assert "/shop.css" in page
        assert "/shop.js" in page
        assert "BTCPay Server, by" in page

    in_loop(story)
