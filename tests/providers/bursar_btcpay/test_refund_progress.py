import json
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest

from bursar.errors import Declined
from bursar.money import Asset, Money, fiat
from bursar.providers import Delivery, RefundRequest
from bursar.refunds import (
    PayoutStage,
    Refund,
    RefundObservation,
    RefundStatus,
    Sending,
    refund_paid,
    refund_status,
)
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


@pytest.mark.parametrize(
    ("state", "stage", "status"),
    [
        ("AwaitingApproval", PayoutStage.CLAIMED, RefundStatus.WAITING_FOR_APPROVAL),
        ("AwaitingPayment", PayoutStage.APPROVED, RefundStatus.APPROVED),
        ("InProgress", PayoutStage.SENT, RefundStatus.IN_PAYMENT),
        ("Completed", PayoutStage.PAID, RefundStatus.COMPLETED),
        ("Cancelled", PayoutStage.CANCELLED, RefundStatus.WAITING_FOR_BUYER),
        ("Frozen", PayoutStage.CLAIMED, RefundStatus.WAITING_FOR_APPROVAL),
    ],
)
def test_a_claim_moves_the_refund_on(
    btcpay: BTCPay, play: Play, answer: Answer, state: str, stage: PayoutStage, status: RefundStatus
) -> None:
    claim = answer("refund_errors", 36).json() | {"originalAmount": "5.00", "state": state}
    requests, seen = play(
        btcpay.look_up_refund(PULL, now=9), answer("refund_errors", 30), httpx.Response(200, json=[claim])
    )

    assert seen.facts.payouts[0].now is stage
    assert refund_status(kept(seen)) is status
    assert requests[1].url.params["includeCancelled"] == "true"
    # Both are open to whoever has the id, so the key stays at home.
    assert not any("Authorization" in request.headers for request in requests)


def test_a_refund_that_is_claimed_in_parts_is_paid_in_parts(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    claim = answer("refund_errors", 36).json() | {"state": "Completed"}
    _, seen = play(
        btcpay.look_up_refund(PULL, now=9), answer("refund_errors", 30), httpx.Response(200, json=[claim])
    )

    assert refund_paid(kept(seen)) == Money(100, USD)
    assert refund_status(kept(seen)) is RefundStatus.WAITING_FOR_BUYER


def test_a_refund_valued_in_coins_completes_with_its_last_payout(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    pull_payment = answer("refund_full", 17)
    paid = answer("refund_full", 28).json()
    refund_id = pull_payment.json()["id"]
    _, seen = play(btcpay.look_up_refund(refund_id, now=9), pull_payment, httpx.Response(200, json=[paid]))

    assert seen.facts.asked == {Money(40_000, Asset("BTC", 8))}
    assert seen.facts.transactions == {paid["paymentProof"]["TransactionId"]}
    assert refund_status(kept(seen, Money(2000, USD))) is RefundStatus.COMPLETED


def test_an_archived_refund_keeps_what_was_known_of_its_payouts(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    claim = answer("refund_errors", 36).json()
    _, before = play(
        btcpay.look_up_refund(PULL, now=9), answer("refund_errors", 30), httpx.Response(200, json=[claim])
    )
    archived = answer("refund_errors", 30).json() | {"archived": True}
    later = {"Date": "Sun, 22 Nov 2026 21:04:00 GMT"}
    _, after = play(
        btcpay.look_up_refund(PULL, now=99),
        httpx.Response(200, json=archived),
        httpx.Response(200, json=[], headers=later),
    )

    facts = before.facts.join(after.facts)
    assert [payout.id for payout in facts.payouts] == [claim["id"]]
    assert refund_status(attrs.evolve(kept(after), facts=facts)) is RefundStatus.CANCELLED


def test_withdrawing_reads_the_claims_and_then_archives(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    claim = answer("refund_errors", 36).json()
    open_one, claims = answer("refund_errors", 30), httpx.Response(200, json=[claim])
    done = httpx.Response(200, headers={"Date": "Sun, 22 Nov 2026 21:04:00 GMT"})
    requests, seen = play(btcpay.withdraw_refund(PULL, now=9), open_one, claims, done)

    assert requests[-1].method == "DELETE"
    assert requests[-1].url.path.endswith(f"/pull-payments/{PULL}")
    assert "Authorization" in requests[-1].headers
    assert seen.facts.payouts[0].id == claim["id"]
    assert refund_status(kept(seen)) is RefundStatus.CANCELLED


def test_withdrawing_again_is_harmless(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    archived = httpx.Response(200, json=answer("refund_errors", 30).json() | {"archived": True})
    requests, seen = play(btcpay.withdraw_refund(PULL, now=9), archived, httpx.Response(200, json=[]))

    assert all(request.method == "GET" for request in requests)
    assert refund_status(kept(seen)) is RefundStatus.CANCELLED


def test_a_key_that_may_not_withdraw_is_told_which_right_it_lacks(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    forbidden = httpx.Response(403, json={"missingPermission": "btcpay.store.canarchivepullpayments"})
    with pytest.raises(Declined, match="canarchivepullpayments"):
        play(
            btcpay.withdraw_refund(PULL, now=9),
            answer("refund_errors", 30),
            httpx.Response(200, json=[]),
            forbidden,
        )


def test_the_claim_page_is_shown_at_the_public_address(
    settings: Settings, play: Play, answer: Answer
) -> None:
    provider = BTCPay(attrs.evolve(settings, public_url="https://pay.example"))
    _, seen = play(
        provider.look_up_refund(PULL, now=9), answer("refund_errors", 30), httpx.Response(200, json=[])
    )

    assert seen.facts.links == {f"https://pay.example/pull-payments/{PULL}"}


@pytest.mark.parametrize("seqs", [(16, 19, 21, 24, 27), (27, 24, 21, 19, 16)])
def test_recorded_payout_events_are_about_the_refund_that_the_invoice_names(
    btcpay: BTCPay, delivery: Callable[[str, int], Delivery], seqs: tuple[int, ...]
) -> None:
    seen = [s for seq in seqs for s in btcpay.read_webhook(delivery("refund_full", seq)).seen]
    payouts = [s for s in seen if isinstance(s, RefundObservation)]
    named = [s for s in seen if not isinstance(s, RefundObservation)]

    assert {s.refund_id for s in payouts} == named[0].facts.refunds
    facts = payouts[0].facts
    for other in payouts[1:]:
        facts = facts.join(other.facts)
    assert [payout.now for payout in facts.payouts] == [PayoutStage.PAID]
