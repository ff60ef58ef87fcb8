import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bursar.errors import BadInput
from bursar_coinpay.sandbox import CoinPaySandbox

URL = "http://coinpay.test"
Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("worker", "confirmed", "members"),
    [
        (
            "A",
            ["payment.confirmed"],
            {
                *("payment_id", "status", "amount", "amount_crypto", "amount_usd", "currency"),
                *("payment_address", "received_amount", "confirmed_at", "metadata"),
            },
        ),
        (
            "B",
            ["payment.confirmed"],
            {
                *("payment_id", "status", "blockchain", "amount_crypto", "payment_address"),
                *("received_amount", "confirmed_at"),
            },
        ),
        (
            "C",
            ["payment.confirmed"],
            {
                *("payment_id", "status", "blockchain", "amount_crypto", "payment_address"),
                *("received_amount", "confirmed_at"),
            },
        ),
        ("D", [], set[str]()),
    ],
)
def test_what_is_told_depends_on_the_worker_and_the_payout_is_always_told(
    bench: Make, worker: str, confirmed: list[str], members: set[str]
) -> None:
    at = bench(worker=worker)
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)

    bodies = [json.loads(outgoing.body) for outgoing in at.sandbox.due()]
    told = at.told()
    at.after(120)
    told += at.told()

    assert told == [*confirmed, "payment.forwarded"]
    if bodies and worker != "D":
        assert set(bodies[0]["data"]) == members
        assert list(bodies[0]) == ["id", "type", "data", "created_at", "business_id"]
    assert at.status(payment_id) == "forwarded"


@pytest.mark.parametrize(
    ("worker", "told"), [("B", ["payment.expired"]), ("C", ["payment.expired"]), ("D", [])]
)
def test_a_window_ends_when_the_worker_passes_by(bench: Make, worker: str, told: list[str]) -> None:
    at = bench(worker=worker)
    payment_id = at.create()
    wakes_at = at.sandbox.wakes_at()
    assert wakes_at is not None
    at.after(wakes_at - at.clock.now)

    assert at.told() == told
    assert at.status(payment_id) == "expired"


@pytest.mark.parametrize(("worker", "status"), [("B", "confirmed"), ("C", "expired")])
def test_one_worker_ends_a_window_without_looking_at_the_money_that_is_there(
    bench: Make, worker: str, status: str
) -> None:
    at = bench(worker=worker)
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.row(payment_id).sent[0].state = "confirmed"
    at.after(901)
    at.sandbox.tick()

    assert at.told()[0] == f"payment.{status}"


def test_late_money_is_found_half_an_hour_after_the_window_and_told_again(bench: Make) -> None:
    at = bench(worker="B")
    payment_id = at.create()
    at.after(901)
    assert at.told() == ["payment.expired"]
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    assert at.status(payment_id) == "expired"

    at.after(1799)
    assert at.told()[:1] == ["payment.confirmed"]
    at.after(120)
    at.told()
    assert at.status(payment_id) == "forwarded"


def test_money_that_comes_after_thirty_days_is_not_looked_for(bench: Make) -> None:
    at = bench(worker="D")
    payment_id = at.create()
    at.after(900 + 30 * 86_400 + 61)
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.after(3600)

    assert at.status(payment_id) == "expired"


def test_a_payout_that_fails_is_tried_again_and_told_of_only_at_the_end(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.sandbox.fail_payout(payment_id, times=2)
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)

    assert at.status(payment_id) == "forwarding_failed"
    assert at.told() == ["payment.confirmed"]
    at.after(60)
    assert at.status(payment_id) == "forwarding"
    at.after(2)
    assert at.status(payment_id) == "forwarding_failed"
    at.after(122)
    at.sandbox.tick()
    at.after(2)
    assert at.told() == ["payment.forwarded"]


def test_double_spent_money_was_never_there(bench: Make) -> None:
    at = bench(worker="B")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.double_spend(payment_id)
    at.sandbox.confirm(payment_id)

    assert at.status(payment_id) == "pending"
    assert at.told() == []


def test_a_payer_who_rounds_down_is_never_confirmed(bench: Make) -> None:
    at = bench(worker="B")
    payment_id = at.create(amount=49.99)
    row = at.sandbox.row(payment_id)
    assert str(row.asked) == "50.005001"
    at.sandbox.machine.send(row, Decimal("50.005"))
    at.sandbox.confirm(payment_id)

    assert at.status(payment_id) == "pending"


def test_a_card_may_fail_and_be_paid_later_and_only_the_notice_tells_of_the_failure(bench: Make) -> None:
    at = bench(worker="D")
    answer = at.post("/payments/create", {"amount": 50, "blockchain": "BTC", "payment_method": "both"}).json()
    payment = answer["payment"]
    assert payment["stripe_checkout_url"].startswith(f"{URL}/card/cs_test_")
    at.sandbox.decline_card(payment["id"])

    assert at.told() == ["payment.failed"]
    assert at.status(payment["id"]) == "pending"
    at.sandbox.pay_card(payment["id"])
    assert at.told() == ["payment.confirmed"]
    assert at.status(payment["id"]) == "confirmed"


def test_a_card_alone_has_no_address(bench: Make) -> None:
    at = bench(worker="B")
    payment_id = at.create(payment_method="card")

    assert at.post(f"/payments/{payment_id}/check-balance").json() == {
        "success": False,
        "error": "Payment has no address to check",
    }
    assert at.get(f"/payments/{payment_id}/qr").status_code == 400
    with pytest.raises(BadInput):
        at.sandbox.pay(payment_id)


class Life(RuleBasedStateMachine):
    """Play any story: statuses stay those of the service, money is conserved, and a payout is told once and for good."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_785_239_999.0
        self.sandbox = CoinPaySandbox(clock=lambda: self.now, url=URL, seed=3)
        self.sandbox.account(webhook_url="https://shop.test/hook")
        self.told: list[tuple[str, str]] = []

    def _one(self, index: int) -> str:
        ids = self.sandbox.payments()
        return ids[index % len(ids)]

    @rule(code=st.sampled_from(["BTC", "BCH", "USDC_POL", "ETH"]), method=st.sampled_from(["crypto", "both"]))
    def open(self, code: str, method: str) -> None:
        row = self.sandbox.machine.open(
            amount=Decimal("9.99"), code=code, method=method, metadata={}, key="", now=self.now
        )
        if method == "both":
            self.sandbox.machine.open_card(row, success_url="", cancel_url="")

    @precondition(lambda self: self.sandbox.payments())
    @rule(index=st.integers(0, 9), share=st.sampled_from(["0.3", "0.7", "1", "1.5"]))
    def pay(self, index: int, share: str) -> None:
        self.sandbox.pay(self._one(index), share=Decimal(share))

    @precondition(lambda self: self.sandbox.payments())
    @rule(
        index=st.integers(0, 9),
        verb=st.sampled_from(
            ["confirm", "double_spend", "expire", "pay_card", "decline_card", "fail_payout"]
        ),
    )
    def act(self, index: int, verb: str) -> None:
        getattr(self.sandbox, verb)(self._one(index))

    @rule(seconds=st.sampled_from([1, 30, 61, 901, 1801, 90_000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(status=st.sampled_from([200, 200, 500, None]))
    def deliver(self, status: int | None) -> None:
        for outgoing in self.sandbox.due():
            self.sandbox.answered(outgoing, status)
            if status == 200:
                self.told.append((outgoing.payment_id, outgoing.event))

    @invariant()
    def legal(self) -> None:
        for row in self.sandbox.machine.rows.values():
            assert row.status in (
                *("pending", "confirmed", "forwarding", "forwarded"),
                *("forwarding_failed", "expired"),
            )
            assert 0 <= row.swept <= row.total("confirmed", "unconfirmed", "gone")
            assert (row.status == "forwarded") <= (row.forward_tx is not None)

    @invariant()
    def a_payout_is_told_once(self) -> None:
        paid_out = [payment for payment, event in self.told if event == "payment.forwarded"]
        assert len(paid_out) == len(set(paid_out))


TestLife = Life.TestCase
TestLife.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
