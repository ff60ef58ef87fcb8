"""Answers that are no new payment: replays, races, refusals, pages."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bursar.errors import Declined, OutcomeUnknown, ProviderError, Unavailable
from bursar.facts import Said, Word
from bursar.orders import Opened
from bursar.providers import OpenRequest
from bursar_coinpay.provider import CoinPay

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


def test_a_replay_that_is_still_open_is_the_payment(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    opened = open_with(make_provider(), ask(), converse, made(200))

    assert opened.payment_id == PAYMENT["id"]


def test_a_replay_that_has_expired_is_declined_with_the_reason(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    with pytest.raises(Declined, match="has expired; start another payment"):
        open_with(make_provider(), ask(), converse, made(200, status="expired"))


def test_a_replay_without_an_address_is_declined_however_it_is_asked_for(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    dead = {"status": "expired", "payment_address": None}
    with pytest.raises(Declined, match="without an address"):
        open_with(make_provider(), ask(), converse, made(200, **dead))
    with pytest.raises(Declined, match="without an address"):
        converse(make_provider().find_payment(ask(), now=NOON), made(200, **dead))


def test_a_replay_of_a_payment_that_is_still_being_made_is_asked_for_again(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    with pytest.raises(OutcomeUnknown, match="no address"):
        open_with(make_provider(), ask(), converse, made(200, payment_address=None))


def test_finding_a_payment_sends_the_very_same_request_again(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    first: list[httpx.Request] = []
    second: list[httpx.Request] = []

    opened = converse(make_provider().open_payment(ask(), now=NOON), made(), seen=first)
    found = converse(make_provider().find_payment(ask(), now=NOON + 999), made(200), seen=second)

    assert found == opened
    assert (first[0].content, first[0].headers) == (second[0].content, second[0].headers)


def test_finding_a_payment_that_has_expired_or_was_paid_meanwhile_tells_so(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    for status, word in (("expired", Word.EXPIRED), ("forwarded", Word.SETTLED)):
        found = converse(make_provider().find_payment(ask(), now=NOON), made(200, status=status))
        assert found.seen.facts.verdict == Said[Word].once(word, 0)


def test_a_race_of_two_requests_with_one_key_is_repeated_once(
    make_provider: Make, ask: Ask, converse: Converse
) -> None:
    race = refused(
        400, 'duplicate key value violates unique constraint "payments_business_idempotency_key_uidx"'
    )
    seen: list[httpx.Request] = []

    opened = converse(make_provider().open_payment(ask(), now=NOON), race, made(200), seen=seen)

    assert opened.payment_id == PAYMENT["id"]
    assert seen[0].content == seen[1].content
    with pytest.raises(OutcomeUnknown):
        open_with(make_provider(), ask(), converse, race, race)


@pytest.mark.parametrize(
    ("status", "body", "meaning", "words"),
    [
        (400, {"error": "Invalid or missing payment amount"}, Declined, "payment amount"),
        (
            400,
            {"error": "Payment amount exceeds the maximum of 1,000,000 USD", "code": "AMOUNT_TOO_LARGE"},
            Declined,
            "AMOUNT_TOO_LARGE",
        ),
        (400, {"error": "Invalid or missing cryptocurrency type"}, Declined, "cryptocurrency"),
        (400, {"error": "business_id is required"}, Declined, "business_id"),
        (
            400,
            {
                "error": "No LTC wallet configured for this business, merchant global wallet, or linked web wallet."
            },
            Declined,
            "add a wallet for this coin",
        ),
        (400, {"error": "Invalid BTC merchant_wallet_address"}, Declined, "merchant_wallet_address"),
        (
            400,
            {"error": "merchant_wallet_address may not be a platform wallet", "code": "PAYEE_RESERVED"},
            Declined,
            "PAYEE_RESERVED",
        ),
        (400, {"error": "Idempotency-Key must be at most 255 characters"}, Declined, "255"),
        (400, {"error": "Card payments require Stripe Connect. Please …"}, Declined, "set card = false"),
        (400, {"error": "Invalid blockchain type"}, Declined, "blockchain"),
        (
            400,
            {"error": "Payment created but address generation failed: no seed"},
            Declined,
            "this attempt is spent",
        ),
        (400, {"error": "Failed to calculate crypto price: fetch failed"}, Unavailable, "no price"),
        (400, {"error": "canceling statement due to statement timeout"}, OutcomeUnknown, "may exist"),
        (400, {"error": {"message": "nested"}}, OutcomeUnknown, "nested"),
        (400, {}, OutcomeUnknown, "no reason given"),
        (401, {"error": "Missing authorization header"}, Declined, "check api_key"),
        (401, {"error": "Invalid API key"}, Declined, "check api_key"),
        (401, {"error": "Business is inactive"}, Declined, "Business is inactive"),
        (401, {"error": "Token has expired"}, Declined, "check api_key"),
        (
            402,
            {"error": "inactive", "code": "SUBSCRIPTION_INACTIVE", "details": {"status": "past_due"}},
            Declined,
            "renew",
        ),
        (403, {"error": "business_id does not match API key scope"}, Declined, "belong to business_id"),
        (403, {"error": "API key missing required scope: payments:create"}, Declined, "payments:create"),
        (
            403,
            {"error": "Naming a payout address requires owner permissions", "code": "PAYEE_FORBIDDEN"},
            Declined,
            "PAYEE",
        ),
        (
            403,
            {"error": "This payment could not be processed. Please contact the merchant."},
            Declined,
            "contact the merchant",
        ),
        (404, {"error": "Business not found"}, Declined, "check business_id and url"),
        (404, {"error": "none", "code": "SUBSCRIPTION_NOT_FOUND"}, Declined, "SUBSCRIPTION_NOT_FOUND"),
        (429, {"error": "Too many requests"}, Unavailable, "slow down"),
        (429, {"error": "limit", "code": "TRANSACTION_LIMIT_EXCEEDED"}, Declined, "used up"),
        (429, {"error": "Monthly transaction limit exceeded", "usage": {}}, Declined, "used up"),
        (500, {"error": "Internal server error"}, OutcomeUnknown, "may exist"),
        (503, {"error": "x"}, OutcomeUnknown, "may exist"),
        (418, {"error": "x"}, OutcomeUnknown, "may exist"),
    ],
)
def test_every_refusal_says_whether_anything_can_have_happened(
    make_provider: Make,
    ask: Ask,
    converse: Converse,
    status: int,
    body: dict[str, Any],
    meaning: type[ProviderError],
    words: str,
) -> None:
    answer = httpx.Response(status, json={"success": False, **body}, headers={"Retry-After": "7"})

    with pytest.raises(meaning) as caught:
        open_with(make_provider(), ask(), converse, answer)

    assert type(caught.value) is meaning
    assert caught.value.status == status
    assert words in str(caught.value)
    assert caught.value.retry_after == (7 if meaning is Unavailable and status == 429 else None)
    assert "cp_live_0123" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 201, 400, 500, 502])
def test_a_page_instead_of_json_leaves_the_outcome_unknown(
    make_provider: Make, ask: Ask, converse: Converse, status: int
) -> None:
    with pytest.raises(OutcomeUnknown, match=str(status)):
        open_with(make_provider(), ask(), converse, httpx.Response(status, html="<html>Bad gateway</html>"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"business_id": "00000000-0000-0000-0000-000000000000"}, "another business"),
        ({"blockchain": "BTC"}, "where USDC_POL was asked for"),
        ({"amount": None}, "no price"),
        ({"amount": "forty"}, "amount of USD"),
        ({"crypto_amount": 0}, "no address"),
        ({"id": 7}, "no id"),
    ],
)
def test_an_answer_about_something_else_leaves_the_outcome_unknown(
    make_provider: Make, ask: Ask, converse: Converse, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(OutcomeUnknown, match=words):
        open_with(make_provider(), ask(), converse, made(**changes))
