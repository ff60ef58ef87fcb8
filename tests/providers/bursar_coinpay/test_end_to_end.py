"""The provider against the sandbox: neither shares code with the other, and core's own runner stands between them."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bursar.errors import BadSignature
from bursar.facts import Flag
from bursar.lifecycle import OrderStatus, Reason
from bursar.money import Money, fiat
from bursar.secrets import Secret
from bursar_coinpay.provider import CoinPay
from bursar_coinpay.settings import CoinPaySettings

USD = fiat("USD")

Make = Callable[..., Any]
COINS = (
    *("BTC", "BCH", "ETH", "POL", "SOL", "DOGE", "XRP", "ADA", "BNB"),
    *("USDT", "USDT_ETH", "USDT_POL", "USDT_SOL", "USDC", "USDC_ETH", "USDC_POL", "USDC_SOL", "USDC_BASE"),
)


@pytest.mark.parametrize("worker", ["A", "B", "C", "D"])
@pytest.mark.parametrize("polling", [True, False])
def test_an_order_that_was_paid_is_paid_whichever_worker_tells_of_it(
    shop: Make, worker: str, polling: bool
) -> None:
    at = shop(worker=worker)
    payment_id = at.open()
    assert at.status() is OrderStatus.AWAITING_PAYMENT
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)

    if polling:
        at.poll()
        assert at.status() is OrderStatus.PAID
    at.settle_all()

    assert at.status() is OrderStatus.PAID
    assert at.state.received == Money.of("49.99", USD)
    assert at.state.reviews == ()


@pytest.mark.parametrize("worker", ["A", "B", "C", "D"])
def test_an_order_that_was_paid_is_paid_even_if_no_notice_ever_arrives(shop: Make, worker: str) -> None:
    at = shop(worker=worker)
    payment_id = at.open()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.deliver(lose=True)

    at.poll()

    assert at.status() is OrderStatus.PAID


@pytest.mark.parametrize("worker", ["B", "C", "D"])
def test_an_order_that_nobody_pays_expires_by_polling_alone(shop: Make, worker: str) -> None:
    at = shop(worker=worker)
    at.open()
    at.after(960)
    at.poll()

    assert at.status() is OrderStatus.EXPIRED


def test_without_any_worker_the_look_at_the_chain_ends_the_window(shop: Make) -> None:
    at = shop(worker="A")
    at.open()
    at.after(901)

    at.poll()

    assert at.status() is OrderStatus.EXPIRED
    assert at.deliver() == []


def test_without_any_worker_and_any_look_our_own_timer_ends_the_window(shop: Make) -> None:
    at = shop(worker="A", settings={"check_balance": False})
    at.open()
    at.after(900 + at.provider.capabilities.habits.expiry_grace)

    at.poll()

    assert Flag.LAPSED in at.payment.facts.flags
    assert at.status() is OrderStatus.EXPIRED


def test_the_look_at_the_chain_makes_the_full_notice(shop: Make) -> None:
    at = shop(worker="D")
    payment_id = at.open(method="BCH")
    at.sandbox.pay(payment_id)

    at.poll()

    outgoing = at.sandbox.due()[0]
    assert json.loads(outgoing.body)["data"]["metadata"]["bursar_order"] == "order-1"


def test_a_part_is_seen_and_then_completed(shop: Make) -> None:
    at = shop(worker="B")
    payment_id = at.open()
    at.sandbox.pay(payment_id, share=Decimal("0.4"))
    at.sandbox.confirm(payment_id)
    at.poll()
    assert at.status() is OrderStatus.PARTIALLY_PAID
    assert at.state.received == Money.of("19.99", USD)

    at.sandbox.pay(payment_id, share=Decimal("0.6"))
    at.sandbox.confirm(payment_id)
    at.settle_all()

    assert at.status() is OrderStatus.PAID
    assert at.state.received == Money.of("49.99", USD)


def test_a_part_that_stays_a_part_is_a_persons_when_the_window_closes(shop: Make) -> None:
    at = shop(worker="A")
    payment_id = at.open()
    at.sandbox.pay(payment_id, share=Decimal("0.4"))
    at.sandbox.confirm(payment_id)
    at.after(901)
    at.poll()

    assert at.status() is OrderStatus.PARTIALLY_PAID
    assert at.reviews == {Reason.UNDERPAID}
    assert "underpaid" in at.state.flags


def test_a_part_that_is_double_spent_is_not_there_any_more(shop: Make) -> None:
    at = shop(worker="A")
    payment_id = at.open(method="BCH")
    at.sandbox.pay(payment_id, share=Decimal("0.4"))
    at.poll()
    assert at.status() is OrderStatus.PARTIALLY_PAID
    at.after(30)
    at.sandbox.double_spend(payment_id)

    at.poll()

    assert at.status() is OrderStatus.AWAITING_PAYMENT
    assert at.state.received == Money.zero(USD)


@pytest.mark.parametrize("worker", ["A", "B", "C"])
def test_too_much_is_seen_with_its_worth_however_little_is_told(shop: Make, worker: str) -> None:
    at = shop(worker=worker)
    payment_id = at.open()
    at.sandbox.pay(payment_id, share=Decimal("1.2"))
    at.sandbox.confirm(payment_id)
    at.settle_all()

    assert at.status() is OrderStatus.PAID
    assert "overpaid" in at.state.flags
    # A fifth of 49.99 is 9.998: less than a cent is cut off.
    assert at.state.surplus == Money.of("9.99", USD)
    assert at.reviews == {Reason.SURPLUS}


def test_too_much_is_seen_by_the_payout_alone(shop: Make) -> None:
    at = shop(worker="D")
    payment_id = at.open()
    at.sandbox.pay(payment_id, share=Decimal("1.2"))
    at.sandbox.confirm(payment_id)

    assert at.settle_all() == ["payment.forwarded"]
    assert at.state.surplus == Money.of("9.99", USD)


def test_paying_in_coins_and_by_card_is_paying_twice_and_a_persons_to_mend(shop: Make) -> None:
    at = shop(worker="B", settings={"card": True})
    payment_id = at.open()
    at.sandbox.pay_card(payment_id)
    at.deliver()
    assert at.status() is OrderStatus.PAID
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.after(900 + 1800 + 60)
    at.settle_all()

    assert at.state.surplus == Money.of("49.99", USD)
    assert at.reviews == {Reason.SURPLUS}


@pytest.mark.parametrize("worker", ["B", "C", "D"])
def test_money_that_comes_late_is_never_lost_and_a_person_decides(shop: Make, worker: str) -> None:
    at = shop(worker=worker)
    payment_id = at.open()
    at.after(961)
    at.deliver()
    at.poll()
    assert at.status() is OrderStatus.EXPIRED
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.after(1800)
    at.settle_all()

    assert "late" in at.state.flags
    assert at.reviews == {Reason.PAID_LATE}
    assert at.state.received == Money.of("49.99", USD)


def test_events_that_share_an_id_both_count(shop: Make) -> None:
    at = shop(worker="A")
    payment_id = at.open()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)

    kinds = at.deliver(twice=True)

    assert kinds == ["payment.confirmed", "payment.forwarded"]
    assert len(set(at.event_ids)) == 1
    assert at.status() is OrderStatus.PAID


def test_a_payout_that_fails_does_not_make_the_buyer_pay_again(shop: Make) -> None:
    at = shop(worker="A")
    payment_id = at.open()
    at.sandbox.fail_payout(payment_id, times=9)
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    assert at.sandbox.row(payment_id).status == "forwarding_failed"

    at.poll()

    assert at.status() is OrderStatus.PAID


def test_a_card_is_declined_and_then_pays(shop: Make) -> None:
    at = shop(worker="D", settings={"card": True})
    payment_id = at.open(return_url="https://shop.test/done")
    card = next(way for way in at.payment.checkout.instructions if way.method == "CARD")
    assert card.uri.startswith("http://coinpay.test/card/")
    at.sandbox.decline_card(payment_id)
    at.deliver()
    assert at.status() is OrderStatus.AWAITING_PAYMENT
    assert Flag.DECLINED in at.payment.facts.flags

    at.client.post(card.uri, data={"pay": "1"})
    at.deliver()

    assert at.status() is OrderStatus.PAID
    assert at.state.received == Money.of("49.99", USD)


def test_notices_that_wait_in_the_queue_for_a_day_still_count(shop: Make) -> None:
    at = shop(worker="A")
    payment_id = at.open()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    for _ in range(7):
        at.deliver(lose=True)
        wakes_at = at.sandbox.outbox.wakes_at()
        assert wakes_at is not None
        at.clock.now = wakes_at

    assert at.now - at.dossier.order.created_at > 1340 * 60
    assert at.deliver() == ["payment.confirmed", "payment.forwarded"]
    assert at.status() is OrderStatus.PAID


def test_a_secret_changes_without_losing_a_notice(shop: Make) -> None:
    at = shop(worker="A")
    payment_id = at.open()
    old = at.provider.settings
    fresh = at.sandbox.rotate_secret()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    with pytest.raises(BadSignature):
        at.deliver()

    account = {name: getattr(old, name) for name in ("url", "api_key", "business_id", "allow_http")}
    at.provider = CoinPay(
        CoinPaySettings(**account, webhook_secret=Secret(fresh), old_webhook_secrets=(old.webhook_secret,))
    )
    at.deliver()

    assert at.status() is OrderStatus.PAID


@pytest.mark.parametrize("code", COINS)
def test_every_coin_is_opened_shown_and_paid(shop: Make, code: str) -> None:
    at = shop(worker="B")
    payment_id = at.open(method=code)
    (way,) = at.payment.checkout.instructions
    row = at.sandbox.row(payment_id)
    assert (way.method, way.address) == (code, row.address)
    assert way.amount.major == row.asked
    assert way.address.split(":")[-1] in way.uri
    # The buyer sends what the page says, not what the service calculated.
    at.sandbox.machine.send(row, way.amount.major)
    at.sandbox.confirm(payment_id)
    at.settle_all()

    assert at.status() is OrderStatus.PAID
    assert at.state.surplus == Money.zero(USD)
