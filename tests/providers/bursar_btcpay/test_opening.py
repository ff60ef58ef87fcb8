import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.errors import BadInput, ConfigError, OutcomeUnknown
from bursar.facts import Word
from bursar.money import Asset, Money, fiat
from bursar.orders import Instruction
from bursar.providers import OpenRequest
from bursar.secrets import Secret
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

Play = Callable[..., tuple[list[httpx.Request], Any]]
Answer = Callable[[str, int], httpx.Response]
USD, BTC = fiat("USD"), Asset("BTC", 8)
STORE = "3aHNkVeHX9QkMYRRLiYjJn25JPhWnBmkvRVzWSW57Khn"
INVOICE = "68G9iNYtYg5Hu6DDoGQmDU"
TEN = Money(1000, USD)
ATTEMPT = "a7c1f0c2-5f1e-4c58-9a9c-2f6f3a2b9d10"
ASKED = OpenRequest(attempt=ATTEMPT, reference="ord-1001", amount=TEN)
MISSING = httpx.Response(
    403,
    json={"missingPermission": "btcpay.store.canviewinvoices", "code": "missing-permission", "message": "…"},
)


def body(request: httpx.Request) -> Any:
    return json.loads(request.content, parse_float=Decimal)


def changed(response: httpx.Response, **members: Any) -> httpx.Response:
    """A recorded answer with some of its members changed."""
    return httpx.Response(
        response.status_code, headers={"Date": response.headers["Date"]}, json=response.json() | members
    )


def test_opening_sends_no_more_than_the_order_s_and_the_attempt_s_id(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    requests, _ = play(btcpay.open_payment(ASKED, now=1), answer("paid_1conf", 1), answer("paid_1conf", 3))

    assert str(requests[0].url) == f"https://btcpay.example/pay/api/v1/stores/{STORE}/invoices"
    assert requests[0].headers["Authorization"] == "token 0123456789abcdef"
    assert requests[0].headers["Content-Type"] == "application/json"
    assert body(requests[0]) == {
        "amount": "10.00",
        "currency": "USD",
        "metadata": {"orderId": "ord-1001", "attemptId": ATTEMPT},
        "checkout": {},
        "additionalSearchTerms": [ATTEMPT],
    }


def test_what_the_integrator_gives_away_goes_out_and_cannot_displace_our_ids(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    asked = attrs.evolve(
        ASKED,
        description="Tea",
        metadata=(("order_key", "0190"), ("attemptId", "theirs"), ("orderId", "theirs")),
    )
    requests, _ = play(btcpay.open_payment(asked, now=1), answer("paid_1conf", 1), answer("paid_1conf", 3))

    assert body(requests[0])["metadata"] == {
        "order_key": "0190",
        "itemDesc": "Tea",
        "orderId": "ord-1001",
        "attemptId": ATTEMPT,
    }


def test_the_settings_and_the_request_shape_the_checkout(
    settings: Settings, play: Play, answer: Answer
) -> None:
    shaped = attrs.evolve(
        settings,
        payment_methods=("BTC-CHAIN", "BTC-LN"),
        speed_policy="HighSpeed",
        window=30,
        monitoring=60,
        tolerance=Decimal("0.10"),
        redirect_automatically=True,
        language="de-DE",
        lazy_methods=False,
    )
    asked = attrs.evolve(ASKED, return_url="https://shop.example/back?order={OrderId}")
    answers = answer("paid_1conf", 1), answer("paid_1conf", 3)
    requests, _ = play(BTCPay(shaped).open_payment(asked, now=1), *answers)
    own, _ = play(
        BTCPay(shaped).open_payment(attrs.evolve(asked, method="BTC-LightningNetwork", window=61), now=1),
        *answers,
    )

    assert body(requests[0])["checkout"] == {
        "speedPolicy": "HighSpeed",
        "paymentMethods": ["BTC-CHAIN", "BTC-LN"],
        "lazyPaymentMethods": False,
        "expirationMinutes": 30,
        "monitoringMinutes": 60,
        "paymentTolerance": Decimal("0.10"),
        "redirectURL": "https://shop.example/back?order={OrderId}",
        "redirectAutomatically": True,
        "defaultLanguage": "de-DE",
    }
    assert b'"paymentTolerance":0.10' in requests[0].content
    # A window is whole minutes there, and the buyer is not given less than was asked.
    assert body(own[0])["checkout"]["expirationMinutes"] == 2
    assert body(own[0])["checkout"]["paymentMethods"] == ["BTC-LN"]


def test_what_was_opened_is_reported_with_how_to_pay_it(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    _, opened = play(btcpay.open_payment(ASKED, now=1), answer("paid_1conf", 1), answer("paid_1conf", 3))

    address = "bcrt1qjqjk2pu0fh970vayeemwzcnc5t957em5pgm45d"
    assert opened.payment_id == INVOICE
    assert opened.billed == TEN
    assert opened.asks == (Money(20_000, BTC),)
    assert opened.expires_at == 1795381546
    assert opened.checkout.url == f"http://127.0.0.1:23000/i/{INVOICE}"
    assert opened.checkout.script == ""
    assert opened.checkout.instructions == (
        Instruction("BTC-CHAIN", Money(20_000, BTC), address, f"bitcoin:{address}?amount=0.0002"),
    )
    # By the server's clock, which says 20:50:45 GMT.
    assert opened.seen.facts.verdict.at == 1795380645
    assert opened.seen.facts.verdict.now == {Word.NEW}


def test_the_modal_and_the_public_address_are_used_where_they_are_set(
    settings: Settings, play: Play, answer: Answer
) -> None:
    shown = attrs.evolve(settings, show="modal", public_url="https://pay.example/")
    _, opened = play(
        BTCPay(shown).open_payment(ASKED, now=1), answer("paid_1conf", 1), answer("paid_1conf", 3)
    )

    assert opened.checkout.url == f"https://pay.example/i/{INVOICE}"
    assert opened.checkout.script == "https://pay.example/modal/btcpay.js"


def test_lightning_is_asked_for_apart_from_the_chain_and_exactly(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    chain = answer("paid_1conf", 3).json()[0]
    lightning = chain | {
        "paymentMethodId": "BTC-LN",
        "amount": "0.00020000017",
        "due": "0.00020000017",
        "destination": "lnbc1",
        "paymentLink": "lightning:lnbc1",
    }
    whole = lightning | {"paymentMethodId": "BTC-LNURL", "amount": "0.0002", "due": "0.0002"}
    methods = httpx.Response(200, json=[chain, lightning, whole])
    _, opened = play(btcpay.open_payment(ASKED, now=1), answer("paid_1conf", 1), methods)

    assert opened.asks == (Money(20_000, BTC), Money(20_000_017, Asset("BTC", 11)))
    shown = {i.method: str(i.amount) for i in opened.checkout.instructions}
    assert shown == {
        "BTC-CHAIN": "0.00020000 BTC",
        "BTC-LN": "0.00020000017 BTC",
        "BTC-LNURL": "0.00020000 BTC",
    }


def test_a_network_fee_is_asked_for_and_is_no_part_of_the_price(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    fee = {"amount": "0.0003", "due": "0.0003", "paymentMethodFee": "0.0001"}
    methods = httpx.Response(200, json=[answer("paid_1conf", 3).json()[0] | fee])
    _, opened = play(btcpay.open_payment(ASKED, now=1), answer("paid_1conf", 1), methods)

    assert opened.checkout.instructions[0].amount == Money(30_000, BTC)
    assert opened.asks == (Money(20_000, BTC),)


@pytest.mark.parametrize(
    ("members", "billed"),
    [
        ({"amount": "9.99"}, "9.99 USD"),
        ({"amount": "10.005"}, "10.005 USD"),
        ({"currency": "EUR"}, "10.00 EUR"),
        ({"amount": "10"}, "10.00 USD"),
        ({"amount": 10}, "10.00 USD"),
        ({"amount": "10.00000"}, "10.00 USD"),
    ],
)
def test_what_the_server_bills_is_reported_as_it_says_it(
    btcpay: BTCPay, play: Play, answer: Answer, members: dict[str, Any], billed: str
) -> None:
    _, opened = play(
        btcpay.open_payment(ASKED, now=1),
        changed(answer("paid_1conf", 1), **members),
        answer("paid_1conf", 3),
    )

    assert str(opened.billed) == billed
    assert opened.seen.facts.billed == {opened.billed}


def test_an_invoice_of_another_store_is_no_answer(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    with pytest.raises(OutcomeUnknown, match="another store"):
        play(btcpay.open_payment(ASKED, now=1), changed(answer("paid_1conf", 1), storeId="Other"))


@pytest.mark.parametrize(
    "trouble", [httpx.Response(500), httpx.Response(429), httpx.Response(200, text="<html>")]
)
def test_an_invoice_is_not_lost_because_its_methods_could_not_be_read(
    btcpay: BTCPay, play: Play, answer: Answer, trouble: httpx.Response
) -> None:
    _, opened = play(btcpay.open_payment(ASKED, now=1), answer("paid_1conf", 1), trouble)

    assert opened.payment_id == INVOICE
    assert opened.checkout.url
    assert opened.checkout.instructions == ()


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "/back",
        "data:text/html,x",
        "https://",
        "https://a b",
        "http://[",
        "\nhttps://a",
    ],
)
def test_a_return_url_that_is_no_web_address_never_leaves(btcpay: BTCPay, url: str) -> None:
    with pytest.raises(BadInput, match="return_url"):
        next(btcpay.open_payment(attrs.evolve(ASKED, return_url=url), now=1))


def test_an_invoice_of_nothing_is_refused_for_it_would_settle_at_once(btcpay: BTCPay) -> None:
    with pytest.raises(BadInput, match="at once"):
        next(btcpay.open_payment(attrs.evolve(ASKED, amount=Money(0, USD)), now=1))


def test_an_account_that_is_not_connected_says_so() -> None:
    with pytest.raises(ConfigError, match="connect"):
        next(BTCPay(Settings(url="https://btcpay.example")).open_payment(ASKED, now=1))


@given(minor=st.integers(1, 10**20), decimals=st.integers(0, 18))
def test_an_amount_always_leaves_as_a_plain_number_with_exactly_the_currency_s_decimals(
    minor: int, decimals: int
) -> None:
    provider = BTCPay(Settings(url="https://btcpay.example", api_key=Secret("key"), store_id="Store"))
    amount = Money(minor, Asset("BTC", decimals))

    sent = body(next(provider.open_payment(attrs.evolve(ASKED, amount=amount), now=1)))["amount"]

    assert "e" not in sent.lower()
    assert len(sent.partition(".")[2]) == decimals
    assert Money.of(sent, amount.asset) == amount
