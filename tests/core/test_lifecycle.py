from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.facts import Facts, Flag, Said, Stage, Transfer, Word
from bursar.lifecycle import OrderState, OrderStatus, Reason, Review, order_state, refundable, standings
from bursar.money import Asset, Money
from bursar.orders import Act, ActKind, Dossier, Order, Payment, Terms
from bursar.policy import LateMoney, Policy, Surplus
from bursar.refunds import Refund, RefundFacts, RefundOrigin, RefundWord, Sending
from bursar.testing import strategies

EUR = Asset("EUR", 2)
DUE: Final = Money(1000, EUR)
NOTHING: Final = Money.zero(EUR)
S, R = OrderStatus, Reason
SETTLED, INVALID, EXPIRED = Word.SETTLED, Word.INVALID, Word.EXPIRED
REVIEW: Final = Policy()


def said(*words: Word, total: int | None = None, flags: frozenset[Flag] = frozenset()) -> Facts:
    """Say *words* one after another, and a total with the last."""
    facts = Facts(flags=flags)
    for at, word in enumerate(words, start=1):
        facts = facts.join(Facts(verdict=Said.once(word, at)))
    credited = None if total is None else Said.once(Money(total, EUR), len(words))
    return facts.join(Facts(credited=credited))


def confirmed(minor: int, name: str = "a") -> Facts:
    return Facts(transfers=(Transfer(name, Money(minor, EUR), Said.once(Stage.CONFIRMED, 1), paid_at=1),))


def paid_by(*facts: Facts, policy: Policy = REVIEW, acts: tuple[ActKind, ...] = ()) -> Dossier:
    """Return an order with a payment of the whole for each of *facts*."""
    terms = Terms(DUE, DUE, expires_at=100, policy=policy)
    payments = (
        Payment(n, terms, each, account="main", payment_id=f"p{n}") for n, each in enumerate(facts, start=1)
    )
    done = tuple(Act(kind, at) for at, kind in enumerate(acts))
    return Dossier(Order("key", "order-1", DUE), tuple(payments), acts=done)


def refund(minor: int, word: RefundWord | None = None, *, number: int = 1, payment: int = 1) -> Refund:
    facts = RefundFacts() if word is None else RefundFacts(verdict=Said.once(word, 1))
    amount = Money(minor, EUR)
    return Refund(
        number, payment, amount, amount, f"op-{number}", sending=Sending.DONE, refund_id="r1", facts=facts
    )


def state(dossier: Dossier, *refunds: Refund) -> OrderState:
    return order_state(attrs.evolve(dossier, refunds=refunds))


def reasons(found: OrderState) -> list[tuple[Reason, int | None]]:
    return [(review.reason, review.payment) for review in found.reviews]


# Statuses


@pytest.mark.parametrize(
    ("dossier", "status"),
    [
        (paid_by(), S.AWAITING_PAYMENT),
        (paid_by(said(EXPIRED)), S.EXPIRED),
        (paid_by(said(EXPIRED), said()), S.AWAITING_PAYMENT),
        (paid_by(said(INVALID), said(EXPIRED)), S.EXPIRED),
        (paid_by(said(EXPIRED), said(INVALID)), S.FAILED),
        (paid_by(said(Word.PROCESSING), said(INVALID)), S.PROCESSING),
        (paid_by(said(Word.UNDERPAID)), S.PARTIALLY_PAID),
        (paid_by(said(SETTLED), said(INVALID)), S.PAID),
        (paid_by(confirmed(400), confirmed(600)), S.PAID),
        (paid_by(confirmed(400), confirmed(599)), S.PARTIALLY_PAID),
        (paid_by(said(SETTLED), acts=(ActKind.FULFIL,)), S.FULFILLED),
        (paid_by(said(SETTLED), acts=(ActKind.CANCEL,)), S.CANCELLED),
        (paid_by(said(Word.UNDERPAID), confirmed(1), acts=(ActKind.ACCEPT,)), S.PAID),
    ],
)
def test_an_order_stands_where_its_payments_and_acts_put_it(dossier: Dossier, status: OrderStatus) -> None:
    assert order_state(dossier).status is status


def test_an_attempt_that_was_refused_says_nothing_of_the_order() -> None:
    dossier = paid_by(said())
    refused = attrs.evolve(dossier.payment(1), payment_id=None, sending=Sending.REFUSED)
    both = attrs.evolve(
        paid_by(said(), said(EXPIRED)), payments=(refused, paid_by(said(EXPIRED)).payments[0])
    )

    assert order_state(dossier.with_payment(refused)).status is S.AWAITING_PAYMENT
    assert order_state(both).status is S.EXPIRED


def test_a_free_order_is_paid_once_the_provider_says_so() -> None:
    free = Terms(NOTHING, NOTHING)
    order = Order("key", "free", NOTHING)

    assert order_state(Dossier(order, (Payment(1, free),))).status is S.AWAITING_PAYMENT
    assert order_state(Dossier(order, (Payment(1, free, said(SETTLED)),))).status is S.PAID


@pytest.mark.parametrize(
    ("acts", "status"),
    [
        ((ActKind.CANCEL, ActKind.ACCEPT), S.PAID),
        ((ActKind.ACCEPT, ActKind.CANCEL), S.CANCELLED),
        ((ActKind.ACCEPT, ActKind.CANCEL, ActKind.ACCEPT), S.PAID),
    ],
)
def test_of_cancelling_and_accepting_the_later_holds(acts: tuple[ActKind, ...], status: OrderStatus) -> None:
    assert order_state(paid_by(said(Word.UNDERPAID, total=400), acts=acts)).status is status


# Money that goes back


def test_money_back_makes_an_order_refunded_in_part_and_then_whole() -> None:
    paid = paid_by(said(SETTLED))

    assert state(paid, refund(400)).status is S.PAID
    assert state(paid, refund(400, RefundWord.DONE)).status is S.PARTIALLY_REFUNDED
    assert state(paid, refund(1000, RefundWord.DONE)).status is S.REFUNDED


def test_a_surplus_that_goes_back_leaves_the_order_paid() -> None:
    over = paid_by(said(SETTLED, total=1500))

    assert state(over, refund(500, RefundWord.DONE)).status is S.PAID
    assert not state(over, refund(500, RefundWord.DONE)).reviews
    assert state(over, refund(501, RefundWord.DONE)).status is S.PARTIALLY_REFUNDED


def test_a_second_payment_that_goes_back_leaves_the_order_paid() -> None:
    twice = paid_by(said(SETTLED), said(SETTLED))
    back = refund(1000, RefundWord.DONE, payment=2)

    assert reasons(state(twice)) == [(R.PAID_TWICE, 2)]
    assert (state(twice, back).status, reasons(state(twice, back))) == (S.PAID, [])


def test_no_more_can_go_back_than_came_of_the_payment_or_of_the_order() -> None:
    dossier = paid_by(said(SETTLED), said(INVALID, total=300))

    assert [refundable(dossier, n).minor for n in (1, 2)] == [1000, 300]
    out = attrs.evolve(dossier, refunds=(refund(200), refund(100, payment=2, number=2)))
    assert [refundable(out, n).minor for n in (1, 2)] == [800, 200]
    found = attrs.evolve(dossier, refunds=(refund(1200, payment=2),))
    assert [refundable(found, n).minor for n in (1, 2)] == [100, 0]


def test_more_back_than_came_is_for_a_person() -> None:
    taken = paid_by(said(SETTLED, INVALID))

    assert (R.OVER_REFUNDED, None) in reasons(state(taken, refund(1000, RefundWord.DONE)))


# Reviews


@pytest.mark.parametrize(
    ("dossier", "expected"),
    [
        (paid_by(said(SETTLED, total=1500)), [(R.SURPLUS, 1)]),
        (paid_by(said(SETTLED, flags=frozenset({Flag.OVERPAID}))), [(R.SURPLUS, 1)]),
        (paid_by(said(SETTLED, total=1500), policy=Policy(surplus=Surplus.CREDIT)), []),
        (paid_by(said(Word.UNDERPAID, total=400)), [(R.UNDERPAID, 1)]),
        (paid_by(said(Word.UNDERPAID).join(confirmed(400)), confirmed(600)), []),
        (paid_by(said(Word.UNDERPAID, total=400), said(SETTLED)), [(R.UNDERPAID, 1)]),
        (paid_by(said(Word.LATE)), [(R.PAID_LATE, 1)]),
        (paid_by(said(Word.LATE), policy=Policy(late=LateMoney.ACCEPT)), []),
        (paid_by(said(SETTLED), acts=(ActKind.CANCEL,)), [(R.PAID_AFTER_CANCEL, 1)]),
        (paid_by(said(INVALID, total=400)), [(R.MONEY_ON_FAILED, 1)]),
        (paid_by(said(INVALID)), []),
        (paid_by(said(SETTLED, INVALID)), [(R.REVERSED, 1)]),
        (
            paid_by(
                said(SETTLED, flags=frozenset({Flag.BY_HAND})), policy=Policy(accept_marked_by_hand=False)
            ),
            [(R.MARKED_BY_HAND, 1)],
        ),
        (paid_by(said(SETTLED).join(Facts(billed=frozenset({Money(999, EUR)})))), [(R.MISMATCH, 1)]),
        (
            paid_by(Facts(verdict=Said(1, frozenset({SETTLED, INVALID}), frozenset({SETTLED, INVALID})))),
            [(R.TIE, 1)],
        ),
        (paid_by(said(Word.PROCESSING, flags=frozenset({Flag.GONE}))), [(R.OUTCOME_UNKNOWN, 1)]),
        (paid_by(said(EXPIRED, flags=frozenset({Flag.GONE}))), []),
    ],
)
def test_what_needs_a_person_has_its_reason(dossier: Dossier, expected: list[tuple[Reason, int]]) -> None:
    assert reasons(order_state(dossier)) == expected


def test_what_was_sent_back_needs_nobody_any_more() -> None:
    late = paid_by(said(Word.LATE))

    assert not state(late, refund(1000)).reviews
    assert reasons(state(late, refund(999))) == [(R.PAID_LATE, 1)]


def test_a_payment_of_unknown_outcome_is_listed_until_it_is_known() -> None:
    dossier = paid_by(said())
    lost = attrs.evolve(dossier.payment(1), payment_id=None, sending=Sending.SENT, problem="no answer")

    assert reasons(order_state(dossier.with_payment(lost))) == [(R.OUTCOME_UNKNOWN, 1)]
    assert not order_state(dossier.with_payment(attrs.evolve(lost, sending=Sending.REFUSED))).reviews


def test_a_refund_that_only_a_person_can_move_is_listed() -> None:
    paid = paid_by(said(SETTLED))
    by_hand = attrs.evolve(refund(400), manual=True, refund_id=None, sending=Sending.INTENDED)
    lost = attrs.evolve(refund(400), refund_id=None, sending=Sending.SENT, problem="no answer")
    failed = attrs.evolve(refund(400), refund_id=None, sending=Sending.REFUSED, problem="no")

    assert reasons(state(paid, by_hand)) == [(R.REFUND_BY_HAND, 1)]
    assert reasons(state(paid, lost)) == [(R.OUTCOME_UNKNOWN, 1)]
    assert reasons(state(paid, failed)) == [(R.REFUND_FAILED, 1)]
    assert not state(paid, failed, refund(400, number=2)).reviews
    assert reasons(state(paid, failed, refund(399, number=2))) == [(R.REFUND_FAILED, 1)]
    assert not state(paid, attrs.evolve(failed, origin=RefundOrigin.PROVIDER)).reviews


def test_two_findings_of_one_amount_have_keys_of_their_own() -> None:
    lost = attrs.evolve(refund(1000), refund_id=None, sending=Sending.SENT, problem="no answer")
    keys = [
        review.key for review in state(paid_by(said(SETTLED)), lost, attrs.evolve(lost, number=2)).reviews
    ]

    assert len(set(keys)) == len(keys) == 3


def test_a_finding_that_was_resolved_comes_back_only_with_another_amount() -> None:
    over = paid_by(said(SETTLED, total=1500))
    key = Review(R.SURPLUS, 1, Money(500, EUR)).key
    resolved = over.with_act(Act(ActKind.RESOLVE, 1, subject=key))
    more = attrs.evolve(resolved, payments=paid_by(said(SETTLED, total=1600)).payments)

    assert not order_state(resolved).reviews
    assert reasons(order_state(more)) == [(R.SURPLUS, 1)]


@given(strategies.dossiers(), st.lists(st.sampled_from(list(ActKind)), max_size=3))
def test_any_order_at_all_has_a_state_in_which_the_money_adds_up(
    dossier: Dossier, acts: list[ActKind]
) -> None:
    for kind in acts:
        dossier = dossier.with_act(Act(kind, 1))
    found = order_state(dossier)
    nothing = Money.zero(dossier.order.amount.asset)

    assert found.received == found.credited + found.surplus - found.shortfall
    assert min(found.credited, found.surplus, found.shortfall) >= nothing
    assert found.received == sum((s.received for s in standings(dossier)), nothing)
    assert all(refundable(dossier, p.number) <= found.received for p in dossier.payments)
    assert found == order_state(attrs.evolve(dossier))
