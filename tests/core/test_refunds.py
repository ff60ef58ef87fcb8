import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.errors import BadInput
from bursar.facts import Said
from bursar.money import Asset, Money
from bursar.refunds import (
    Payout,
    PayoutStage,
    Refund,
    RefundFacts,
    RefundObservation,
    RefundStatus,
    RefundWord,
    Sending,
    refund_paid,
    refund_status,
    refund_under_way,
)
from bursar.testing import strategies

EUR, BTC = Asset("EUR", 2), Asset("BTC", 8)
ONE_PAYOUT = strategies.payouts(EUR, payout_id="x")
REFUND = Refund(1, 1, Money(1000, EUR), Money(1000, EUR), "op-1", sending=Sending.DONE, refund_id="r1")


def payout(payout_id: str, minor: int, stage: PayoutStage, at: int = 1, asset: Asset = EUR) -> Payout:
    return Payout(payout_id, Money(minor, asset), Said.once(stage, at))


def with_facts(*payouts: Payout, word: RefundWord | None = None, refund: Refund = REFUND) -> Refund:
    verdict = Said.once(word, 5) if word else None
    return attrs.evolve(refund, facts=RefundFacts(verdict=verdict, payouts=payouts))


@given(ONE_PAYOUT, ONE_PAYOUT, ONE_PAYOUT)
def test_a_payout_joins_the_same_in_any_order_and_any_number_of_times(
    a: Payout, b: Payout, c: Payout
) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a


@given(
    st.sampled_from(strategies.ASSETS).flatmap(
        lambda a: st.tuples(st.just(a), strategies.payouts(payout_id="x"))
    )
)
def test_a_payout_in_two_currencies_joins_the_same_both_ways(drawn: tuple[Asset, Payout]) -> None:
    asset, known = drawn
    other = payout("x", 5, PayoutStage.SENT, asset=asset)

    assert known.join(other) == other.join(known)


@given(strategies.refund_facts(), strategies.refund_facts(), strategies.refund_facts())
def test_facts_of_a_refund_join_the_same_in_any_order_and_any_number_of_times(
    a: RefundFacts, b: RefundFacts, c: RefundFacts
) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a
    assert a.join(RefundFacts()) == a


@given(strategies.refund_facts(), st.sampled_from(Sending), st.booleans())
def test_paid_and_under_way_never_exceed_the_refund_and_are_never_below_nothing(
    facts: RefundFacts, sending: Sending, manual: bool
) -> None:
    refund = attrs.evolve(REFUND, facts=facts, sending=sending, manual=manual)
    nothing = Money.zero(EUR)

    assert nothing <= refund_paid(refund) <= refund.amount
    assert nothing <= refund_under_way(refund)
    assert refund_paid(refund) + refund_under_way(refund) <= refund.amount


@given(strategies.refund_facts(), strategies.refund_facts())
def test_what_was_paid_out_is_never_taken_back(a: RefundFacts, b: RefundFacts) -> None:
    before, after = attrs.evolve(REFUND, facts=a), attrs.evolve(REFUND, facts=a.join(b))

    assert refund_paid(before) <= refund_paid(after)


@pytest.mark.parametrize(
    ("refund", "status"),
    [
        (attrs.evolve(REFUND, sending=Sending.INTENDED, refund_id=None), RefundStatus.REQUESTED),
        (attrs.evolve(REFUND, sending=Sending.SENT, refund_id=None), RefundStatus.UNKNOWN),
        (attrs.evolve(REFUND, sending=Sending.REFUSED, refund_id=None), RefundStatus.FAILED),
        (attrs.evolve(REFUND, sending=Sending.INTENDED, manual=True), RefundStatus.WAITING_FOR_PERSON),
        (REFUND, RefundStatus.WAITING_FOR_BUYER),
        (with_facts(payout("x", 1000, PayoutStage.CLAIMED)), RefundStatus.WAITING_FOR_APPROVAL),
        (with_facts(payout("x", 1000, PayoutStage.APPROVED)), RefundStatus.APPROVED),
        (with_facts(payout("x", 1000, PayoutStage.SENT)), RefundStatus.IN_PAYMENT),
        (with_facts(payout("x", 1000, PayoutStage.PAID)), RefundStatus.COMPLETED),
        (with_facts(payout("x", 1000, PayoutStage.CANCELLED)), RefundStatus.WAITING_FOR_BUYER),
        (with_facts(word=RefundWord.DONE), RefundStatus.COMPLETED),
        (with_facts(word=RefundWord.REFUSED), RefundStatus.FAILED),
        (with_facts(word=RefundWord.WITHDRAWN), RefundStatus.CANCELLED),
        (
            with_facts(payout("x", 400, PayoutStage.SENT), word=RefundWord.WITHDRAWN),
            RefundStatus.IN_PAYMENT,
        ),
    ],
)
def test_a_refund_stands_where_its_facts_say(refund: Refund, status: RefundStatus) -> None:
    assert refund_status(refund) is status


def test_a_refund_that_was_claimed_in_parts_adds_them_up() -> None:
    parts = with_facts(payout("x", 400, PayoutStage.PAID), payout("y", 300, PayoutStage.SENT))

    assert refund_paid(parts) == Money(400, EUR)
    assert refund_under_way(parts) == Money(600, EUR)


def test_a_withdrawn_refund_keeps_what_had_been_paid_out() -> None:
    withdrawn = with_facts(payout("x", 400, PayoutStage.PAID), word=RefundWord.WITHDRAWN)

    assert refund_status(withdrawn) is RefundStatus.CANCELLED
    assert refund_paid(withdrawn) == Money(400, EUR)
    assert not refund_under_way(withdrawn)


def test_a_payout_is_valued_at_the_rate_at_which_the_refund_was_billed() -> None:
    billed = attrs.evolve(REFUND, billed=Money(30_000, BTC))
    refund = with_facts(payout("x", 10_000, PayoutStage.PAID, asset=BTC), refund=billed)

    assert refund_paid(refund) == Money(333, EUR)


def test_a_lightning_payout_that_failed_waits_again() -> None:
    sent = payout("x", 1000, PayoutStage.SENT, at=5)

    assert sent.join(payout("x", 1000, PayoutStage.APPROVED, at=6)).now is PayoutStage.APPROVED


def test_paid_out_is_for_ever() -> None:
    paid = payout("x", 1000, PayoutStage.PAID, at=5)

    assert paid.join(payout("x", 1000, PayoutStage.CANCELLED, at=6)).now is PayoutStage.PAID


def test_an_observation_needs_the_id_of_its_refund() -> None:
    with pytest.raises(BadInput, match="1 to 200 characters"):
        RefundObservation("", RefundFacts())
