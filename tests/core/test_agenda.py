from typing import Final

import attrs
import pytest

from bursar.agenda import Errand, Task, tasks, wake_at
from bursar.facts import Facts, Flag, Said, Stage, Transfer, Word, polled_facts
from bursar.habits import Habits, Retries
from bursar.money import Asset, Money
from bursar.orders import Dossier, Order, Payment, Terms
from bursar.policy import LateMoney, Policy, Surplus
from bursar.refunds import Payout, PayoutStage, Refund, RefundFacts, RefundOrigin, RefundWord, Sending
from bursar.remedies import wanted_refunds

EUR, BTC = Asset("EUR", 2), Asset("BTC", 8)
DUE: Final = Money(1000, EUR)
HABITS: Final = Habits(
    retries=Retries.NEVER,
    clock_lag=2,
    totals=True,
    poll_gaps=(60, 300),
    expiry_grace=50,
    late_for=10_000,
    late_gap=1_000,
)
MINE: Final = {"main": HABITS}
REVIEW: Final = Policy()


def word(what: Word, at: int = 10) -> Facts:
    return Facts(verdict=Said.once(what, at))


def poll(what: Word, at: int, minor: int) -> Facts:
    said = Said.once(what, at)
    return Facts(verdict=said, polled=said, credited=Said.once(Money(minor, EUR), at))


def order(*facts: Facts, policy: Policy = REVIEW, **more: object) -> Dossier:
    terms = Terms(DUE, DUE, expires_at=1_000, policy=policy)
    known = Facts()
    for each in facts:
        known = known.join(each)
    payment = Payment(1, terms, known, account="main", payment_id="p1", created_at=100)
    return Dossier(Order("key", "order-1", DUE), (attrs.evolve(payment, **more),))  # type: ignore[arg-type]


def due(dossier: Dossier, errand: Errand = Errand.POLL_PAYMENT) -> int | None:
    return min((task.due_at for task in tasks(dossier, MINE) if task.errand is errand), default=None)


@pytest.mark.parametrize(
    ("polls", "polled_at", "expected"), [(0, 0, 160), (0, 200, 260), (1, 200, 500), (9, 200, 500)]
)
def test_an_open_payment_is_asked_about_with_growing_gaps(polls: int, polled_at: int, expected: int) -> None:
    assert due(order(word(Word.NEW), polls=polls, polled_at=polled_at)) == expected


def test_it_is_asked_about_just_after_its_window_and_after_the_services_grace() -> None:
    assert due(order(word(Word.NEW), polls=9, polled_at=900)) == 1_002
    assert due(order(word(Word.NEW), polls=9, polled_at=1_002)) == 1_051
    assert due(order(word(Word.NEW), polls=9, polled_at=1_051)) == 1_351


def test_a_closed_payment_is_looked_at_for_late_money_and_then_left() -> None:
    gone = polled_facts(poll(Word.EXPIRED, 1_001, 0))

    assert due(order(gone, polled_at=1_100)) == 2_100
    assert due(order(gone, polled_at=10_000)) == 11_000
    assert due(order(gone, polled_at=10_001)) is None


def test_a_payment_that_is_final_is_left_alone() -> None:
    assert wake_at(order(polled_facts(poll(Word.SETTLED, 20, 1_000)), polled_at=30), MINE) is None


def test_one_that_counts_only_because_it_was_seen_is_followed_to_its_end() -> None:
    trusting = Policy(seen_enough_below=Money(5_000, EUR))
    seen = polled_facts(poll(Word.PROCESSING, 20, 1_000))

    assert due(order(seen, policy=trusting, polled_at=3_000)) == 3_060
    assert due(order(seen, policy=REVIEW, polled_at=3_000)) == 3_060


def test_a_doubt_is_asked_about_soon_and_ever_less_often_while_it_stays() -> None:
    tie = [word(Word.SETTLED), word(Word.INVALID)]

    assert due(order(*tie, polled_at=500)) == 503
    assert due(order(*tie, polled_at=500, polls=10)) == 513
    assert due(order(*tie, polled_at=500, polls=10_000)) == 800


def test_a_payment_of_unknown_outcome_is_recovered_once_and_then_listed() -> None:
    lost = order(payment_id=None, sending=Sending.SENT, sent_at=100)

    assert tasks(lost, MINE) == (Task(Errand.RECOVER_PAYMENT, 1, 145),)
    assert not tasks(lost.with_payment(attrs.evolve(lost.payment(1), problem="nobody can say")), MINE)
    assert not tasks(lost.with_payment(attrs.evolve(lost.payment(1), sending=Sending.REFUSED)), MINE)


def test_an_account_that_is_not_configured_owes_nothing() -> None:
    assert tasks(order(word(Word.NEW)), {}) == ()


def test_a_refund_that_the_provider_names_and_we_do_not_know_is_looked_up() -> None:
    dossier = order(
        polled_facts(poll(Word.SETTLED, 20, 1_000)), Facts(refunds=frozenset({"r1"})), polled_at=30
    )
    known = Refund(1, 1, DUE, DUE, "op", sending=Sending.DONE, refund_id="r1")

    assert due(dossier, Errand.ADOPT_REFUND) == 30
    assert due(dossier.with_refund(known), Errand.ADOPT_REFUND) is None


@pytest.mark.parametrize(
    ("refund", "expected"),
    [
        ({}, (Errand.SEND_REFUND, 40)),
        ({"manual": True}, None),
        ({"sending": Sending.SENT, "sent_at": 50}, (Errand.RECOVER_REFUND, 95)),
        ({"sending": Sending.SENT, "sent_at": 50, "problem": "nobody can say"}, None),
        ({"sending": Sending.REFUSED}, None),
        ({"sending": Sending.DONE, "refund_id": "r1"}, (Errand.POLL_REFUND, 100)),
        (
            {"sending": Sending.DONE, "refund_id": "r1", "facts": RefundFacts(polled_at=640)},
            (Errand.POLL_REFUND, 4_240),
        ),
        (
            {"sending": Sending.DONE, "refund_id": "r1", "facts": RefundFacts(Said.once(RefundWord.DONE, 1))},
            None,
        ),
    ],
)
def test_a_refund_owes_its_next_step_and_nothing_once_it_ended(
    refund: dict[str, object], expected: tuple[Errand, int] | None
) -> None:
    dossier = order(polled_facts(poll(Word.SETTLED, 20, 1_000)), polled_at=30)
    kept = attrs.evolve(Refund(1, 1, DUE, DUE, "op", created_at=40), **refund)  # type: ignore[arg-type]

    found = tasks(dossier.with_refund(kept), MINE)

    assert [(task.errand, task.due_at) for task in found] == ([] if expected is None else [expected])


def test_a_payout_without_an_amount_is_asked_about_soon() -> None:
    facts = RefundFacts(payouts=(Payout("x", None, Said.once(PayoutStage.CLAIMED, 1)),))
    kept = Refund(1, 1, DUE, DUE, "op", created_at=40, sending=Sending.DONE, refund_id="r1", facts=facts)
    dossier = order(polled_facts(poll(Word.SETTLED, 20, 1_000)), polled_at=30)

    assert due(dossier.with_refund(kept), Errand.POLL_REFUND) == 43


# What the policy sends back by itself

BACK: Final = Policy(surplus=Surplus.REFUND, late=LateMoney.REFUND, seen_enough_below=Money(5_000, EUR))


def test_a_surplus_goes_back_once_it_is_final_and_no_doubt_is_left() -> None:
    settled = order(polled_facts(poll(Word.SETTLED, 20, 1_500)), policy=BACK, polled_at=30)
    doubted = order(polled_facts(poll(Word.SETTLED, 20, 1_500)), word(Word.INVALID, 21), policy=BACK)
    newer = order(polled_facts(poll(Word.SETTLED, 20, 1_500)), word(Word.SETTLED, 30), policy=BACK)
    seen_only = order(polled_facts(poll(Word.PROCESSING, 20, 1_500)), policy=BACK)

    assert [(w.amount, w.reason) for w in wanted_refunds(settled)] == [(Money(500, EUR), "surplus")]
    assert due(settled, Errand.REQUEST_REFUND) == 0
    for dossier in (doubted, newer, seen_only):
        assert due(dossier, Errand.REQUEST_REFUND) is None


def test_late_money_goes_back_whole_and_only_when_it_is_final() -> None:
    def late(stage: Stage) -> Dossier:
        coin = Transfer("a", DUE, Said.once(stage, 1_300), paid_at=1_299)
        return order(word(Word.LATE, 1_300), Facts(transfers=(coin,)), policy=BACK)

    assert [w.amount for w in wanted_refunds(late(Stage.CONFIRMED))] == [DUE]
    assert not wanted_refunds(late(Stage.SEEN))


def test_a_refund_by_policy_is_wanted_once_and_given_up_when_it_failed() -> None:
    dossier = order(polled_facts(poll(Word.SETTLED, 20, 1_500)), policy=BACK)
    (wanted,) = wanted_refunds(dossier)
    (again,) = wanted_refunds(dossier)
    kept = Refund(1, 1, wanted.amount, wanted.amount, wanted.operation)
    from_policy = attrs.evolve(kept, origin=RefundOrigin.POLICY)
    failed = attrs.evolve(from_policy, sending=Sending.REFUSED)

    assert wanted == again
    assert not wanted_refunds(dossier.with_refund(from_policy))
    assert not wanted_refunds(dossier.with_refund(failed))


def test_a_mark_by_hand_without_money_sends_nothing_back() -> None:
    marked = order(word(Word.SETTLED), Facts(flags=frozenset({Flag.BY_HAND, Flag.OVERPAID})), policy=BACK)

    assert not wanted_refunds(marked)
