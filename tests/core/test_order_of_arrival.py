"""Order of arrival and repetition decide nothing: tried on every order, not on some."""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.changes import observed
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.lifecycle import order_state
from bursar.money import Asset, Money
from bursar.orders import Dossier, Order, Payment, Seen, Terms
from bursar.refunds import (
    Payout,
    PayoutStage,
    Refund,
    RefundFacts,
    RefundObservation,
    RefundWord,
    Sending,
)
from bursar.testing import strategies

EUR, BTC = Asset("EUR", 2), Asset("BTC", 8)
DUE: Final = Money(100, EUR)


def dossier() -> Dossier:
    terms = Terms(DUE, DUE, asks=(Money(1000, BTC),), expires_at=100)
    payments = tuple(Payment(n, terms, account="main", payment_id=f"p{n}") for n in (1, 2))
    refund = Refund(1, 1, Money(60, EUR), Money(60, EUR), "op", sending=Sending.DONE, refund_id="r1")
    return Dossier(Order("key", "order", DUE), payments, (refund,))


def of_payment(facts: Facts, payment: int = 1) -> Observation:
    return Observation(f"p{payment}", facts)


def said(word: Word, at: int) -> Facts:
    return Facts(verdict=Said.once(word, at))


def moved(transfer_id: str, stage: Stage, at: int) -> Facts:
    return Facts(transfers=(Transfer(transfer_id, Money(500, BTC), Said.once(stage, at), paid_at=at),))


def polled(word: Word, minor: int, at: int) -> Facts:
    spoken = Said.once(word, at)
    return Facts(verdict=spoken, polled=spoken, credited=Said.once(Money(minor, EUR), at))


def of_refund(facts: RefundFacts) -> RefundObservation:
    return RefundObservation("r1", facts)


ALL_KINDS: Final[tuple[Seen, ...]] = (
    of_payment(said(Word.EXPIRED, 20)),
    of_payment(said(Word.SETTLED, 20)),
    of_payment(said(Word.INVALID, 20)),
    of_payment(moved("a", Stage.CONFIRMED, 10)),
    of_payment(moved("a", Stage.INVALID, 15)),
    of_payment(polled(Word.PARTIAL, 50, 19)),
    of_payment(polled(Word.NEW, 0, 20)),
    of_payment(Facts(flags=frozenset({Flag.BY_HAND}))),
    of_payment(Facts(billed=frozenset({Money(99, EUR)}), refunds=frozenset({"r1"}))),
    of_payment(said(Word.SETTLED, 10), payment=2),
    of_refund(RefundFacts(payouts=(Payout("x", Money(60, EUR), Said.once(PayoutStage.PAID, 30)),))),
    of_refund(
        RefundFacts(verdict=Said.once(RefundWord.WITHDRAWN, 31), links=frozenset({"https://a.example"}))
    ),
)


def endings(start: Dossier, seen: Sequence[Seen]) -> Iterator[Dossier]:
    """Yield what every order of *seen* comes to; orders that begin alike share their beginning."""
    if not seen:
        yield start
    for at, one in enumerate(seen):
        yield from endings(observed(start, "main", one), [*seen[:at], *seen[at + 1 :]])


def test_every_order_of_up_to_four_observations_of_all_kinds_gives_one_state() -> None:
    start = dossier()
    for size in (2, 3, 4):
        for seen in combinations(ALL_KINDS, size):
            assert len({order_state(end) for end in set(endings(start, seen))}) == 1, seen


def test_every_order_of_five_observations_two_of_them_twice_gives_one_state() -> None:
    start = dossier()
    chosen = random.Random(5)
    for _ in range(3):
        seen = chosen.sample(ALL_KINDS, 5)
        assert len(set(endings(start, [*seen, *seen[:2]]))) == 1, seen


@pytest.mark.slow
def test_every_order_of_every_five_observations_gives_one_state() -> None:
    start = dossier()
    for seen in combinations(ALL_KINDS, 5):
        assert len(set(endings(start, seen))) == 1, seen


@pytest.mark.slow
def test_all_5040_orders_of_seven_observations_give_one_state() -> None:
    start = dossier()
    chosen = random.Random(7)
    for _ in range(40):
        seen = chosen.sample(ALL_KINDS, 7)
        orders = 0
        first = None
        for end in endings(start, seen):
            orders += 1
            first = first or end
            assert end == first, seen
        assert orders == 5040


@given(
    st.lists(strategies.observations("p1", EUR), min_size=2, max_size=7), st.randoms(use_true_random=False)
)
def test_any_observations_in_any_order_with_any_repeated_give_one_state(
    seen: list[Observation], chance: random.Random
) -> None:
    start = dossier()
    shuffled = [*seen, *chance.choices(seen, k=3)]
    chance.shuffle(shuffled)

    one, other = start, start
    for observation in seen:
        one = observed(one, "main", observation)
    for observation in shuffled:
        other = observed(other, "main", observation)

    assert one == other
    assert order_state(one) == order_state(other)
