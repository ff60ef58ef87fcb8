from collections.abc import Callable, Coroutine
from typing import Any

import pytest

Play = Callable[[Coroutine[Any, Any, Any]], Any]


def test_a_genuine_delivery_is_kept_and_has_its_effect(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = await home.bursar.open_order(reference="1", amount="10.00", currency="USD")
            payment = await home.bursar.start_payment(order.key)
            home.sandbox.pay(payment.payment_id)
            await home.deliver()

            assert (await home.bursar.order(order.key)).status.value == "processing"

    play(story())


def test_a_forged_delivery_is_refused_for_good(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            headers = {"BTCPay-Sig": "sha256=" + "0" * 64}
            answer = await home.client.post("/webhooks/main", content=b"{}", headers=headers)
            assert answer.status_code == 401

    play(story())


@pytest.mark.parametrize(
    "path", ["/webhooks/other", "/webhooks/", "/webhooks/main/more", "/webhooks/" + "a" * 100]
)
def test_an_account_that_does_not_exist_is_not_found(house: Any, play: Play, path: str) -> None:
    async def story() -> None:
        async with house() as home:
            assert (await home.client.post(path, content=b"{}")).status_code == 404

    play(story())


def test_a_slash_at_the_end_is_no_redirect(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            assert (await home.client.post("/webhooks/main/", content=b"{}")).status_code == 401

    play(story())


def test_only_post_is_taken(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.client.get("/webhooks/main")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    play(story())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused(house: Any, play: Play, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 100

    async def story() -> None:
        async with house(server="max_body = 2000") as home:
            content = pieces() if chunked else b" " * 4000
            assert (await home.client.post("/webhooks/main", content=content)).status_code == 413

    play(story())


def test_a_signature_given_twice_is_no_signature(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = await home.bursar.open_order(reference="1", amount="10.00", currency="USD")
            await home.bursar.start_payment(order.key)
            (outgoing,) = home.sandbox.due()
            genuine = dict(outgoing.headers)
            headers = [*genuine.items(), ("BTCPay-Sig", genuine["BTCPay-Sig"])]
            answer = await home.client.post("/webhooks/main", content=outgoing.body, headers=headers)
            assert answer.status_code == 401

    play(story())
