from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bursar.errors import Declined, ProviderError, Unavailable
from bursar.facts import Facts, Flag, Observation, Said, Stage, Word
from bursar.money import Money, fiat
from bursar_coinpay.provider import CoinPay

Make = Callable[..., CoinPay]
Converse = Callable[..., Any]

ID = "2f6a1f0e-8c1b-4a57-b6d9-0c6f7b1e5a42"
BILLED = Money.of("49.99", fiat("USD"))
NOON = 1_785_240_000
PAYMENT: dict[str, Any] = {
    "id": ID,
    "amount": 49.99,
    "currency": "USD",
    "blockchain": "USDC_POL",
    "status": "pending",
    "crypto_amount": 49.9950005,
    "crypto_currency": "USDC",
    "payment_address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "confirmations": 0,
    "created_at": "2026-07-28T12:00:00.123456+00:00",
    "expires_at": "2026-07-28T12:15:00.123+00:00",
    "tx_hash": None,
    "forward_tx_hash": None,
}


def shown(**changes: Any) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "payment": PAYMENT | changes})


def checked(**members: Any) -> httpx.Response:
    date = {"Date": "Tue, 28 Jul 2026 12:00:05 GMT"}
    return httpx.Response(200, json={"success": True, **members}, headers=date)


def look(provider: CoinPay, converse: Converse, *answers: httpx.Response) -> Facts:
    observation: Observation = converse(provider.look_up(ID, billed=BILLED, now=NOON), *answers)
    assert observation.payment_id == ID
    return observation.facts


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("confirmed", Word.SETTLED),
        ("forwarding", Word.SETTLED),
        ("forwarding_failed", Word.SETTLED),
        ("forwarded", Word.SETTLED),
        ("expired", Word.EXPIRED),
    ],
)
def test_every_status_has_one_meaning_spoken_at_one_instant_for_ever(
    make_provider: Make, converse: Converse, status: str, word: Word
) -> None:
    facts = look(make_provider(), converse, shown(status=status))

    assert facts.verdict == facts.polled == Said[Word].once(word, 0)
    assert facts.billed == {BILLED}


@pytest.mark.parametrize("status", ["detected", "completed", "failed", "", None, 7])
def test_an_unknown_status_says_nothing(make_provider: Make, converse: Converse, status: object) -> None:
    assert look(make_provider(), converse, shown(status=status)).verdict is None


def test_an_open_payment_has_the_service_look_at_the_chain(make_provider: Make, converse: Converse) -> None:
    seen: list[httpx.Request] = []
    answer = checked(status="pending", balance=0, expected=49.9950005, message="Waiting for payment...")

    observation = converse(make_provider().look_up(ID, billed=BILLED, now=NOON), shown(), answer, seen=seen)

    assert [(request.method, request.url.path) for request in seen] == [
        ("GET", f"/api/payments/{ID}"),
        ("POST", f"/api/payments/{ID}/check-balance"),
    ]
    assert all(request.headers["authorization"].startswith("Bearer cp_live_") for request in seen)
    assert observation.facts.verdict == Said[Word].once(Word.NEW, 0)


def test_without_check_balance_only_the_public_reading_is_done(
    make_provider: Make, converse: Converse
) -> None:
    facts = look(make_provider(check_balance=False), converse, shown())

    assert facts == Facts(
        verdict=Said[Word].once(Word.NEW, 0),
        polled=Said[Word].once(Word.NEW, 0),
        billed=frozenset({BILLED}),
    )


def test_a_part_that_arrived_is_one_transfer_that_was_seen(make_provider: Make, converse: Converse) -> None:
    facts = look(
        make_provider(), converse, shown(), checked(status="pending", balance=20.5, expected=49.9950005)
    )

    (transfer,) = facts.transfers
    assert (str(transfer.amount), transfer.stage) == (
        "20.500000 USDC",
        Said[Stage].once(Stage.SEEN, NOON + 5),
    )


def test_a_balance_that_is_gone_takes_back_what_was_seen(make_provider: Make, converse: Converse) -> None:
    part = look(make_provider(), converse, shown(), checked(status="pending", balance=20.5, expected=50))
    later = httpx.Response(
        200,
        json={"success": True, "status": "pending", "balance": 0, "expected": 50},
        headers={"Date": "Tue, 28 Jul 2026 12:01:00 GMT"},
    )
    gone = look(make_provider(), converse, shown(), later)

    (transfer,) = part.join(gone).transfers
    assert transfer.stage.now == {Stage.INVALID}
    assert part.join(gone) == gone.join(part)


def test_a_payment_that_this_very_look_confirms_is_settled_with_what_arrived(
    make_provider: Make, converse: Converse
) -> None:
    facts = look(
        make_provider(),
        converse,
        shown(),
        checked(status="confirmed", balance=60, message="Payment confirmed!"),
    )

    assert facts.verdict == Said[Word].once(Word.SETTLED, 0)
    (transfer,) = facts.transfers
    assert (str(transfer.amount), transfer.paid_at) == ("60.000000 USDC", NOON + 5)
    assert Flag.OVERPAID in facts.flags


def test_an_expiry_that_this_very_look_makes_keeps_the_part_that_arrived(
    make_provider: Make, converse: Converse
) -> None:
    facts = look(
        make_provider(), converse, shown(), checked(status="expired", balance=20, expected=49.9950005)
    )

    assert facts.verdict == Said[Word].once(Word.EXPIRED, 0)
    assert [str(transfer.amount) for transfer in facts.transfers] == ["20.000000 USDC"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"success": False, "error": "Authentication required"}),
        httpx.Response(403, json={"success": False, "error": "API key does not belong to this payment"}),
        httpx.Response(429, json={"success": False, "error": "Too many balance checks for this payment"}),
        httpx.Response(500, json={"success": False, "error": "x"}),
        httpx.Response(502, html="<html>"),
        httpx.Response(200, html="<html>"),
        httpx.Response(200, json={"success": False, "error": "Payment has no address to check"}),
        httpx.Response(200, json={"success": True, "status": "teapot"}),
        httpx.Response(200, json={"success": True, "status": "pending", "balance": "lots"}),
        httpx.Response(200, json=[]),
    ],
)
def test_a_look_at_the_chain_that_fails_never_spoils_the_reading(
    make_provider: Make, converse: Converse, answer: httpx.Response
) -> None:
    assert look(make_provider(), converse, shown(), answer).verdict == Said[Word].once(Word.NEW, 0)


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (httpx.Response(404, json={"success": False, "error": "no rows returned"}), Unavailable),
        (httpx.Response(404, html="<html>"), Unavailable),
        (httpx.Response(500, json={"success": False, "error": "x"}), Unavailable),
        (httpx.Response(429, json={"error": "Too many requests"}, headers={"Retry-After": "9"}), Unavailable),
        (httpx.Response(401, json={"success": False, "error": "Invalid API key"}), Declined),
        (httpx.Response(200, html="<html>"), Unavailable),
        (httpx.Response(200, json={"success": True, "payment": []}), Unavailable),
        (shown(id="another"), Unavailable),
        (shown(amount={}), Unavailable),
    ],
)
def test_a_reading_that_fails_never_means_that_a_payment_is_gone(
    make_provider: Make, converse: Converse, answer: httpx.Response, meaning: type[ProviderError]
) -> None:
    with pytest.raises(meaning) as caught:
        look(make_provider(), converse, answer)

    assert caught.value.retry_after == (9 if answer.status_code == 429 else None)


def test_a_payments_id_cannot_change_the_path(make_provider: Make) -> None:
    request = next(make_provider().look_up("../secret?x=1", billed=BILLED, now=NOON))

    assert request.url.raw_path == b"/api/payments/..%2Fsecret%3Fx%3D1"
