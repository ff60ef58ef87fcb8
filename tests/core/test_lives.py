"""A whole life of an order, drawn by chance: payments, polls, refunds and people, in any mixture."""

from typing import Any, Final

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bursar import changes
from bursar.agenda import Errand, Task, tasks
from bursar.errors import BadInput, Refused
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.habits import Habits, Retries
from bursar.lifecycle import OrderStatus, Reason, order_state, standings
from bursar.money import Asset, Money
from bursar.orders import Act, ActKind, Checkout, Dossier, Opened, Order, Terms
from bursar.policy import LateMoney, Policy, Surplus
from bursar.refunds import (
    Payout,
    PayoutStage,
    RefundFacts,
    RefundObservation,
    RefundStatus,
    RefundWord,
    Sending,
    refund_paid,
    refund_status,
    refund_under_way,
)
from bursar.standing import PaymentStatus

EUR, BTC = Asset("EUR", 2), Asset("BTC", 8)
DUE: Final = Money(1000, EUR)
NOTHING: Final = Money.zero(EUR)
HABITS: Final = Habits(retries=Retries.ANY_FAILURE, clock_lag=2, totals=True, late_for=1000, late_gap=100)
ENDED: Final = (RefundStatus.COMPLETED, RefundStatus.CANCELLED)
POLICIES: Final = [
    Policy(),
    Policy(seen_enough_below=Money(5000, EUR), tolerance=Money(10, EUR), late=LateMoney.ACCEPT),
    Policy(late=LateMoney.REFUND, surplus=Surplus.REFUND),
]


class Life(RuleBasedStateMachine):
    """Let anything happen to an order, and hold the kernel to what it promises at every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1
        self.dossier = Dossier(Order("key", "order-1", DUE))
        self.policy = Policy()
        self.said: list[tuple[str, Facts]] = []
        self.last_by_person = 0

    @initialize(policy=st.sampled_from(POLICIES))
    def choose_policy(self, policy: Policy) -> None:
        self.policy = policy

    def change(self, change: Any, *args: Any, **more: Any) -> None:
        try:
            self.dossier = change(self.dossier, *args, **more)
        except (Refused, BadInput):
            return

    # Payments

    @rule()
    def start_a_payment(self) -> None:
        terms = Terms(DUE, DUE, asks=(Money(20_000, BTC),), policy=self.policy)
        attempt = f"attempt-{len(self.dossier.payments)}"
        self.change(changes.payment_intended, account="main", attempt=attempt, terms=terms, at=self.now)

    def payment(self, data: st.DataObject) -> int:
        return data.draw(st.integers(1, len(self.dossier.payments)), label="payment")

    @precondition(lambda self: self.dossier.payments)
    @rule(
        data=st.data(), outcome=st.sampled_from(["opened", "opened", "opened", "refused", "unknown", "twin"])
    )
    def hear_how_opening_went(self, data: st.DataObject, outcome: str) -> None:
        number = self.payment(data)
        if outcome == "refused":
            self.change(changes.payment_refused, number, "no")
        elif outcome == "unknown":
            self.change(changes.payment_unknown, number, "nobody can say")
        else:
            payment_id = f"p{number}" if outcome == "opened" else f"p{number}-twin"
            opened = Opened(payment_id, DUE, Checkout(), (Money(20_000, BTC),), expires_at=100)
            self.change(changes.payment_opened, number, opened)

    @precondition(lambda self: any(p.payment_id for p in self.dossier.payments))
    @rule(
        data=st.data(),
        word=st.none() | st.sampled_from(Word),
        stage=st.none() | st.sampled_from(Stage),
        share=st.sampled_from([40, 60, 100, 150]),
        total=st.none() | st.sampled_from([0, 400, 1000, 1500]),
        flag=st.none() | st.sampled_from([Flag.BY_HAND, Flag.OVERPAID, Flag.GONE]),
        back=st.integers(0, 30),
        poll=st.booleans(),
    )
    def hear_of_a_payment(
        self,
        data: st.DataObject,
        word: Word | None,
        stage: Stage | None,
        share: int,
        total: int | None,
        flag: Flag | None,
        back: int,
        poll: bool,
    ) -> None:
        payment = data.draw(st.sampled_from([p for p in self.dossier.payments if p.payment_id]))
        at = max(1, self.now - back)
        said = None if word is None else Said.once(word, at)
        moved = Transfer(
            data.draw(st.sampled_from("ab")), Money(200 * share, BTC), Said.once(stage or Stage.SEEN, at), at
        )
        facts = Facts(
            verdict=said,
            polled=said if poll else None,
            transfers=() if stage is None else (moved,),
            credited=None if total is None else Said.once(Money(total, EUR), at),
            flags=frozenset() if flag is None else frozenset({flag}),
        )
        assert payment.payment_id
        seen = Observation(payment.payment_id, facts)
        self.said.append((payment.payment_id, facts))
        if poll:
            self.change(changes.polled, payment.number, seen, at=self.now, habits=HABITS)
        else:
            self.change(changes.observed, "main", seen)

    # People

    @rule(kind=st.sampled_from(ActKind), data=st.data())
    def let_a_person_act(self, kind: ActKind, data: st.DataObject) -> None:
        reviews = order_state(self.dossier).reviews
        subject = (
            data.draw(st.sampled_from([r.key for r in reviews]))
            if reviews and kind is ActKind.RESOLVE
            else ""
        )
        self.change(changes.acted, Act(kind, self.now, who="m", subject=subject))

    # Refunds

    @precondition(lambda self: self.dossier.payments)
    @rule(data=st.data(), minor=st.sampled_from([1, 399, 400, 1000, 1500]), manual=st.booleans())
    def ask_for_a_refund(self, data: st.DataObject, minor: int, manual: bool) -> None:
        before = order_state(self.dossier)
        operation = f"op-{len(self.dossier.refunds)}"
        number = self.payment(data)
        amount = Money(minor, EUR)
        self.change(
            changes.refund_requested,
            payment=number,
            amount=amount,
            operation=operation,
            at=self.now,
            manual=manual,
        )
        after = order_state(self.dossier)
        if after.under_way != before.under_way:
            assert after.refunded + after.under_way <= after.received

    @precondition(lambda self: self.dossier.refunds)
    @rule(
        data=st.data(),
        what=st.sampled_from(["sent", "unsent", "made", "refused", "unknown", "recorded", "withdrawn"]),
    )
    def hear_of_sending_a_refund(self, data: st.DataObject, what: str) -> None:
        number = data.draw(st.sampled_from([r.number for r in self.dossier.refunds]))
        match what:
            case "sent":
                self.change(changes.refund_sent, number, at=self.now)
            case "unsent":
                self.change(changes.refund_unsent, number)
            case "made":
                self.change(changes.refund_made, number, RefundObservation(f"r{number}", RefundFacts()))
            case "refused":
                self.change(changes.refund_refused, number, "no")
            case "unknown":
                self.change(changes.refund_unknown, number, "nobody can say")
            case "recorded":
                self.change(changes.refund_recorded, number, transaction="tx", at=self.now)
            case _:
                self.change(changes.refund_withdrawn, number, at=self.now)

    @precondition(lambda self: any(r.refund_id for r in self.dossier.refunds))
    @rule(data=st.data(), stage=st.sampled_from(PayoutStage), part=st.sampled_from([1, 2]))
    def hear_of_a_payout(self, data: st.DataObject, stage: PayoutStage, part: int) -> None:
        refund = data.draw(st.sampled_from([r for r in self.dossier.refunds if r.refund_id]))
        amount = Money(refund.billed.minor // part, EUR)
        payout = Payout(data.draw(st.sampled_from("xy")), amount, Said.once(stage, self.now))
        assert refund.refund_id
        self.change(
            changes.observed, "main", RefundObservation(refund.refund_id, RefundFacts(payouts=(payout,)))
        )

    @precondition(lambda self: any(p.payment_id for p in self.dossier.payments))
    @rule(minor=st.sampled_from([100, 1000]), name=st.sampled_from(["f1", "f2"]))
    def find_a_refund_made_by_hand(self, minor: int, name: str) -> None:
        number = next(p.number for p in self.dossier.payments if p.payment_id)
        facts = RefundFacts(
            verdict=Said.once(RefundWord.OPEN, self.now), asked=frozenset({Money(minor, EUR)})
        )
        self.change(changes.refund_adopted, number, RefundObservation(name, facts), at=self.now)

    @rule(seconds=st.sampled_from([0, 1, 50, 500]))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds

    # Promises

    @invariant()
    def the_money_adds_up(self) -> None:
        state = order_state(self.dossier)
        assert state.received == state.credited + state.surplus - state.shortfall
        assert min(state.credited, state.surplus, state.shortfall, state.refunded, state.under_way) >= NOTHING

    @invariant()
    def what_was_confirmed_and_never_taken_back_is_still_there(self) -> None:
        """Judge by what was said alone: a confirmation, and no word, total or transfer of the provider since against it."""
        for payment, standing in zip(self.dossier.payments, standings(self.dossier), strict=True):
            said = [facts for payment_id, facts in self.said if payment_id == payment.payment_id]
            moves = [t for facts in said for t in facts.transfers]
            back = {t.id for t in moves if Stage.INVALID in t.stage.now}
            sure = {t.id: t.amount for t in moves if Stage.CONFIRMED in t.stage.now and t.id not in back}
            totals = [facts.credited for facts in said if facts.credited]
            if sure and not totals:
                assert standing.money_seen
                assert standing.received.minor >= max(amount.minor for amount in sure.values()) // 20

    @invariant()
    def money_that_nothing_pays_for_has_somebody_to_look_at_it(self) -> None:
        state = order_state(self.dossier)
        resolved = {act.subject for act in self.dossier.acts if act.kind is ActKind.RESOLVE}
        held = state.received - state.refunded - state.under_way
        closed = (
            OrderStatus.AWAITING_PAYMENT,
            OrderStatus.EXPIRED,
            OrderStatus.FAILED,
            OrderStatus.CANCELLED,
        )
        waits = any(
            s.status in (PaymentStatus.PARTIAL, PaymentStatus.PROCESSING) for s in standings(self.dossier)
        )
        if held > NOTHING and state.status in closed and not waits:
            assert state.reviews or resolved, state

    @invariant()
    def everything_that_was_begun_ends_or_is_due_or_is_listed(self) -> None:
        due = tasks(self.dossier, {"main": HABITS})
        listed = {
            (r.reason, r.payment)
            for r in order_state(attrs.evolve(self.dossier, acts=self.acts_but_resolve)).reviews
        }
        reviewed = {payment for _, payment in listed}
        for payment, s in zip(self.dossier.payments, standings(self.dossier), strict=True):
            mine = [task for task in due if task.number == payment.number and "payment" in task.errand.value]
            if payment.payment_id is None:
                over = payment.sending is Sending.REFUSED
                assert over or mine or (Reason.OUTCOME_UNKNOWN, payment.number) in listed
            elif not (s.status is PaymentStatus.SETTLED and s.final):
                out = [
                    refund_paid(r) + refund_under_way(r)
                    for r in self.dossier.refunds
                    if r.payment == s.number
                ]
                all_back = bool(s.received) and sum(out, NOTHING) >= s.received
                ended = s.status in (PaymentStatus.EXPIRED, PaymentStatus.FAILED) and not s.money_seen
                ended = ended or all_back
                assert mine or ended or payment.number in reviewed or s.counts, (s, due)
        for refund in self.dossier.refunds:
            its = [task for task in due if task.number == refund.number and "refund" in task.errand.value]
            status = refund_status(refund)
            if status is RefundStatus.FAILED:
                continue
            assert its or status in ENDED or refund.payment in reviewed, (status, refund)

    @property
    def acts_but_resolve(self) -> tuple[Act, ...]:
        return tuple(act for act in self.dossier.acts if act.kind is not ActKind.RESOLVE)

    @invariant()
    def nothing_is_sent_back_by_itself_before_it_is_final(self) -> None:
        wanted: list[Task] = [
            task for task in tasks(self.dossier, {"main": HABITS}) if task.errand is Errand.REQUEST_REFUND
        ]
        stands = {s.number: s for s in standings(self.dossier)}
        for task in wanted:
            assert stands[task.number].confirmed == stands[task.number].received


class ManyLives(Life):
    """The same, more often and for longer."""


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestManyLives = pytest.mark.slow(ManyLives.TestCase)
TestManyLives.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


REQUESTS: Final = st.lists(
    st.tuples(
        st.sampled_from(["request", "sent", "unsent", "made", "refused", "unknown", "paid", "withdrawn"]),
        st.integers(1, 4),
        st.sampled_from([100, 300, 500, 1000]),
    ),
    max_size=14,
)


@given(REQUESTS)
def test_refunds_asked_for_at_the_same_time_never_exceed_what_was_received(
    happenings: list[tuple[str, int, int]],
) -> None:
    facts = Facts(verdict=Said.once(Word.SETTLED, 1))
    terms = Terms(DUE, DUE)
    opened = Opened("p1", DUE, Checkout(), seen=Observation("p1", facts))
    dossier = changes.payment_adopted(
        Dossier(Order("key", "order-1", DUE)), account="main", terms=terms, opened=opened, at=1
    )
    for what, number, minor in happenings:
        try:
            match what:
                case "request":
                    dossier = changes.refund_requested(
                        dossier, payment=1, amount=Money(minor, EUR), operation=f"op-{number}-{minor}", at=1
                    )
                case "sent":
                    dossier = changes.refund_sent(dossier, number, at=2)
                case "unsent":
                    dossier = changes.refund_unsent(dossier, number)
                case "made":
                    dossier = changes.refund_made(
                        dossier, number, RefundObservation(f"r{number}", RefundFacts())
                    )
                case "refused":
                    dossier = changes.refund_refused(dossier, number, "no")
                case "unknown":
                    dossier = changes.refund_unknown(dossier, number, "nobody can say")
                case "paid":
                    done = RefundFacts(verdict=Said.once(RefundWord.DONE, 3))
                    dossier = changes.observed(dossier, "main", RefundObservation(f"r{number}", done))
                case _:
                    dossier = changes.refund_withdrawn(dossier, number, at=4)
        except (Refused, BadInput):
            continue
        out = sum((refund_paid(r) + refund_under_way(r) for r in dossier.refunds), NOTHING)
        state = order_state(dossier)
        assert out <= DUE
        assert state.refunded + state.under_way == out
        assert not {r.reason for r in state.reviews} & {Reason.OVER_REFUNDED}
