import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.errors import BadInput
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word, join_said, polled_facts
from bursar.money import Asset, Money
from bursar.testing import strategies

EUR = Asset("EUR", 2)
WORDS = strategies.said(st.sampled_from(Word))
ONE_TRANSFER = strategies.transfers(EUR, transfer_id="a")


@given(WORDS, WORDS, WORDS)
def test_what_was_said_joins_the_same_in_any_order_and_any_number_of_times(
    a: Said[Word], b: Said[Word], c: Said[Word]
) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a
    assert a.join(b).join(b) == a.join(b)


@given(WORDS, WORDS)
def test_a_later_instant_replaces_and_the_same_instant_unites(a: Said[Word], b: Said[Word]) -> None:
    both = a.join(b)

    assert both.at == max(a.at, b.at)
    assert both.now == frozenset().union(*(said.now for said in (a, b) if said.at == both.at))
    assert both.ever == a.ever | b.ever


@given(st.none() | WORDS, st.none() | WORDS)
def test_nothing_said_adds_nothing(a: Said[Word] | None, b: Said[Word] | None) -> None:
    assert join_said(a, None) == a
    assert join_said(a, b) == join_said(b, a)


@given(ONE_TRANSFER, ONE_TRANSFER, ONE_TRANSFER)
def test_a_transfer_joins_the_same_in_any_order_and_any_number_of_times(
    a: Transfer, b: Transfer, c: Transfer
) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a


@given(strategies.facts(), strategies.facts(), strategies.facts())
def test_facts_join_the_same_in_any_order_and_any_number_of_times(a: Facts, b: Facts, c: Facts) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a
    assert a.join(Facts()) == a


@given(strategies.facts(), strategies.facts())
def test_nothing_that_was_ever_known_is_lost_by_a_join(a: Facts, b: Facts) -> None:
    both = a.join(b)

    assert {t.key for t in both.transfers} == {t.key for t in (*a.transfers, *b.transfers)}
    assert both.flags == a.flags | b.flags
    assert both.billed == a.billed | b.billed
    assert both.refunds == a.refunds | b.refunds


@given(st.lists(strategies.transfers(EUR), max_size=5))
def test_facts_hold_each_transfer_once_and_in_one_order(transfers: list[Transfer]) -> None:
    forwards, backwards = Facts(transfers=tuple(transfers)), Facts(transfers=tuple(reversed(transfers)))

    assert forwards == backwards
    assert len({t.key for t in forwards.transfers}) == len(forwards.transfers)


def test_two_assets_under_one_id_are_two_transfers() -> None:
    euro = Transfer("a", Money(1, EUR), Said.once(Stage.SEEN, 1))
    coin = Transfer("a", Money(1, Asset("BTC", 8)), Said.once(Stage.SEEN, 1))

    assert len(Facts(transfers=(euro, coin)).transfers) == 2


def test_a_running_total_grows_and_never_shrinks() -> None:
    more = Transfer("total", Money(70, EUR), Said.once(Stage.SEEN, 1), paid_at=9)
    less = Transfer("total", Money(40, EUR), Said.once(Stage.SEEN, 2), paid_at=5)

    joined = more.join(less)

    assert joined.amount == Money(70, EUR)
    assert joined.paid_at == 5


@given(strategies.facts())
def test_a_poll_marks_the_transfers_that_it_lists_and_nothing_else(said: Facts) -> None:
    polled = polled_facts(said)

    assert all(transfer.listed for transfer in polled.transfers)
    assert polled.join(said) == polled
    assert (polled.verdict, polled.credited, polled.flags) == (said.verdict, said.credited, said.flags)


@pytest.mark.parametrize("payment_id", ["", "x" * 201])
def test_an_observation_needs_an_id_of_a_sane_length(payment_id: str) -> None:
    with pytest.raises(BadInput, match="1 to 200 characters"):
        Observation(payment_id, Facts(flags=frozenset({Flag.GONE})))
