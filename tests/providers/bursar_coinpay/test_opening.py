import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import BadInput
from bursar.facts import Said, Word
from bursar.money import Money, fiat
from bursar.orders import Opened
from bursar.providers import OpenRequest
from bursar.secrets import Secret
from bursar_coinpay.provider import CoinPay
from bursar_coinpay.settings import CoinPaySettings

Make = Callable[..., CoinPay]


Ask = Callable[..., OpenRequest]


Converse = Callable[..., Any]


BUSINESS = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"


PAYMENT: dict[str, Any] = {
    "id": "2f6a1f0e-8c1b-4a57-b6d9-0c6f7b1e5a42",
    "business_id": BUSINESS,
    "amount": 49.99,
    "amount_usd": 49.99,
    "currency": "usdc_pol",
    "blockchain": "USDC_POL",
    "status": "pending",
    "crypto_amount": 49.9950005,
    "amount_crypto": 49.9950005,
    "crypto_currency": "USDC",
    "payment_address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "created_at": "2026-07-28T12:00:00.123456+00:00",
    "expires_at": "2026-07-28T12:15:00.123+00:00",
}


NOON = 1_785_240_000


def made(code: int = 201, /, **changes: Any) -> httpx.Response:
    return httpx.Response(code, json={"success": True, "payment": PAYMENT | changes})


def refused(status: int, error: str, **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"success": False, "error": error, **more})


def open_with(
    provider: CoinPay, request: OpenRequest, converse: Converse, *answers: httpx.Response
) -> Opened:
    opened: Opened = converse(provider.open_payment(request, now=NOON), *answers)
    return opened


def test_a_payment_is_asked_for_with_the_attempt_as_its_key_and_nothing_but_the_order_id(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    seen: list[httpx.Request] = []

    converse(make_provider().open_payment(ask(), now=NOON), made(), seen=seen)

    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://coinpayportal.com/api/payments/create")
    assert request.headers["idempotency-key"] == "attempt-1"
    assert request.headers["authorization"] == "Bearer cp_live_0123456789abcdef0123456789abcdef"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {
        "business_id": BUSINESS,
        "amount": 49.99,
        "blockchain": "USDC_POL",
        "metadata": {"bursar_order": "order-1"},
    }


@settings(deadline=None)
@given(cents=st.integers(1, 10**8))
def test_the_amount_is_always_a_json_number_of_exactly_two_decimals(cents: int) -> None:
    account = CoinPaySettings(Secret("cp_live_" + "0" * 32), BUSINESS, Secret("s"), blockchain="BTC")
    amount = Money(cents, fiat("USD"))

    request = next(CoinPay(account).open_payment(OpenRequest("a", "o", amount), now=NOON))

    text = request.content.decode()
    assert f'"amount":{cents // 100}.{cents % 100:02d},' in text
    assert json.loads(text, parse_float=Decimal)["amount"] == amount.major


def test_the_buyer_is_told_the_amount_rounded_up_to_what_the_chain_can_carry(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    opened = open_with(make_provider(), ask(), converse, made())

    (ask_for,) = opened.asks
    assert str(ask_for) == "49.995001 USDC"
    (way,) = opened.checkout.instructions
    assert (way.method, way.amount, way.address) == ("USDC_POL", ask_for, PAYMENT["payment_address"])
    assert way.uri.endswith(
        "@137/transfer?address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed&uint256=49995001"
    )
    assert str(opened.billed) == "49.99 USD"
    assert opened.expires_at == NOON + 900
    assert opened.payment_id == PAYMENT["id"]
    assert opened.seen is not None
    assert opened.seen.facts.verdict == Said[Word].once(Word.NEW, 0)


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ("49.9950005", 49_995_001),
        ('"49.9950005"', 49_995_001),
        ('"49.9950000"', 49_995_000),
        ("1.2e-7", 1),
        ('"1.2e-7"', 1),
        ("50", 50_000_000),
        ("4.99950005e+1", 49_995_001),
    ],
)
def test_an_amount_is_read_exactly_in_every_form_that_the_service_writes(
    make_provider: Make, ask: Ask, converse: Converse, written: str, units: int
) -> None:
    body = json.dumps({"success": True, "payment": PAYMENT | {"crypto_amount": "HERE"}})
    answer = httpx.Response(201, content=body.replace('"HERE"', written).encode())

    opened = open_with(make_provider(), ask(), converse, answer)

    assert opened.asks[0].minor == units


def test_a_choice_of_coin_by_the_buyer_comes_before_the_setting(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    request = next(make_provider().open_payment(ask(method="btc"), now=NOON))

    assert json.loads(request.content)["blockchain"] == "BTC"


def test_a_single_offered_coin_needs_no_choice(make_provider: Make, ask: Ask) -> None:
    provider = make_provider(blockchain="", blockchains=("SOL",))

    assert json.loads(next(provider.open_payment(ask(), now=NOON)).content)["blockchain"] == "SOL"


def test_without_a_coin_the_caller_is_told_which_there_are(make_provider: Make, ask: Ask) -> None:
    with pytest.raises(BadInput, match="choose one of BTC, ETH as the payment's method"):
        next(make_provider(blockchain="", blockchains=("BTC", "ETH")).open_payment(ask(), now=NOON))


def test_a_coin_that_is_not_offered_is_refused(make_provider: Make, ask: Ask) -> None:
    provider = make_provider(blockchains=("BTC", "USDC_POL"))

    with pytest.raises(BadInput, match="SOL is not offered; choose one of BTC, USDC_POL"):
        next(provider.open_payment(ask(method="SOL"), now=NOON))


def test_other_currencies_than_dollars_are_refused_before_anything_is_sent(make_provider: Make) -> None:
    euros = Money.of("49.99", fiat("EUR"))

    with pytest.raises(BadInput, match="bills in US dollars, not in EUR"):
        next(make_provider().open_payment(OpenRequest("a", "o", euros), now=NOON))


def test_nothing_is_not_an_amount(make_provider: Make, ask: Ask) -> None:
    with pytest.raises(BadInput, match="above nothing"):
        next(make_provider().open_payment(ask("0.00"), now=NOON))


def test_metadata_of_the_integrator_travels_and_the_services_own_names_are_refused(
    make_provider: Make, ask: Ask
) -> None:
    request = next(make_provider().open_payment(ask(metadata=(("cart", "7"),), description="Tea"), now=NOON))
    body = json.loads(request.content)
    assert body["metadata"] == {"cart": "7", "bursar_order": "order-1"}
    assert body["description"] == "Tea"

    with pytest.raises(BadInput, match="idempotency_key is CoinPay's own"):
        next(make_provider().open_payment(ask(metadata=(("idempotency_key", "x"),)), now=NOON))


def test_a_card_is_offered_beside_the_coin_where_the_account_wants_it(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    seen: list[httpx.Request] = []
    answer = made(stripe_checkout_url="https://checkout.stripe.com/c/pay/cs_1", stripe_session_id="cs_1")

    opened = converse(
        make_provider(card=True).open_payment(ask(return_url="https://shop.test/done"), now=NOON),
        answer,
        seen=seen,
    )

    body = json.loads(seen[0].content)
    assert (body["payment_method"], body["success_url"]) == ("both", "https://shop.test/done")
    coin, card = opened.checkout.instructions
    assert coin.method == "USDC_POL"
    assert (card.method, str(card.amount), card.uri) == (
        "CARD",
        "49.99 USD",
        "https://checkout.stripe.com/c/pay/cs_1",
    )


def test_what_the_service_bills_is_reported_even_where_it_differs(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    opened = open_with(make_provider(), ask("50.00"), converse, made())

    assert str(opened.billed) == "49.99 USD"


def test_an_existing_payment_is_read_as_if_it_had_been_opened(
    make_provider: Make, converse: Converse
) -> None:
    public = {
        name: value
        for name, value in PAYMENT.items()
        if name not in ("business_id", "amount_usd", "amount_crypto")
    }
    answer = httpx.Response(200, json={"success": True, "payment": public | {"currency": "USD"}})

    opened = converse(make_provider().read_opened(PAYMENT["id"], now=NOON), answer)

    assert (str(opened.billed), str(opened.asks[0])) == ("49.99 USD", "49.995001 USDC")
