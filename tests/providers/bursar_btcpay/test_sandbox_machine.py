"""Whatever is done to it in whatever order, the sandbox's invoice stays possible and its money adds up."""

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bursar.errors import Refused
from bursar_btcpay.sandbox import BTCPaySandbox
from bursar_btcpay.sandbox.invoices import LEGAL, Extra, Status
from bursar_btcpay.sandbox.permissions import KNOWN
from bursar_btcpay.sandbox.transport import AppTransport

SERVER = "https://btcpay.example"
SHARES = st.sampled_from([Decimal("0.1"), Decimal("0.4"), Decimal("0.6"), Decimal(1), Decimal("1.5")])
# What the pages and the wording of the API promise for each state.
MARKABLE = {
    "New": ["Settled", "Invalid"],
    "Processing": ["Settled", "Invalid"],
    "Expired": ["Settled", "Invalid"],
    "Invalid": ["Settled"],
}
# Which event may be the last of those that say a state, for each state that an invoice can have.
TOLD: dict[str, set[str | None]] = {
    "New": {None, "InvoiceProcessing"},
    "Processing": {"InvoiceProcessing"},
    "Settled": {"InvoiceSettled"},
    "Expired": {"InvoiceExpired", "InvoiceExpiredPaidPartial", "InvoicePaidAfterExpiration"},
    "Invalid": {"InvoiceInvalid"},
}


class Life(RuleBasedStateMachine):
    """Live one invoice, with a ledger of its own beside it."""

    @initialize(
        amount=st.sampled_from(["20.00", None]),
        checkout=st.fixed_dictionaries(
            {
                "speedPolicy": st.sampled_from(["HighSpeed", "MediumSpeed", "LowSpeed"]),
                "paymentTolerance": st.sampled_from([0, 5]),
                "monitoringMinutes": st.sampled_from([0, 1, 60]),
                "expirationMinutes": st.just(5),
            }
        ),
    )
    def open(self, amount: str | None, checkout: dict[str, Any]) -> None:
        self.now = 1_790_000_000.0
        self.sandbox = BTCPaySandbox(clock=lambda: self.now, url=SERVER)
        self.sandbox.account(webhook_url="https://shop.example/hooks")
        key = self.sandbox.make_key("all", sorted(KNOWN))
        base = f"{SERVER}/api/v1/stores/{self.sandbox.store_id}"
        headers = {"Authorization": f"token {key}"}
        self.http = httpx.Client(transport=AppTransport(self.sandbox.app), base_url=base, headers=headers)
        body = {"amount": amount, "currency": "EUR", "checkout": checkout}
        self.id: str = self.http.post("/invoices", json=body).json()["id"]
        self.ledger: dict[str, Decimal] = {}
        self.unconfirmed: list[str] = []
        self.lost: set[str] = set()
        self.events: list[dict[str, Any]] = []

    def sent(self, payment: str) -> None:
        found = next(p for p in self.payments(everything=True) if p["id"] == payment)
        self.ledger[payment] = Decimal(found["value"])
        if found["status"] == "Processing":
            self.unconfirmed.append(payment)

    def payments(self, *, everything: bool) -> list[dict[str, Any]]:
        query = "?onlyAccountedPayments=false" if everything else ""
        methods = self.http.get(f"/invoices/{self.id}/payment-methods{query}").json()
        payments: list[dict[str, Any]] = methods[0]["payments"]
        return payments

    @rule(share=SHARES, replaceable=st.booleans())
    def pay(self, share: Decimal, replaceable: bool) -> None:
        self.sent(self.sandbox.pay(self.id, share=share, replaceable=replaceable))

    @precondition(lambda self: self.unconfirmed)
    @rule(lower=st.booleans())
    def replace(self, lower: bool) -> None:
        old = self.unconfirmed.pop()
        self.lost.add(old)
        amount = Decimal("0.00000700") if lower else None
        self.sent(self.sandbox.replace(self.id, amount=amount))

    @rule()
    def confirm(self) -> None:
        self.sandbox.confirm(self.id)
        self.unconfirmed.clear()

    @rule()
    def double_spend(self) -> None:
        self.sandbox.double_spend(self.id)
        self.lost |= set(self.unconfirmed)
        self.unconfirmed.clear()

    @rule(status=st.sampled_from(["Settled", "Invalid"]))
    def mark(self, status: str) -> None:
        allowed = self.read()["availableStatusesForManualMarking"]
        if status in allowed:
            self.sandbox.mark(self.id, status)
        else:
            with pytest.raises(Refused):
                self.sandbox.mark(self.id, status)

    @rule(seconds=st.sampled_from([1, 59, 299, 301, 4000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.sandbox.tick()

    @rule()
    def expire(self) -> None:
        self.sandbox.expire(self.id)

    @rule()
    def end_monitoring(self) -> None:
        self.sandbox.end_monitoring(self.id)

    @rule(archived=st.booleans())
    def archive(self, archived: bool) -> None:
        self.http.request(
            "DELETE" if archived else "POST", f"/invoices/{self.id}" + ("" if archived else "/unarchive")
        )

    def read(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/invoices/{self.id}").json()
        return answer

    def deliver(self) -> None:
        while batch := self.sandbox.due():
            for outgoing in batch:
                self.events.append(json.loads(outgoing.body))
                self.sandbox.answered(outgoing, 200)

    @invariant()
    def the_state_is_possible(self) -> None:
        invoice = self.read()
        assert (Status(invoice["status"]), Extra(invoice["additionalStatus"])) in LEGAL
        marked = ["Invalid"] if invoice["additionalStatus"] == "Marked" else []
        expected = MARKABLE.get(invoice["status"], marked)
        assert invoice["availableStatusesForManualMarking"] == expected

    @invariant()
    def no_money_appears_or_is_lost(self) -> None:
        counted = {payment["id"]: Decimal(payment["value"]) for payment in self.payments(everything=False)}
        assert counted == {id: value for id, value in self.ledger.items() if id not in self.lost}
        method = self.http.get(f"/invoices/{self.id}/payment-methods").json()[0]
        assert Decimal(method["totalPaid"]) == sum(counted.values(), Decimal(0))
        assert Decimal(method["due"]) == Decimal(method["amount"]) - Decimal(method["totalPaid"])

    @invariant()
    def the_events_tell_what_happened(self) -> None:
        self.deliver()
        kinds = [event["type"] for event in self.events]
        received = [e["payment"]["id"] for e in self.events if e["type"] == "InvoiceReceivedPayment"]
        settled = [e["payment"]["id"] for e in self.events if e["type"] == "InvoicePaymentSettled"]
        assert kinds[0] == "InvoiceCreated"
        assert received == list(self.ledger)
        assert len(settled) == len(set(settled))
        done = {p["id"] for p in self.payments(everything=True) if p["status"] == "Settled"}
        assert set(settled) == done
        telling = {kind for kinds in TOLD.values() for kind in kinds}
        states = [kind for kind in kinds if kind in telling]
        assert (states[-1] if states else None) in TOLD[self.read()["status"]]
        times = [event["timestamp"] for event in self.events]
        assert all(type(time) is int and time <= self.now for time in times)


class TestLife(Life.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


@pytest.mark.slow
class TestLongLife(Life.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
