from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bursar import plugins
from bursar.testing.sandboxes import Sandbox
from bursar_coinpay.sandbox import CoinPaySandbox

URL = "http://coinpay.test"
Make = Callable[..., Any]
PUBLIC = {
    *("id", "amount", "currency", "blockchain", "status", "crypto_amount", "crypto_currency"),
    *("payment_address", "confirmations", "created_at", "expires_at", "tx_hash", "forward_tx_hash"),
}


def test_the_plugin_brings_the_sandbox() -> None:
    assert plugins.sandbox("coinpay") is CoinPaySandbox


def test_a_story_can_be_played_again_from_its_seed(clock: Any) -> None:
    def story(seed: int) -> tuple[dict[str, str], list[str]]:
        sandbox: Sandbox = CoinPaySandbox(clock=clock, url=URL, seed=seed)
        return sandbox.account(webhook_url="https://shop.test/hook"), list(sandbox.payments())

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_a_payment_is_answered_with_every_member_of_the_service(bench: Make) -> None:
    at = bench()
    body = {
        "amount": 49.99,
        "blockchain": "usdc_pol",
        "currency": "EUR",
        "description": "Tea",
        "metadata": {"cart": 7},
    }

    answer = at.post("/payments/create", body)

    assert answer.status_code == 201
    payment = answer.json()["payment"]
    # 50 dollars at 0.9999, with 8 decimals although the coin has 6.
    assert (payment["crypto_amount"], payment["amount"]) == (50.0050005, 49.99)
    assert payment["amount_crypto"] == payment["crypto_amount"]
    assert (payment["currency"], payment["blockchain"], payment["crypto_currency"]) == (
        "usdc_pol",
        "USDC_POL",
        "USDC",
    )
    assert payment["status"] == "pending"
    assert payment["metadata"]["description"] == "Tea"
    assert payment["metadata"]["cart"] == 7
    assert payment["created_at"] == "2026-07-28T11:59:59+00:00"
    assert payment["expires_at"] == "2026-07-28T12:14:59+00:00"
    assert answer.json()["usage"] == {"current": 1, "limit": None, "remaining": None}
    assert "qr_code" not in payment
    assert "checkout_url" not in payment


def test_reading_a_payment_is_public_and_shows_thirteen_members(bench: Make) -> None:
    at = bench()

    answer = at.get(f"/payments/{at.create()}", headers={})

    assert set(answer.json()["payment"]) == PUBLIC
    assert answer.json()["payment"]["currency"] == "USD"
    assert at.get("/payments/none").status_code == 404


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "Invalid or missing payment amount"),
        ({"amount": "50", "blockchain": "BTC"}, "Invalid or missing payment amount"),
        ({"amount": True, "blockchain": "BTC"}, "Invalid or missing payment amount"),
        ({"amount": 0, "blockchain": "BTC"}, "Invalid or missing payment amount"),
        ({"amount": 1_000_001, "blockchain": "BTC"}, "Payment amount exceeds the maximum of 1,000,000 USD"),
        ({"amount": 0.001, "blockchain": "BTC"}, "payments_amount_check"),
        ({"amount": 50}, "Invalid or missing cryptocurrency type"),
        ({"amount": 50, "currency": "EUR"}, "Invalid or missing cryptocurrency type"),
        ({"amount": 50, "blockchain": "LTC"}, "No LTC wallet configured for this business"),
    ],
    ids=repr,
)
def test_a_request_that_cannot_be_is_refused_in_the_services_words(
    bench: Make, body: dict[str, Any], error: str
) -> None:
    answer = bench().post("/payments/create", body)

    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert error in answer.json()["error"]


def test_amount_usd_comes_before_amount_and_a_coin_may_stand_in_currency(bench: Make) -> None:
    at = bench()

    payment = at.post("/payments", {"amount_usd": 7, "amount": 9, "currency": "sol"}).json()["payment"]

    assert (payment["amount"], payment["blockchain"]) == (7, "SOL")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"amount":50,"blockchain":7}'])
def test_a_body_that_the_server_trips_over_is_its_own_fault(bench: Make, body: bytes) -> None:
    at = bench()

    answer = at.client.post(f"{URL}/api/payments/create", content=body, headers=at.headers)

    assert (answer.status_code, answer.json()["error"]) == (500, "Internal server error")


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("", "Missing authorization header"),
        ("Bearer sk_live_x", "Invalid token"),
        ("Bearer cp_live_abc", "API key must be 40 characters long"),
        ("Bearer cp_live_" + "z" * 32, "API key contains invalid characters"),
        ("Bearer cp_live_" + "0" * 32, "Invalid API key"),
    ],
)
def test_a_wrong_key_is_refused_in_the_services_words(bench: Make, header: str, error: str) -> None:
    answer = bench().post("/payments/create", {}, Authorization=header)

    assert (answer.status_code, answer.json()["error"]) == (401, error)


def test_the_same_key_gets_the_same_payment_whatever_the_body_and_as_it_stands_now(bench: Make) -> None:
    at = bench(worker="A")
    first = at.post("/payments/create", {"amount": 50, "blockchain": "BTC"}, **{"Idempotency-Key": " k "})
    at.sandbox.pay(first.json()["payment"]["id"])
    at.sandbox.confirm(first.json()["payment"]["id"])

    again = at.post("/payments/create", {"amount": "wrong"}, **{"Idempotency-Key": "k"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["idempotent_replay"] is True
    assert "usage" not in again.json()
    assert again.json()["payment"]["id"] == first.json()["payment"]["id"]
    assert again.json()["payment"]["status"] == "forwarded"
    assert len(at.sandbox.payments()) == 1
    too_long = at.post("/payments/create", {}, **{"Idempotency-Key": "k" * 256})
    assert too_long.json()["error"] == "Idempotency-Key must be at most 255 characters"


def test_metadata_may_be_an_idempotency_key_by_accident_only_by_its_name(bench: Make) -> None:
    at = bench()
    body = {"amount": 50, "blockchain": "BTC", "idempotency_key": "k"}

    assert at.post("/payments/create", body).status_code == 201
    assert at.post("/payments/create", body).status_code == 200


def test_another_business_is_refused(bench: Make) -> None:
    answer = bench().post("/payments/create", {"business_id": "x", "amount": 1, "blockchain": "BTC"})

    assert (answer.status_code, answer.json()["error"]) == (403, "business_id does not match API key scope")


def test_an_unknown_path_is_a_page_and_no_json(bench: Make) -> None:
    answer = bench().get("/nothing")

    assert answer.status_code == 404
    assert answer.text.startswith("<!DOCTYPE html>")


def test_listing_needs_a_login(bench: Make) -> None:
    answer = bench().get("/payments")

    assert (answer.status_code, answer.json()["error"]) == (401, "Invalid or expired token")


def test_too_many_requests_in_a_minute_are_sent_away_until_the_next(bench: Make) -> None:
    at = bench()
    for _ in range(60):
        assert at.get("/health", headers={}).status_code == 200

    answer = at.get("/health", headers={})

    assert (answer.status_code, answer.json()) == (429, {"success": False, "error": "Too many requests"})
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    at.after(1)
    assert at.get("/health", headers={}).status_code == 200


def test_check_balance_says_what_the_chain_holds(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    check = f"/payments/{payment_id}/check-balance"

    assert at.post(check).json() == {
        "success": True,
        "status": "pending",
        "balance": 0,
        "expected": 50.01500150,
        "message": "Waiting for payment...",
    }
    at.sandbox.pay(payment_id, share=Decimal("0.5"))
    assert at.post(check).json()["balance"] == 0
    at.sandbox.confirm(payment_id)
    assert at.post(check).json()["message"] == "Partial payment detected: 25.007501 / 50.01500150"
    at.sandbox.pay(payment_id, share=Decimal("0.5"))
    at.sandbox.confirm(payment_id)
    assert at.post(check).json() == {
        "success": True,
        "status": "forwarded",
        "message": "Payment is already forwarded",
    }
    assert at.told() == ["payment.confirmed", "payment.forwarded"]


def test_check_balance_confirms_and_pays_out_within_the_request(bench: Make) -> None:
    at = bench(worker="D")
    payment_id = at.create(blockchain="BCH")
    at.sandbox.pay(payment_id)

    answer = at.post(f"/payments/{payment_id}/check-balance").json()

    # What is not in a block yet counts on this chain.
    assert (answer["status"], answer["message"]) == ("confirmed", "Payment confirmed! Funds detected.")
    assert at.status(payment_id) == "forwarded"
    assert at.told() == ["payment.confirmed", "payment.forwarded"]


def test_check_balance_ends_a_window_without_a_word(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.after(900)

    assert at.status(payment_id) == "pending"
    assert at.post(f"/payments/{payment_id}/check-balance").json()["status"] == "expired"
    assert at.told() == []


def test_check_balance_has_its_own_limit_and_needs_a_key(bench: Make) -> None:
    at = bench()
    check = f"/payments/{at.create()}/check-balance"

    assert at.client.post(f"{URL}/api{check}").json()["error"] == "Authentication required"
    assert (
        at.client.post(f"{URL}/api{check}", headers={"X-API-Key": at.account["api_key"]}).status_code == 200
    )
    for _ in range(29):
        assert at.post(check).status_code == 200
    assert at.post(check).json()["error"] == "Too many balance checks for this payment"
    assert at.post("/payments/none/check-balance").json()["error"] == "Payment not found"


def test_rates_and_coins_are_told_with_their_traps(bench: Make) -> None:
    at = bench()

    assert at.get("/rates?coin=USDC&fiat=EUR").json()["rate"] == 0.92
    assert at.get("/rates?coin=USDC&fiat=SEK").json()["fiat"] == "USD"
    unknown = at.get("/rates?coin=XYZ")
    assert (unknown.status_code, unknown.json()["success"], unknown.json()["rate"]) == (200, False, None)
    some = at.get("/rates?coins=BTC,XYZ&fiat=eur").json()
    assert (some["success"], some["rates"]) == (False, {"BTC": 55200})
    assert at.get("/rates").status_code == 400
    at.sandbox.exchange_feed_down = True
    assert at.get("/rates?coin=USDC&fiat=EUR").json()["rate"] == 1
    assert at.get("/rates/btc").json() == {"price": 60000}
    assert at.get("/fees?blockchain=ETH").json()["fee_usd"] == 3
    coins = at.get("/supported-coins").json()
    assert coins["total"] == 18
    assert coins["business_id"] == at.account["business_id"]
    token = next(t for t in at.get("/tokens").json()["tokens"] if t["symbol"] == "USDC_POL")
    assert (token["code"], token["ticker"], token["chain"]) == ("usdc_pol", "USDC", "Polygon")
    assert at.get("/supported-coins", headers={}).status_code == 401


def test_the_services_own_qr_codes_fail_for_some_coins(bench: Make) -> None:
    at = bench()

    drawn = at.get(f"/payments/{at.create(blockchain='BTC')}/qr", headers={})
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/png")
    assert drawn.content.startswith(b"\x89PNG")
    assert at.get(f"/payments/{at.create(blockchain='USDT_POL')}/qr").status_code == 500
    assert at.get("/payments/none/qr").text == "Payment not found"
