import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.errors import Declined, OutcomeUnknown, ProviderError, Unavailable
from bursar.money import Asset, Money, fiat
from bursar.providers import RefundRequest
from bursar.refunds import (
    Refund,
    RefundObservation,
    RefundStatus,
    RefundWord,
    Sending,
    refund_status,
)
from bursar_btcpay import refunds
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

Play = Callable[..., tuple[list[httpx.Request], Any]]
Answer = Callable[[str, int], httpx.Response]
USD = fiat("USD")
INVOICE, PULL = "UNGUS4MTdoUGrzn9fFdwYQ", "34bjT5FMt2QCkU7d1Us1PQRbmxRV"
OPERATION = "0b5f8a0e-5d5c-4c43-8f0a-0a0f6b0f6f01"
FIVE = Money(500, USD)
ASKED = RefundRequest(
    operation=OPERATION, payment_id=INVOICE, amount=FIVE, paid=Money(2000, USD), reason="cold tea"
)
INFO = httpx.Response(200, json={"version": "2.4.1+abc"})
OLD = httpx.Response(200, json={"version": "1.13.7"})


def body(request: httpx.Request) -> Any:
    return json.loads(request.content)


def kept(seen: RefundObservation, amount: Money = FIVE) -> Refund:
    return Refund(
        1, 1, amount, amount, OPERATION, sending=Sending.DONE, refund_id=seen.refund_id, facts=seen.facts
    )


def test_a_part_goes_back_as_a_custom_amount_under_our_operation_id(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    requests, seen = play(
        btcpay.refund(ASKED, now=9), answer("refund_errors", 15), INFO, answer("refund_errors", 30)
    )

    assert [request.method for request in requests] == ["GET", "GET", "POST"]
    assert requests[-1].url.path.endswith(f"/invoices/{INVOICE}/refund")
    assert body(requests[-1]) == {
        "refundVariant": "Custom",
        "customAmount": "5.00",
        "customCurrency": "USD",
        "payoutMethods": ["BTC-CHAIN"],
        "payoutMethodId": "BTC-CHAIN",
        "name": f"Refund #{OPERATION}",
        "description": "cold tea",
    }
    assert (seen.refund_id, seen.operation) == (PULL, OPERATION)
    assert seen.facts.asked == {FIVE}
    assert seen.facts.links == {f"http://127.0.0.1:23000/pull-payments/{PULL}"}
    assert seen.facts.verdict.now == {RefundWord.OPEN}
    assert seen.facts.polled_at == 9
    assert refund_status(kept(seen)) is RefundStatus.WAITING_FOR_BUYER


def test_an_old_server_is_told_the_method_by_its_old_name(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    asked = attrs.evolve(ASKED, method="BTC-LN")
    requests, _ = play(
        btcpay.refund(asked, now=9), answer("refund_errors", 15), OLD, answer("refund_errors", 30)
    )

    assert body(requests[-1])["paymentMethod"] == "BTC-LightningNetwork"
    assert "payoutMethods" not in body(requests[-1])


def test_a_version_that_cannot_be_read_is_taken_for_a_new_one(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    requests, _ = play(
        btcpay.refund(ASKED, now=9),
        answer("refund_errors", 15),
        httpx.Response(502),
        answer("refund_errors", 30),
    )

    assert body(requests[-1])["payoutMethods"] == ["BTC-CHAIN"]


@pytest.mark.parametrize("variant", ["RateThen", "CurrentRate", "Fiat"])
def test_a_full_refund_is_valued_as_the_settings_say_and_a_partial_one_never(
    settings: Settings, play: Play, answer: Answer, variant: str
) -> None:
    provider = BTCPay(attrs.evolve(settings, refund_variant=variant))
    answers = answer("refund_errors", 15), INFO, answer("refund_errors", 30)
    full, _ = play(provider.refund(attrs.evolve(ASKED, amount=ASKED.paid), now=9), *answers)
    part, _ = play(provider.refund(ASKED, now=9), *answers)

    assert body(full[-1])["refundVariant"] == variant
    assert "customAmount" not in body(full[-1])
    assert body(part[-1])["refundVariant"] == "Custom"


def test_a_pull_payment_of_its_own_is_the_alternative(settings: Settings, play: Play, answer: Answer) -> None:
    provider = BTCPay(attrs.evolve(settings, refund_variant="PullPayment"))
    requests, seen = play(
        provider.refund(ASKED, now=9), answer("refund_errors", 15), answer("refund_errors", 30)
    )

    assert requests[-1].url.path.endswith("/pull-payments")
    assert body(requests[-1]) == {
        "name": f"Refund #{OPERATION}",
        "description": "cold tea",
        "amount": "5.00",
        "currency": "USD",
        "autoApproveClaims": False,
        "payoutMethods": ["BTC-CHAIN"],
    }
    assert seen.refund_id == PULL


def test_every_variant_can_be_asked_for() -> None:
    assert refunds.custom(Money(1, Asset("BTC", 8))) == {
        "refundVariant": "Custom",
        "customAmount": "0.00000001",
        "customCurrency": "BTC",
    }
    assert refunds.whole("RateThen") == {"refundVariant": "RateThen"}
    assert refunds.whole("CurrentRate", subtract_percent=Decimal("2.50")) == {
        "refundVariant": "CurrentRate",
        "subtractPercentage": "2.50",
    }
    assert refunds.whole("Fiat") == {"refundVariant": "Fiat"}
    assert refunds.overpaid() == {"refundVariant": "OverpaidAmount"}


def test_a_buyer_who_paid_by_lnurl_claims_over_lightning_and_no_strange_method_spoils_it(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    invoice = answer("refund_errors", 15).json()
    invoice["checkout"]["paymentMethods"] = ["BTC-LNURL", "BTC-LN", "XMR-ODD", "BTC-CHAIN"]
    requests, _ = play(
        btcpay.refund(ASKED, now=9), httpx.Response(200, json=invoice), INFO, answer("refund_errors", 30)
    )

    assert body(requests[-1])["payoutMethods"] == ["BTC-LN", "BTC-CHAIN"]


@given(operation=st.text(min_size=1, max_size=300) | st.text("abc-9", min_size=30, max_size=190))
def test_a_name_always_fits_where_it_goes_and_is_the_same_again(operation: str) -> None:
    for limit in (50, 200):
        name = refunds.named(operation, limit=limit)
        assert len(name) <= limit
        assert name.isprintable()
        assert name == refunds.named(operation, limit=limit)


@given(one=st.text(max_size=60), other=st.text(max_size=60))
def test_two_operations_never_share_a_name(one: str, other: str) -> None:
    assert (refunds.named(one, limit=50) == refunds.named(other, limit=50)) == (one == other)


@pytest.mark.parametrize("seq", [2, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28])
def test_every_recorded_refusal_is_final_and_says_why(
    btcpay: BTCPay, play: Play, answer: Answer, seq: int
) -> None:
    refused = answer("refund_errors", seq)
    with pytest.raises(Declined) as error:
        play(btcpay.refund(ASKED, now=9), answer("refund_errors", 15), INFO, refused)

    first = (refused.json() if refused.content.startswith(b"[") else [refused.json()])[0]
    words = first.get("missingPermission") or first["message"]
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (httpx.Response(500), OutcomeUnknown),
        (httpx.Response(502, text="<html>"), OutcomeUnknown),
        (httpx.Response(503, headers={"Retry-After": "5"}), OutcomeUnknown),
        (httpx.Response(200, text="<html>"), OutcomeUnknown),
        (httpx.Response(200, json={}), OutcomeUnknown),
        (httpx.Response(429, headers={"Retry-After": "5"}), Unavailable),
    ],
)
def test_a_refund_without_a_clear_answer_may_have_been_made(
    btcpay: BTCPay, play: Play, answer: Answer, trouble: httpx.Response, kind: type[ProviderError]
) -> None:
    with pytest.raises(ProviderError) as error:
        play(btcpay.refund(ASKED, now=9), answer("refund_errors", 15), INFO, trouble)

    assert type(error.value) is kind


def test_trouble_before_the_refund_leaves_is_known_to_be_without_effect(btcpay: BTCPay, play: Play) -> None:
    with pytest.raises(Unavailable):
        play(btcpay.refund(ASKED, now=9), httpx.Response(502))


def test_a_lost_refund_is_found_by_its_name_among_archived_ones_too(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    listed = answer("refund_fiat_cancelled", 25).json()
    listed[1]["name"] = f"Refund #{OPERATION}x"
    listed[2]["name"] = f"Refund #{OPERATION}"
    requests, seen = play(
        btcpay.find_refund(ASKED, now=9),
        httpx.Response(200, json=listed),
        httpx.Response(200, json=listed[2]),
        httpx.Response(200, json=[]),
    )

    assert dict(requests[0].url.params) == {"includeArchived": "true"}
    assert requests[1].url.path.endswith(listed[2]["id"])
    assert seen.refund_id == listed[2]["id"]
    assert seen.operation == OPERATION
    assert all(request.method == "GET" for request in requests)


def test_a_refund_that_was_never_made_is_not_found(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    assert play(btcpay.find_refund(ASKED, now=9), answer("refund_fiat_cancelled", 25))[1] is None


def test_a_refund_made_by_hand_is_not_taken_for_one_of_ours(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    _, seen = play(
        btcpay.look_up_refund(PULL, now=9), answer("refund_errors", 30), httpx.Response(200, json=[])
    )

    assert seen.operation == ""
