"""Random lives of an order: any number of payments and refunds, events late and repeated, people acting in between."""

from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bursar.changes import acted, observed, payment_intended, payment_opened
from bursar.errors import BadInput, Refused
from bursar.facts import Facts, Observation, Said, Stage, Transfer, Word
from bursar.lifecycle import order_state
from bursar.money import Money, fiat
from bursar.orders import Act, ActKind, Checkout, Dossier, Opened, Order, Terms
from bursar.refundchanges import refund_made, refund_recorded, refund_refused, refund_requested, refund_sent
from bursar.refunds import (
    Payout,
    PayoutStage,
    RefundFacts,
    RefundObservation,
    RefundStatus,
    RefundWord,
    refund_status,
)
from bursar.reviews import Reason

USD = fiat("USD")
DUE = Money(1000, USD)


@attrs.define
class Truth:
    """What really happened to one payment at its service."""

    id: str
    sent: dict[str, list[Any]] = attrs.field(factory=dict)
    closed: bool = False

    @property
    def total(self) -> int:
        return sum(amount for amount, stage in self.sent.values() if stage is not Stage.INVALID)

    @property
    def confirmed(self) -> int:
        return sum(amount for amount, stage in self.sent.values() if stage is Stage.CONFIRMED)

    @property
    def word(self) -> Word:
        if self.confirmed >= DUE.minor and not self.closed:
            return Word.SETTLED
        if self.total >= DUE.minor:
            return Word.LATE if self.closed else Word.PROCESSING
        if self.closed:
            return Word.UNDERPAID if self.total else Word.EXPIRED
        return Word.PARTIAL if self.total else Word.NEW


class Life(RuleBasedStateMachine):
    """Live one order: the service tells the truth, in its own time, and may tell it again at any later time."""

    def __init__(self) -> None:
        super().__init__()
        self.dossier = Dossier(Order("key", "1001", DUE))
        self.truths: list[Truth] = []
        self.told: list[Observation] = []
        self.now = 1_000
        self.fresh = True
        self.refund_bound_broken = False

    def tell(self, truth: Truth) -> None:
        """Let the service say how *truth* stands: an event and, with it, all transfers and the running total."""
        self.now += 10
        word = truth.word
        transfers = tuple(
            Transfer(name, Money(amount, USD), Said[Stage].once(stage, self.now), paid_at=self.now)
            for name, (amount, stage) in truth.sent.items()
        )
        said = Said[Word].once(word, self.now)
        facts = Facts(
            verdict=said,
            polled=said,
            transfers=transfers,
            credited=Said[Money].once(Money(truth.total, USD), self.now),
            billed=frozenset({DUE}),
        )
        self.told.append(Observation(truth.id, facts))
        self.dossier = observed(self.dossier, "main", self.told[-1])

    @rule()
    def open_payment(self) -> None:
        number = len(self.dossier.payments) + 1
        try:
            self.dossier = payment_intended(
                self.dossier, account="main", attempt=f"a{number}", terms=Terms(DUE, DUE), at=self.now
            )
        except Refused:
            return
        opened = Opened(f"p{number}", DUE, Checkout(), asks=(DUE,))
        self.dossier = payment_opened(self.dossier, number, opened)
        self.truths.append(Truth(f"p{number}"))
        self.tell(self.truths[-1])

    @precondition(lambda self: self.truths)
    @rule(which=st.integers(0, 5), amount=st.sampled_from([1, 333, 400, 600, 999, 1000, 1001, 1500]))
    def send_money(self, which: int, amount: int) -> None:
        truth = self.truths[which % len(self.truths)]
        truth.sent[f"t{self.now}"] = [amount, Stage.SEEN]
        self.tell(truth)

    @precondition(lambda self: self.truths)
    @rule(which=st.integers(0, 5))
    def confirm(self, which: int) -> None:
        truth = self.truths[which % len(self.truths)]
        for transfer in truth.sent.values():
            transfer[1] = Stage.CONFIRMED if transfer[1] is Stage.SEEN else transfer[1]
        self.tell(truth)

    @precondition(lambda self: self.truths)
    @rule(which=st.integers(0, 5))
    def double_spend(self, which: int) -> None:
        truth = self.truths[which % len(self.truths)]
        for transfer in truth.sent.values():
            transfer[1] = Stage.INVALID if transfer[1] is Stage.SEEN else transfer[1]
        self.tell(truth)

    @precondition(lambda self: self.truths)
    @rule(which=st.integers(0, 5))
    def close(self, which: int) -> None:
        truth = self.truths[which % len(self.truths)]
        truth.closed = truth.closed or truth.confirmed < DUE.minor
        self.tell(truth)

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 200))
    def tell_again(self, which: int) -> None:
        before = order_state(self.dossier)
        self.dossier = observed(self.dossier, "main", self.told[which % len(self.told)])
        assert order_state(self.dossier) == before

    @rule(kind=st.sampled_from([ActKind.CANCEL, ActKind.FULFIL, ActKind.ACCEPT]))
    def act(self, kind: ActKind) -> None:
        try:
            self.dossier = acted(self.dossier, Act(kind, self.now, "desk"))
        except Refused:
            return

    @precondition(lambda self: self.dossier.payments)
    @rule(which=st.integers(0, 5), amount=st.integers(1, 1600), manual=st.booleans())
    def ask_for_refund(self, which: int, amount: int, manual: bool) -> None:
        number = which % len(self.dossier.payments) + 1
        try:
            self.dossier = refund_requested(
                self.dossier,
                payment=number,
                amount=Money(amount, USD),
                operation=f"r{self.now}-{len(self.dossier.refunds)}",
                at=self.now,
                manual=manual,
            )
        except (Refused, BadInput):
            return
        state = order_state(self.dossier)
        assert state.refunded + state.under_way <= state.received

    @precondition(lambda self: self.dossier.refunds)
    @rule(which=st.integers(0, 8), end=st.sampled_from(["made", "refused", "lost"]))
    def send_refund(self, which: int, end: str) -> None:
        refund = self.dossier.refunds[which % len(self.dossier.refunds)]
        if refund_status(refund) is not RefundStatus.REQUESTED:
            return
        self.dossier = refund_sent(self.dossier, refund.number, at=self.now)
        if end == "made":
            opened = RefundFacts(verdict=Said[RefundWord].once(RefundWord.OPEN, self.now))
            seen = RefundObservation(f"pull-{refund.number}", opened)
            self.dossier = refund_made(self.dossier, refund.number, seen)
        elif end == "refused":
            self.dossier = refund_refused(self.dossier, refund.number, "no")

    @precondition(lambda self: self.dossier.refunds)
    @rule(which=st.integers(0, 8), share=st.sampled_from([1, 2, 3]), stage=st.sampled_from(list(PayoutStage)))
    def pay_out(self, which: int, share: int, stage: PayoutStage) -> None:
        refund = self.dossier.refunds[which % len(self.dossier.refunds)]
        if refund.manual and refund_status(refund) is RefundStatus.WAITING_FOR_PERSON:
            self.dossier = refund_recorded(self.dossier, refund.number, transaction="tx", at=self.now)
        elif refund.refund_id is not None:
            part = Money(refund.billed.minor // share or 1, USD)
            payout = Payout(f"o{share}", part, Said[PayoutStage].once(stage, self.now))
            seen = RefundObservation(refund.refund_id, RefundFacts(payouts=(payout,)))
            self.dossier = observed(self.dossier, "main", seen)

    @invariant()
    def the_money_adds_up_exactly(self) -> None:
        state = order_state(self.dossier)
        amounts = (
            state.received,
            state.credited,
            state.surplus,
            state.shortfall,
            state.refunded,
            state.under_way,
        )
        assert all(type(amount.minor) is int and amount.minor >= 0 for amount in amounts)
        assert state.received == state.credited + state.surplus - state.shortfall

    @invariant()
    def what_was_received_is_what_was_really_sent(self) -> None:
        assert order_state(self.dossier).received.minor == sum(truth.total for truth in self.truths)

    @invariant()
    def money_that_was_seen_is_never_forgotten(self) -> None:
        state = order_state(self.dossier)
        if any(truth.total for truth in self.truths):
            assert "money_seen" in state.flags

    @invariant()
    def no_more_goes_back_than_came_unless_a_person_is_told(self) -> None:
        state = order_state(self.dossier)
        told = Reason.OVER_REFUNDED in {review.reason for review in state.reviews}
        assert state.refunded + state.under_way <= state.received or told


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


class LongLife(Life):
    """The same, longer."""


TestLongLife = pytest.mark.slow(LongLife.TestCase)
TestLongLife.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
