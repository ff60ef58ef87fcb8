import asyncio
import re
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest

from bursar.money import Asset, Money, fiat
from bursar.web.amounts import choose_locale, show, trimmed
from bursar.web.watching import Watcher, version_of

Play = Callable[[Coroutine[Any, Any, Any]], Any]


def where(order: Any) -> str:
    return str(order.checkout_url).removeprefix("http://127.0.0.1:8000")


async def begun(home: Any, **more: Any) -> tuple[Any, Any]:
    order = await home.bursar.open_order(reference="1001", amount="10.00", currency="USD", **more)
    payment = await home.bursar.start_payment(order.key)
    return order, payment


def test_the_page_says_what_to_send_and_where(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment = await begun(home, description="Two mugs")
            page = await home.client.get(where(order), headers={"Accept-Language": "de-DE,de;q=0.9"})

            (way,) = payment.checkout.instructions
            assert page.status_code == 200
            assert "10,00\xa0$" in page.text
            assert way.address in page.text
            assert f'href="{way.uri}"' in page.text
            assert "0.0002 BTC" in page.text
            assert "<svg" in page.text
            assert "Two mugs" in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert page.headers["cache-control"] == "no-store"

    play(story())


def test_who_does_not_have_the_address_sees_nothing(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _ = await begun(home)
            for path in (f"/pay/{order.key}", f"/pay/{order.key}.wrong", "/pay/nothing.at-all", "/pay/x."):
                assert (await home.client.get(path)).status_code == 404
                assert (await home.client.post(f"{path}/start")).status_code == 404

    play(story())


def test_a_buyer_sees_no_account_no_policy_and_no_reviews(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _ = await begun(home)
            status = (await home.client.get(f"{where(order)}/status")).json()
            assert {"reviews", "acts", "shop"} & set(status) == set()
            assert {"account", "policy", "problem"} & set(status["payments"][0]) == set()

    play(story())


STATES: list[tuple[str, str]] = [
    ("nothing started", "Ready to pay"),
    ("waiting", "Waiting for your payment"),
    ("part", "A part has arrived"),
    ("seen", "Payment seen"),
    ("paid", "Paid"),
    ("expired", "This payment has expired"),
    ("late", "being looked at"),
    ("short", "Not enough has arrived"),
    ("cancelled", "This order was cancelled"),
    ("refund", "Claim your refund"),
]


@pytest.mark.parametrize(("state", "said"), STATES)
def test_every_state_is_told_in_words(house: Any, play: Play, state: str, said: str) -> None:
    async def story() -> None:
        async with house() as home:
            order = await home.bursar.open_order(reference="1001", amount="10.00", currency="USD")
            if state != "nothing started":
                payment = await home.bursar.start_payment(order.key)
                await _reach(home, order, payment.payment_id, state)
            page = await home.client.get(where(order))
            assert said in page.text
            assert ("/start" in page.text) is (state in ("nothing started", "expired", "short"))

    play(story())


async def _reach(home: Any, order: Any, invoice: str, state: str) -> None:
    if state in ("expired", "late"):
        home.now += 1000
        home.sandbox.tick()
        await home.deliver()
    if state in ("seen", "paid", "late", "refund"):
        home.sandbox.pay(invoice)
    if state in ("part", "short"):
        home.sandbox.pay(invoice, share=Decimal("0.4"))
    if state in ("paid", "late", "short", "refund"):
        home.sandbox.confirm(invoice)
    await home.deliver()
    if state == "short":
        home.now += 1000
        home.sandbox.tick()
        await home.deliver()
    if state == "cancelled":
        await home.bursar.cancel(order.key, who="desk")
    if state == "refund":
        await home.bursar.refund(order.key, who="desk")


def test_starting_again_after_it_expired_makes_one_new_payment(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment = await begun(home)
            await _reach(home, order, payment.payment_id, "expired")
            for _ in range(2):
                answer = await home.client.post(f"{where(order)}/start", data={"way": "main"})
                assert (answer.status_code, answer.headers["location"]) == (303, where(order))
            assert len(home.sandbox.payments()) == 2

    play(story())


def test_a_lost_webhook_is_noticed_when_the_buyer_looks(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment = await begun(home)
            home.sandbox.pay(payment.payment_id)
            home.now += 20
            await home.client.get(where(order))
            for _ in range(100):
                await asyncio.sleep(0)
                if "Payment seen" in (await home.client.get(where(order))).text:
                    return
                await asyncio.to_thread(lambda: None)
            pytest.fail("the page never noticed")

    play(story())


def test_the_payment_method_is_chosen_where_the_service_needs_one(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house("coinpay") as home:
            order = await home.bursar.open_order(reference="1", amount="10.00", currency="USD")
            page = await home.client.get(where(order))
            ways = re.findall(r'name="way" value="(main [A-Z_]+)"', page.text)
            assert "main USDC_POL" in ways

            await home.client.post(f"{where(order)}/start", data={"way": "main USDC_POL"})
            assert "USDC" in (await home.client.get(where(order))).text

    play(story())


def test_a_link_of_a_shop_cannot_carry_a_script(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            body = {
                "reference": "1",
                "amount": "1.00",
                "currency": "USD",
                "return_url": "javascript:alert(1)",
            }
            answer = await home.api("POST", "/api/orders", json=body)
            assert answer.status_code == 400

    play(story())


def test_open_pages_are_told_of_a_change_and_only_of_a_change(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment = await begun(home)
            watcher = Watcher(home.bursar)
            before = version_of(await home.bursar.order(order.key))
            changes = watcher.changes(order.key, before)
            waiting = asyncio.create_task(anext(changes))
            await asyncio.sleep(0)
            await watcher.look()
            assert not waiting.done()

            home.sandbox.pay(payment.payment_id)
            await home.deliver()
            await watcher.look()
            assert await waiting == version_of(await home.bursar.order(order.key)) != before
            await changes.aclose()
            assert not watcher.listeners

    play(story())


def test_files_are_kept_for_ever_under_an_address_that_changes_with_them(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _ = await begun(home)
            page = (await home.client.get(where(order))).text
            for path in re.findall(r'"(/assets/[^"]+)"', page):
                answer = await home.client.get(path)
                assert answer.status_code == 200
                assert "immutable" in answer.headers["cache-control"]
            assert (await home.client.get("/assets/0/nothing.css")).status_code == 404

    play(story())


def test_crypto_amounts_are_shown_exactly_and_currencies_as_the_language_writes_them() -> None:
    bitcoin = Money.of("0.00020000", Asset("BTC", 8))

    assert (show(bitcoin, "de"), trimmed(bitcoin)) == ("0.0002 BTC", "0.0002")
    assert show(Money.of("1234.50", fiat("EUR")), "de") == "1.234,50\xa0€"
    assert show(Money.of("1234", fiat("JPY")), "en") == "¥1,234"
    assert choose_locale("fr-CH, en;q=0.5") == "fr"
    assert choose_locale("\x00;;,,") == "en"


def test_a_buyer_who_paid_a_part_is_never_told_to_send_all_of_it_again(house: Any, play: Play) -> None:
    async def story(provider: str, settings: dict[str, str], full: str, rest: str) -> None:
        async with house(provider, settings=settings) as home:
            order, payment = await begun(home)
            assert full in (await home.client.get(where(order))).text
            await _reach(home, order, payment.payment_id, "part")
            await home.bursar.sync(order.key)
            page = (await home.client.get(where(order))).text
            assert "A part has arrived" in page
            assert full not in page
            assert rest in page

    play(story("btcpay", {}, "0.0002 BTC", "Pay the rest: $6.00"))


def test_the_rest_is_named_where_the_service_has_no_page_of_its_own(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house("coinpay", settings={"blockchain": "USDC_POL"}) as home:
            order, payment = await begun(home)
            home.sandbox.choose_worker(payment.payment_id, "A")
            await _reach(home, order, payment.payment_id, "part")
            home.sandbox.confirm(payment.payment_id)
            await home.bursar.sync(order.key)
            page = (await home.client.get(where(order))).text
            assert "A part has arrived" in page
            (asked,) = payment.checkout.instructions
            assert trimmed(asked.amount) not in page
            assert "6.006602 USDC" in page

    play(story())


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_link_that_is_cut_off_is_told_in_words_to_a_browser(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _ = await begun(home)
            for path in (where(order)[:-3], "/pay/x", "/pay/x/y/z"):
                answer = await home.client.get(path, headers=BROWSER)
                assert answer.status_code == 404
                assert "There is no such page" in answer.text
                assert "default-src 'none'" in answer.headers["content-security-policy"]
                assert order.key not in answer.text
            form = {"way": "nobody"}
            refused = await home.client.post(f"{where(order)}/start", data=form, headers=BROWSER)
            assert (refused.status_code, "could not be understood" in refused.text) == (400, True)
            large = await home.client.post(f"{where(order)}/start", content=b"x" * 5000, headers=BROWSER)
            assert large.status_code == 400

    play(story())


def test_a_refused_start_is_told_on_the_page_and_loading_it_again_shows_the_page(
    house: Any, play: Play
) -> None:
    async def story() -> None:
        async with house() as home:
            order = await home.bursar.open_order(reference="1001", amount="10.00", currency="EUR")
            await home.bursar.cancel(order.key, who="desk")
            answer = await home.client.post(f"{where(order)}/start", data={"way": "main"})
            assert (answer.status_code, 'role="alert"' in answer.text) == (409, True)
            again = await home.client.get(f"{where(order)}/start")
            assert (again.status_code, again.headers["location"]) == (303, where(order))

    play(story())


def test_without_javascript_the_page_loads_itself_and_not_the_form(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _ = await begun(home)
            page = (await home.client.get(where(order))).text
            assert f'content="20; url={where(order)}"' in page
            assert "<time>15:00</time>" in page

    play(story())


def test_who_paid_too_much_is_told_how_much(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment = await begun(home)
            home.sandbox.pay(payment.payment_id, share=Decimal("1.5"))
            home.sandbox.confirm(payment.payment_id)
            await home.deliver()
            page = (await home.client.get(where(order))).text
            assert "You sent $5.00 more than was asked" in page

    play(story())


def test_two_accounts_at_one_service_can_be_told_apart(house: Any, play: Play) -> None:
    async def story() -> None:
        more = '\n[accounts.second]\nprovider = "btcpay"\nurl = "http://127.0.0.1:9"\nstore_id = "s"\n'
        more += 'api_key = "literal:k"\nwebhook_secret = "literal:w"\n'
        async with house(more=more) as home:
            order = await home.bursar.open_order(reference="1001", amount="10.00", currency="USD")
            page = (await home.client.get(where(order))).text
            labels = re.findall(r"<span>(BTCPay[^<]*)</span>", page)
            assert labels == ["BTCPay Server (main)", "BTCPay Server (second)"]

    play(story())


def test_the_modal_s_origin_alone_may_add_a_script_and_a_frame(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house(settings={"show": "modal"}) as home:
            order, payment = await begun(home)
            page = await home.client.get(where(order))
            assert f'data-invoice="{payment.payment_id}"' in page.text
            policy = page.headers["content-security-policy"]
            assert "frame-src http://127.0.0.1:9" in policy
            (nonce,) = set(re.findall(r'nonce="([^"]+)"', page.text))
            assert f"script-src 'self' 'nonce-{nonce}' http://127.0.0.1:9" in policy

    play(story())


def test_without_a_modal_no_frame_and_no_script_but_ours_is_allowed(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _ = await begun(home)
            policy = (await home.client.get(where(order))).headers["content-security-policy"]
            assert "frame-src 'none'" in policy

    play(story())
