import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest

from bursar.errors import OutcomeUnknown
from bursar.money import Asset, Money, fiat
from bursar.providers import OpenRequest
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


def test_a_new_and_unpaid_invoice_is_cancelled(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    requests, _ = play(
        btcpay.cancel("QER7qUQqfY4EBGhqwapsfo", now=1),
        answer("marked_by_hand", 1),
        answer("marked_by_hand", 7),
    )

    assert requests[1].method == "POST"
    assert requests[1].url.path.endswith("/QER7qUQqfY4EBGhqwapsfo/status")
    assert body(requests[1]) == {"status": "Invalid"}


@pytest.mark.parametrize(
    "members",
    [
        {"status": "New", "additionalStatus": "PaidPartial"},
        {"status": "New", "paidAmount": "1.00"},
        {"status": "Processing"},
        {"status": "Settled"},
        {"status": "Expired"},
        {"status": "Invalid"},
        {"status": "Strange"},
    ],
)
def test_an_invoice_that_money_came_for_or_that_has_ended_is_left_alone(
    btcpay: BTCPay, play: Play, answer: Answer, members: dict[str, str]
) -> None:
    requests, _ = play(btcpay.cancel(INVOICE, now=1), changed(answer("paid_1conf", 4), **members))

    assert [request.method for request in requests] == ["GET"]


def test_cancelling_again_is_harmless(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    refused = answer("marked_by_hand", 6)
    assert refused.status_code == 422

    play(btcpay.cancel(INVOICE, now=1), answer("paid_1conf", 4), refused)
    play(btcpay.cancel(INVOICE, now=1), MISSING, httpx.Response(200, json=[]))


def test_a_cancellation_without_a_clear_answer_may_have_happened(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    with pytest.raises(OutcomeUnknown):
        play(btcpay.cancel(INVOICE, now=1), answer("paid_1conf", 4), httpx.Response(502))


def test_only_enabled_methods_are_offered_and_in_the_settings_order(settings: Settings, play: Play) -> None:
    listed = httpx.Response(
        200,
        json=[
            {"enabled": True, "paymentMethodId": "BTC-CHAIN"},
            {"enabled": False, "paymentMethodId": "BTC-LN"},
            {"enabled": True, "paymentMethodId": "LTC-CHAIN"},
            {"enabled": True, "paymentMethod": "BTC-LNURLPAY"},
        ],
    )
    chosen = attrs.evolve(settings, payment_methods=("LTC-CHAIN", "BTC-LN", "BTC-CHAIN"))

    assert play(BTCPay(settings).list_methods(now=1), listed)[1] == ("BTC-CHAIN", "LTC-CHAIN", "BTC-LNURL")
    assert play(BTCPay(chosen).list_methods(now=1), listed)[1] == ("LTC-CHAIN", "BTC-CHAIN")
