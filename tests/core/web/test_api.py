import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from bursar import errors
from bursar.web.openapi import document
from bursar.web.problems import PROBLEMS, problem_of

KEY = "key-of-the-shop"
ORDER = {"reference": "1001", "amount": "10.00", "currency": "USD"}
Play = Callable[[Coroutine[Any, Any, Any]], Any]
DESCRIBED = document("http://127.0.0.1:8000")


def fits(answer: httpx.Response, schema: str) -> None:
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DESCRIBED["components"]}
    jsonschema.validate(answer.json(), whole, cls=jsonschema.Draft202012Validator)


def test_an_order_is_opened_with_its_payment_and_the_page_to_send_the_buyer_to(
    house: Any, play: Play
) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.api("POST", "/api/orders", json=ORDER)

            assert answer.status_code == 201
            fits(answer, "Order")
            assert answer.json()["checkout_url"].startswith("http://127.0.0.1:8000/pay/")
            assert answer.json()["payments"][0]["status"] == "waiting"

    play(story())


def test_the_same_order_again_is_the_same_order_and_no_second_payment(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            first = await home.api("POST", "/api/orders", json=ORDER)
            second = await home.api("POST", "/api/orders", json=ORDER)

            assert (first.status_code, second.status_code) == (201, 200)
            assert first.json()["key"] == second.json()["key"]
            assert len(home.sandbox.payments()) == 1

    play(story())


def test_another_debt_under_the_same_name_is_refused(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            await home.api("POST", "/api/orders", json=ORDER)
            answer = await home.api("POST", "/api/orders", json=ORDER | {"amount": "11.00"})

            assert answer.status_code == 409
            fits(answer, "Error")
            assert "10.00 USD" in answer.json()["error"]["message"]

    play(story())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"reference": "1", "currency": "USD"}', "amount"),
        ('{"reference": "1", "amount": "ten", "currency": "USD"}', "ten"),
        ('{"reference": "1", "amount": true, "currency": "USD"}', "amount"),
        ('{"reference": "1", "amount": "10.00", "currency": "XYZ"}', "XYZ"),
        ('{"reference": "1", "amount": "10.001", "currency": "USD"}', "decimals"),
        ('{"reference": "1", "amount": "10", "currency": "USD", "colour": "red"}', "colour"),
        ('{"reference": "1", "amount": "10", "amount": "1", "currency": "USD"}', "twice"),
        ('{"reference": "1", "amount": NaN, "currency": "USD"}', "NaN"),
        ("[1]", "object"),
        ("{", "JSON"),
        ("\u00ff", "JSON"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(house: Any, play: Play, body: str, named: str) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.api("POST", "/api/orders", content=body.encode())

            assert answer.status_code == 400
            fits(answer, "Error")
            assert named in answer.json()["error"]["message"]
            assert home.sandbox.payments() == ()

    play(story())


def test_a_number_in_json_is_read_exactly(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            body = b'{"reference": "1", "amount": 0.00000003, "currency": "BTC", "pay": false}'
            answer = await home.api("POST", "/api/orders", content=body)

            assert answer.json()["amount"] == {"amount": "0.00000003", "currency": "BTC"}

    play(story())


def test_without_the_key_nothing_is_shown_and_nothing_done(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
                answer = await home.client.post("/api/orders", json=ORDER, headers=headers)
                assert answer.status_code == 401
                fits(answer, "Error")
            assert KEY not in answer.text

    play(story())


def test_a_server_without_a_key_has_no_api(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house(server="") as home:
            object.__setattr__(
                home.bursar.config.server, "api_key", type(home.bursar.config.server.api_key)("")
            )
            answer = await home.api("GET", "/api/orders")

            assert answer.status_code == 403
            assert "api_key" in answer.json()["error"]["message"]

    play(story())


def test_a_whole_life_over_http_pays_fulfils_and_refunds(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = (await home.api("POST", "/api/orders", json=ORDER)).json()
            path, invoice = f"/api/orders/{order['key']}", order["payments"][0]["payment_id"]
            home.sandbox.pay(invoice)
            home.sandbox.confirm(invoice)
            await home.deliver()
            assert (await home.api("GET", path)).json()["status"] == "paid"

            done = await home.api("POST", f"{path}/fulfil", json={"who": "warehouse"})
            assert done.json()["status"] == "fulfilled"
            refund = await home.api("POST", f"{path}/refunds", json={"who": "desk", "amount": "4.00"})
            assert refund.status_code == 201
            fits(refund, "Refund")
            assert refund.json()["status"] == "waiting_for_buyer"
            too_much = await home.api("POST", f"{path}/refunds", json={"who": "desk", "amount": "6.01"})
            assert too_much.status_code == 409

            shown = await home.api("GET", path)
            fits(shown, "Order")
            history = await home.api("GET", f"{path}/history")
            for change in history.json()["history"]:
                schema = {"$ref": "#/components/schemas/Change", "components": DESCRIBED["components"]}
                jsonschema.validate(change, schema, cls=jsonschema.Draft202012Validator)

    play(story())


def test_a_refund_asked_for_twice_with_one_key_is_one_refund(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = (await home.api("POST", "/api/orders", json=ORDER)).json()
            invoice = order["payments"][0]["payment_id"]
            home.sandbox.pay(invoice)
            home.sandbox.confirm(invoice)
            await home.deliver()
            path = f"/api/orders/{order['key']}/refunds"
            headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "return-7"}
            for _ in range(2):
                await home.client.post(path, json={"who": "desk", "amount": "4.00"}, headers=headers)

            shown = (await home.api("GET", f"/api/orders/{order['key']}")).json()
            assert len(shown["refunds"]) == 1
            assert len(home.sandbox.server.refunds.pulls) == 1

    play(story())


def test_cancelling_accepting_and_resolving_are_recorded_with_who_and_why(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = (await home.api("POST", "/api/orders", json=ORDER)).json()
            path = f"/api/orders/{order['key']}"
            cancelled = await home.api("POST", f"{path}/cancel", json={"who": "desk", "why": "sold out"})
            assert cancelled.json()["status"] == "cancelled"
            assert cancelled.json()["acts"][0]["why"] == "sold out"
            refused = await home.api("POST", f"{path}/resolve", json={"review": "surplus:1:", "who": "desk"})
            assert refused.status_code == 409
            nobody = await home.api("POST", f"{path}/fulfil", json={"who": " "})
            assert nobody.status_code == 400

    play(story())


def test_orders_are_found_and_listed(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            await home.api("POST", "/api/orders", json=ORDER)
            found = await home.api("GET", "/api/orders?reference=1001")
            assert found.json()["orders"][0]["reference"] == "1001"
            assert (await home.api("GET", "/api/orders?reference=nothing")).status_code == 404
            listed = await home.api("GET", "/api/orders?limit=10&needs_review=false")
            assert [line["reference"] for line in listed.json()["orders"]] == ["1001"]
            assert (await home.api("GET", "/api/orders?limit=none")).status_code == 400
            assert (await home.api("GET", "/api/orders/nothing")).status_code == 404

    play(story())


def test_every_error_of_the_tree_has_its_own_answer() -> None:
    told = {kind for kind, _ in PROBLEMS}
    for error in (getattr(errors, name) for name in errors.__all__):
        nearest = next(kind for kind in error.__mro__ if kind in told)
        assert problem_of(error("x")) == dict(PROBLEMS)[nearest]


def test_the_description_names_every_route_of_the_api_and_no_other(house: Any, play: Play) -> None:
    async def story() -> set[tuple[str, str]]:
        async with house() as home:
            routes = home.app.pages.routes
            return {
                (re.sub(r":int", "", route.path), method.lower())
                for route in routes
                for method in route.methods - {"HEAD"}
                if route.path.startswith("/api")
            }

    described = {(path, method) for path, methods in DESCRIBED["paths"].items() for method in methods}
    assert play(story()) == described


def test_the_description_is_served(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.client.get("/openapi.json")
            assert json.loads(answer.text) == DESCRIBED
            assert (await home.client.get("/health")).json()["healthy"] is True
            assert (await home.client.get("/")).status_code == 200
            assert (await home.client.get("/nothing")).status_code == 404
            assert (await home.client.delete("/api/orders")).status_code == 405

    play(story())


def test_a_large_body_is_refused_before_it_is_read(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house(server="max_body = 1024") as home:
            answer = await home.api("POST", "/api/orders", content=b" " * 1025)
            assert answer.status_code == 413

    play(story())


def test_the_page_about_http_lists_every_kind_of_error_as_it_is_answered() -> None:
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")

    for _, problem in PROBLEMS:
        assert f"| {problem.status} | `{problem.kind}` | {'yes' if problem.retry else 'no'} |" in page
