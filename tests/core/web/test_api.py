import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import jsonschema
import pytest

from bursar.web.openapi import document

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


def test_the_description_is_served(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.client.get("/openapi.json")
            assert json.loads(answer.text) == DESCRIBED
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


@pytest.mark.parametrize("number", [b"1e999999999", b"9" * 5_000, b"1e-999999999"])
def test_a_number_without_measure_is_refused_and_not_computed(house: Any, play: Play, number: bytes) -> None:
    async def story() -> None:
        async with house() as home:
            body = b'{"reference": "1", "currency": "USD", "pay": false, "amount": ' + number + b"}"
            answer = await home.api("POST", "/api/orders", content=body)
            assert answer.status_code == 400
            assert "digits" in answer.json()["error"]["message"]

    play(story())


def test_an_order_whose_payment_needs_the_buyer_s_choice_is_kept_and_says_so(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house("coinpay") as home:
            answer = await home.api("POST", "/api/orders", json=ORDER)
            assert answer.status_code == 201
            assert answer.json()["payment_problem"]["kind"] == "bad_input"
            assert "coin" in answer.json()["payment_problem"]["message"]
            page = await home.client.get(answer.json()["checkout_url"])
            assert "How do you want to pay?" in page.text

    play(story())


def test_an_account_that_is_not_there_is_told_before_anything_is_kept(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.api("POST", "/api/orders", json=ORDER | {"account": "mian"})
            assert answer.status_code == 404
            assert "main" in answer.json()["error"]["message"]
            assert (await home.api("GET", "/api/orders")).json()["orders"] == []

    play(story())


def test_the_same_request_for_a_cancelled_order_shows_it_and_starts_nothing(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = (await home.api("POST", "/api/orders", json=ORDER | {"pay": False})).json()
            await home.api("POST", f"/api/orders/{order['key']}/cancel", json={"who": "desk"})
            again = await home.api("POST", "/api/orders", json=ORDER)
            assert (again.status_code, again.json()["status"]) == (200, "cancelled")
            assert again.json()["payment_problem"]["kind"] == "refused"
            assert home.sandbox.payments() == ()

    play(story())


def test_late_money_is_reviewed_accepted_and_listed_over_http(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = (await home.api("POST", "/api/orders", json=ORDER)).json()
            path, invoice = f"/api/orders/{order['key']}", order["payments"][0]["payment_id"]
            home.now += 1000
            home.sandbox.tick()
            home.sandbox.pay(invoice)
            home.sandbox.confirm(invoice)
            await home.deliver()
            listed = await home.api("GET", "/api/orders?needs_review=true")
            assert [line["key"] for line in listed.json()["orders"]] == [order["key"]]
            (review,) = (await home.api("GET", path)).json()["reviews"]
            assert review["reason"] == "paid_late"
            assert (await home.api("POST", f"{path}/sync")).status_code == 200
            accepted = await home.api("POST", f"{path}/accept", json={"who": "desk"})
            assert (accepted.json()["status"], accepted.json()["reviews"]) == ("paid", [])
            assert (await home.api("GET", f"{path}/history")).json()["history"][-1]["after"] == "paid"

    play(story())


def test_a_payment_started_over_http_is_one_and_a_second_is_the_same(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = (await home.api("POST", "/api/orders", json=ORDER | {"pay": False})).json()
            path = f"/api/orders/{order['key']}/payments"
            for _ in range(2):
                answer = await home.api("POST", path, json={"account": "main"})
                assert (answer.status_code, len(answer.json()["payments"])) == (201, 1)
            assert (await home.api("POST", path, json={"account": "mian"})).status_code == 404
            assert (await home.api("POST", path, json={"method": 5})).status_code == 400

    play(story())


def test_a_payment_made_elsewhere_is_adopted(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            one = (await home.api("POST", "/api/orders", json=ORDER)).json()
            two = (
                await home.api("POST", "/api/orders", json=ORDER | {"reference": "2", "pay": False})
            ).json()
            body = {"account": "main", "payment_id": one["payments"][0]["payment_id"]}
            taken = await home.api("POST", f"/api/orders/{two['key']}/adopt", json=body)
            assert taken.status_code == 409
            unknown = await home.api(
                "POST", f"/api/orders/{two['key']}/adopt", json=body | {"payment_id": "x"}
            )
            assert unknown.status_code in (404, 422)

    play(story())


async def paid(home: Any, **more: str) -> str:
    order = (await home.api("POST", "/api/orders", json=ORDER | more)).json()
    invoice = order["payments"][0]["payment_id"]
    home.sandbox.pay(invoice)
    home.sandbox.confirm(invoice)
    await home.deliver()
    return f"/api/orders/{order['key']}"


def test_a_manual_refund_is_withdrawn_or_recorded_as_sent(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house("coinpay") as home:
            path = await paid(home, method="USDC_POL")
            asked = {"who": "desk", "reason": "broken"}
            first = (await home.api("POST", f"{path}/refunds", json=asked)).json()
            assert first["manual"] is True
            gone = await home.api("POST", f"{path}/refunds/{first['number']}/withdraw", json={"who": "desk"})
            assert gone.json()["refunds"][0]["status"] == "cancelled"

            second = (await home.api("POST", f"{path}/refunds", json=asked)).json()
            body = {"who": "desk", "transaction": "0xabc"}
            done = await home.api("POST", f"{path}/refunds/{second['number']}/record", json=body)
            assert done.json()["status"] == "refunded"
            assert (await home.api("POST", f"{path}/refunds/9/record", json=body)).status_code == 404

    play(story())


def test_what_the_service_refuses_is_told_with_the_cure(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            path = await paid(home)
            refund = (
                await home.api("POST", f"{path}/refunds", json={"who": "desk", "amount": "4.00"})
            ).json()
            gone = await home.api("POST", f"{path}/refunds/{refund['number']}/withdraw", json={"who": "desk"})
            assert (gone.status_code, gone.json()["error"]["kind"]) == (422, "declined")
            assert "canarchivepullpayments" in gone.json()["error"]["message"]

    play(story())
