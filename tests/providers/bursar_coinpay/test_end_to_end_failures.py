"""What goes wrong between the provider and the sandbox, and what becomes of it."""

from collections.abc import Callable
from typing import Any

import pytest

from bursar.errors import Declined, OutcomeUnknown, ProviderError, Unavailable
from bursar.flows import run
from bursar.lifecycle import OrderStatus
from bursar.money import Money, fiat
from bursar.rates import convert
from bursar_coinpay.rates import CoinPayRates, CoinPayRateSettings
from bursar_coinpay.sandbox.creation import FAULTS

USD = fiat("USD")

Make = Callable[..., Any]


FAILURES: list[tuple[str, type[ProviderError]]] = [
    ("price feed", Unavailable),
    ("exchange feed", OutcomeUnknown),
    ("database", OutcomeUnknown),
    ("no address", Declined),
    ("no onboarding", Declined),
    ("inactive business", Declined),
    ("inactive plan", Declined),
    ("no scope", Declined),
    ("no business", Declined),
    ("rate limit", Unavailable),
    ("quota", Declined),
    ("crash", OutcomeUnknown),
    ("lost answer", OutcomeUnknown),
]


def test_a_request_whose_answer_was_lost_is_found_again_by_its_key(shop: Make) -> None:
    at = shop()
    at.sandbox.fail_next("lost answer")
    with pytest.raises(OutcomeUnknown):
        run(at.provider.open_payment(at.request(), now=at.now), at.client)

    found = run(at.provider.find_payment(at.request(), now=at.now), at.client)

    assert found is not None
    assert at.sandbox.payments() == [found.payment_id]


@pytest.mark.parametrize(("fault", "meaning"), FAILURES)
def test_after_every_failure_the_key_leads_to_one_payment_at_most(
    shop: Make, fault: str, meaning: type[ProviderError]
) -> None:
    at = shop(settings={"card": True})
    at.sandbox.fail_next(fault)
    with pytest.raises(meaning):
        run(at.provider.open_payment(at.request(), now=at.now), at.client)

    if fault == "no address":
        with pytest.raises(Declined, match="start another payment"):
            run(at.provider.find_payment(at.request(), now=at.now), at.client)
    else:
        assert run(at.provider.find_payment(at.request(), now=at.now), at.client)

    assert len(at.sandbox.payments()) == 1


def test_a_race_ends_in_one_payment(shop: Make) -> None:
    at = shop()
    at.sandbox.fail_next("race")

    at.open()

    assert len(at.sandbox.payments()) == 1


def test_every_fault_of_the_sandbox_is_tried_here() -> None:
    assert {fault for fault, _ in FAILURES} | {"race"} == set(FAULTS)


def test_a_payment_that_exists_can_be_adopted(shop: Make) -> None:
    at = shop()
    payment_id = at.open(method="ETH")

    read = run(at.provider.read_opened(payment_id, now=at.now), at.client)

    assert (read.asks, read.expires_at, read.billed) == (
        at.payment.terms.asks,
        at.payment.terms.expires_at,
        at.payment.terms.billed,
    )


def test_the_doctor_and_the_methods_agree_with_the_service(shop: Make) -> None:
    at = shop(wallets=("BTC", "USDC_POL"))

    assert run(at.provider.list_methods(now=at.now), at.client) == ["USDC_POL", "BTC"]
    assert {finding.level.value for finding in run(at.provider.check(now=at.now), at.client)} == {"ok"}
    with pytest.raises(Declined, match="add a wallet"):
        at.open(method="SOL")


def test_a_price_in_euros_is_converted_by_the_services_own_rate(shop: Make) -> None:
    at = shop()
    source = CoinPayRates(CoinPayRateSettings(url=at.provider.settings.url, allow_http=True))

    rate = run(source.rate("EUR", "USD", now=at.now), at.client)

    assert convert(Money.of("46.00", fiat("EUR")), rate, USD) == Money.of("50.00", USD)
    with pytest.raises(Declined, match="no rates in SEK"):
        run(source.rate("SEK", "USD", now=at.now), at.client)
    at.sandbox.exchange_feed_down = True
    with pytest.raises(Unavailable):
        run(source.rate("EUR", "USD", now=at.now), at.client)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_worker_a_seed_draws_a_paid_order_ends_paid_and_an_unpaid_one_expired(
    shop: Make, seed: int
) -> None:
    at = shop(seed=seed)
    payment_id = at.open()
    if seed % 2:
        at.sandbox.pay(payment_id)
        at.sandbox.confirm(payment_id)
    for gap in (20, 30, *[60] * 17):
        at.after(gap)
        at.deliver(lose=seed % 3 == 0)
        at.poll()

    assert at.status() is (OrderStatus.PAID if seed % 2 else OrderStatus.EXPIRED)
    assert at.state.reviews == ()
