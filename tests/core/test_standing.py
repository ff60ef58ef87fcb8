from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.facts import Facts, Flag, Said, Stage, Transfer, Word, polled_facts
from bursar.money import Asset, Money
from bursar.orders import Payment, Terms
from bursar.policy import LateMoney, Policy
from bursar.refunds import Sending
from bursar.standing import Doubt, PaymentStatus, Standing, doubts, read_stage, read_standing, read_word
from bursar.testing import strategies

EUR, USD, BTC, LTC = Asset("EUR", 2), Asset("USD", 2), Asset("BTC", 8), Asset("LTC", 8)
S = PaymentStatus
CLOSES: Final = 100
TERMS: Final = Terms(Money(1000, EUR), Money(1000, EUR), asks=(Money(20_000, BTC),), expires_at=CLOSES)
REVIEW: Final = Policy()
SEEN_ENOUGH: Final = Policy(seen_enough_below=Money(5000, EUR))
ACCEPT_LATE: Final = Policy(late=LateMoney.ACCEPT)


def word(what: Word, at: int = 10) -> Facts:
    return Facts(verdict=Said.once(what, at))


def sent(
    share: int, stage: Stage = Stage.SEEN, at: int = 10, name: str = "a", paid_at: int | None = 50
) -> Facts:
    """Say that *share* per cent of what was asked moved."""
    amount = Money(200 * share, BTC)
    return Facts(transfers=(Transfer(name, amount, Said.once(stage, at), paid_at),))


def total(minor: int, at: int = 10) -> Facts:
    return Facts(credited=Said.once(Money(minor, EUR), at))


def flags(*what: Flag) -> Facts:
    return Facts(flags=frozenset(what))


def joined(*known: Facts) -> Facts:
    facts = Facts()
    for one in known:
        facts = facts.join(one)
    return facts


def stand(*known: Facts, policy: Policy = REVIEW, accept: bool = False, terms: Terms = TERMS) -> Standing:
    payment = Payment(1, attrs.evolve(terms, policy=policy), joined(*known), account="main", payment_id="p1")
    return read_standing(payment, accept=accept)


# Words


@pytest.mark.parametrize(
    ("spoken", "means"),
    [
        ([(Word.PROCESSING, 5), (Word.NEW, 5)], Word.PROCESSING),
        ([(Word.EXPIRED, 5), (Word.PROCESSING, 5)], Word.EXPIRED),
        ([(Word.EXPIRED, 5), (Word.LATE, 5), (Word.UNDERPAID, 5)], Word.LATE),
        ([(Word.SETTLED, 5), (Word.INVALID, 5)], None),
        ([(Word.SETTLED, 5), (Word.INVALID, 5), (Word.SETTLED, 6)], Word.SETTLED),
        ([(Word.SETTLED, 5), (Word.INVALID, 5), (Word.INVALID, 6)], Word.INVALID),
        ([(Word.SETTLED, 5), (Word.EXPIRED, 6)], Word.SETTLED),
        ([(Word.SETTLED, 5), (Word.NEW, 9)], Word.SETTLED),
        ([(Word.SETTLED, 5), (Word.INVALID, 6), (Word.PROCESSING, 7)], Word.PROCESSING),
        ([(Word.INVALID, 5), (Word.PROCESSING, 6)], Word.PROCESSING),
        ([(Word.EXPIRED, 0), (Word.SETTLED, 0)], Word.SETTLED),
    ],
)
def test_a_word_means_what_was_said_last_or_what_comes_last(
    spoken: list[tuple[Word, int]], means: Word | None
) -> None:
    said = joined(*(word(what, at) for what, at in spoken)).verdict

    assert read_word(said) is means


def test_nothing_said_means_new() -> None:
    assert read_word(None) is Word.NEW


@pytest.mark.parametrize(
    ("spoken", "means"),
    [
        ([(Stage.CONFIRMED, 5), (Stage.SEEN, 6)], Stage.CONFIRMED),
        ([(Stage.SEEN, 5), (Stage.INVALID, 5)], Stage.SEEN),
        ([(Stage.CONFIRMED, 5), (Stage.INVALID, 6)], Stage.INVALID),
        ([(Stage.INVALID, 5), (Stage.SEEN, 6)], Stage.SEEN),
        ([(Stage.CONFIRMED, 5), (Stage.INVALID, 6), (Stage.SEEN, 7)], Stage.SEEN),
        ([(Stage.INVALID, 5), (Stage.CONFIRMED, 6)], Stage.CONFIRMED),
    ],
)
def test_a_confirmed_transfer_stays_so_until_it_is_taken_back(
    spoken: list[tuple[Stage, int]], means: Stage
) -> None:
    said = joined(*(sent(1, stage, at) for stage, at in spoken)).transfers[0].stage

    assert read_stage(said) is means


# The edge cases of a service with confirmations, late money and marks by hand


@pytest.mark.parametrize(
    ("known", "status", "received"),
    [
        pytest.param([], S.WAITING, 0, id="nothing"),
        pytest.param([word(Word.NEW), sent(40)], S.PARTIAL, 400, id="a part, seen"),
        pytest.param([word(Word.NEW), sent(100)], S.PROCESSING, 1000, id="all seen, no word yet"),
        pytest.param(
            [sent(100, Stage.CONFIRMED), word(Word.NEW)], S.PROCESSING, 1000, id="confirmed before seen"
        ),
        pytest.param([word(Word.PROCESSING)], S.PROCESSING, 1000, id="enough"),
        pytest.param([word(Word.SETTLED)], S.SETTLED, 1000, id="settled, by word alone"),
        pytest.param([word(Word.EXPIRED)], S.EXPIRED, 0, id="never paid"),
        pytest.param([sent(40), word(Word.UNDERPAID, 101)], S.UNDERPAID, 400, id="underpaid"),
        pytest.param(
            [word(Word.EXPIRED, 101), sent(40, at=120, paid_at=119)], S.UNDERPAID, 400, id="a part, late"
        ),
        pytest.param(
            [word(Word.EXPIRED, 101), sent(100, at=120, paid_at=119)], S.HELD, 1000, id="all of it, late"
        ),
        pytest.param([word(Word.LATE, 120), sent(100, at=120, paid_at=119)], S.HELD, 1000, id="late by word"),
        pytest.param(
            [sent(100), word(Word.LATE, 120)], S.PROCESSING, 1000, id="the server was late, not the buyer"
        ),
        pytest.param(
            [sent(100, Stage.CONFIRMED), word(Word.LATE, 120)],
            S.SETTLED,
            1000,
            id="the same, and it is final",
        ),
        pytest.param([sent(100), word(Word.PROCESSING), word(Word.NEW, 30)], S.WAITING, 0, id="double-spent"),
        pytest.param(
            [sent(100), word(Word.PROCESSING), word(Word.EXPIRED, 101)], S.EXPIRED, 0, id="and expired"
        ),
        pytest.param(
            [sent(100), word(Word.INVALID, 99)], S.FAILED, 1000, id="not confirmed in time, coins there"
        ),
        pytest.param(
            [word(Word.SETTLED), word(Word.SETTLED, 30), total(1500, 30)], S.SETTLED, 1500, id="overpaid"
        ),
        pytest.param([word(Word.SETTLED, 30), total(995, 30)], S.SETTLED, 995, id="the provider's tolerance"),
        pytest.param([word(Word.SETTLED), flags(Flag.BY_HAND)], S.SETTLED, 0, id="marked, unpaid"),
        pytest.param([word(Word.SETTLED), word(Word.INVALID)], S.TIE, 0, id="contradiction"),
        pytest.param([word(Word.NEW), flags(Flag.LAPSED)], S.EXPIRED, 0, id="our own timer"),
        pytest.param([word(Word.PARTIAL), flags(Flag.LAPSED)], S.UNDERPAID, 0, id="our own timer, on a part"),
        pytest.param([flags(Flag.GONE)], S.EXPIRED, 0, id="the provider forgot it"),
    ],
)
def test_a_payment_stands_where_its_facts_put_it(
    known: list[Facts], status: PaymentStatus, received: int
) -> None:
    standing = stand(*known)

    assert (standing.status, standing.received.minor) == (status, received)


def test_an_attempt_that_was_refused_is_over() -> None:
    payment = Payment(1, TERMS, sending=Sending.REFUSED)

    assert read_standing(payment).status is S.EXPIRED


# Late


def test_money_sent_within_the_grace_is_not_late() -> None:
    known = [word(Word.LATE, 120), sent(100, Stage.CONFIRMED, at=120, paid_at=CLOSES + 5)]

    assert stand(*known).status is S.HELD
    assert stand(*known, policy=Policy(late_grace=5)).status is S.SETTLED


@pytest.mark.parametrize("policy", [ACCEPT_LATE, Policy()])
def test_late_money_counts_once_it_is_final_and_wanted(policy: Policy) -> None:
    seen = [word(Word.LATE, 120), sent(100, at=120, paid_at=119)]
    final = [*seen, sent(100, Stage.CONFIRMED, at=130, paid_at=119)]
    wanted = policy is ACCEPT_LATE

    assert stand(*seen, policy=policy).status is (S.PROCESSING if wanted else S.HELD)
    assert stand(*final, policy=policy).status is (S.SETTLED if wanted else S.HELD)
    assert stand(*final, policy=policy, accept=True).status is S.SETTLED


def test_late_money_within_the_providers_tolerance_is_final_once_all_of_it_is_confirmed() -> None:
    known = [
        word(Word.LATE, 130),
        total(995, 130),
        sent(99, Stage.CONFIRMED, at=130, paid_at=119),
    ]
    rest = Facts(
        transfers=(Transfer("b", Money(100, BTC), Said.once(Stage.CONFIRMED, 130), 119, listed=True),)
    )
    listed = polled_facts(joined(*known))

    assert stand(listed, rest, policy=ACCEPT_LATE).status is S.SETTLED
    assert stand(*known, sent(1, at=131, name="c"), policy=ACCEPT_LATE).status is S.PROCESSING


def test_a_payment_that_we_gave_up_is_late_when_it_comes_after_all() -> None:
    assert stand(flags(Flag.LAPSED), word(Word.SETTLED, 300)).status is S.HELD
    in_time = sent(100, Stage.CONFIRMED, at=300, paid_at=90)
    assert stand(flags(Flag.LAPSED), word(Word.SETTLED, 300), in_time).status is S.SETTLED


def test_a_late_rest_does_not_undo_the_part_that_came_in_time() -> None:
    early = sent(40, Stage.CONFIRMED, paid_at=50)
    rest = sent(60, Stage.CONFIRMED, at=130, name="b", paid_at=129)

    before = stand(word(Word.UNDERPAID, 101), early)
    after = stand(word(Word.UNDERPAID, 101), early, rest)

    assert before.counts == Money(400, EUR)
    assert (after.status, after.counts, after.received) == (S.HELD, Money(400, EUR), Money(1000, EUR))


def test_confirmed_money_whose_time_nobody_knows_does_not_count_once_it_is_called_late() -> None:
    undated = sent(40, Stage.CONFIRMED, paid_at=None)

    assert stand(word(Word.UNDERPAID, 101), undated).counts == Money(400, EUR)
    assert stand(word(Word.LATE, 120), undated).counts == Money.zero(EUR)


# Seen is enough


def test_a_small_payment_counts_when_it_is_seen_and_is_reversed_when_it_vanishes() -> None:
    seen = stand(word(Word.PROCESSING), policy=SEEN_ENOUGH)
    gone = stand(word(Word.PROCESSING), word(Word.NEW, 30), policy=SEEN_ENOUGH)

    assert (seen.status, seen.final, seen.counts) == (S.SETTLED, False, Money(1000, EUR))
    assert (gone.status, gone.reversed, gone.counts) == (S.WAITING, True, Money.zero(EUR))


def test_a_payment_of_the_limit_itself_does_not_count_when_seen() -> None:
    assert (
        stand(word(Word.PROCESSING), policy=Policy(seen_enough_below=Money(1000, EUR))).status is S.PROCESSING
    )
    assert (
        stand(word(Word.PROCESSING), policy=Policy(seen_enough_below=Money(5000, USD))).status is S.PROCESSING
    )


@pytest.mark.parametrize("first", [Word.NEW, Word.PARTIAL, Word.EXPIRED])
def test_half_a_payment_sent_twice_by_replacing_it_is_never_enough(first: Word) -> None:
    # A replaced transfer is told by no event: both seem to stand until a poll says otherwise.
    replaced = [sent(60, at=120, name="a", paid_at=None), sent(60, at=120, name="b", paid_at=None)]
    policy = attrs.evolve(SEEN_ENOUGH, late=LateMoney.ACCEPT)

    assert not stand(word(first), *replaced, policy=policy).counts


# What is received, and by which price


def test_transfers_in_several_assets_add_up_by_their_own_quotes() -> None:
    terms = attrs.evolve(TERMS, asks=(Money(20_000, BTC), Money(1_000_000, LTC)))
    coin = Facts(transfers=(Transfer("l", Money(500_000, LTC), Said.once(Stage.SEEN, 10)),))

    assert stand(sent(50), coin, terms=terms).received == Money(1000, EUR)


def test_money_without_a_price_is_seen_and_asks_for_a_person() -> None:
    coin = Facts(transfers=(Transfer("l", Money(500_000, LTC), Said.once(Stage.SEEN, 10)),))

    standing = stand(coin)

    assert (standing.money_seen, standing.mismatch, standing.received) == (True, True, Money.zero(EUR))
    assert not stand(coin, word(Word.SETTLED)).mismatch
    assert not stand(coin, word(Word.PARTIAL), total(400)).mismatch


def test_a_total_in_a_foreign_currency_breaks_nothing_and_asks_for_a_person() -> None:
    foreign = Facts(credited=Said.once(Money(1000, USD), 10), billed=frozenset({Money(1000, USD)}))

    standing = stand(word(Word.PARTIAL), foreign)

    assert standing.mismatch
    assert standing.money_seen


def test_enough_of_too_small_a_bill_is_only_that_much() -> None:
    small = Facts(billed=frozenset({Money(100, EUR)}))

    standing = stand(word(Word.SETTLED), small)

    assert (standing.status, standing.received, standing.counts) == (S.HELD, Money(100, EUR), Money.zero(EUR))
    assert stand(word(Word.SETTLED), small, accept=True).counts == Money(1000, EUR)


def test_a_zero_amount_in_another_currency_breaks_nothing() -> None:
    nothing = Terms(Money(0, EUR), Money(0, USD))

    assert stand(word(Word.SETTLED), terms=nothing).status is S.SETTLED
    assert stand(Facts(credited=Said.once(Money(5, USD), 1)), terms=nothing).money_seen


def test_without_a_total_confirmed_transfers_tell_a_surplus_and_seen_ones_do_not() -> None:
    confirmed = stand(word(Word.SETTLED), sent(150, Stage.CONFIRMED))
    replaced = stand(word(Word.PROCESSING), sent(100, name="a"), sent(100, name="b"))

    assert (confirmed.received, confirmed.overpaid) == (Money(1500, EUR), True)
    assert (replaced.received, replaced.overpaid) == (Money(1000, EUR), False)


def test_confirmed_transfers_that_a_poll_listed_without_a_total_tell_a_surplus_too() -> None:
    listed = polled_facts(joined(word(Word.SETTLED), sent(150, Stage.CONFIRMED)))

    assert stand(listed).received == Money(1500, EUR)


def test_the_providers_newer_total_says_what_was_received_when_transfers_contradict_it() -> None:
    known = polled_facts(
        joined(word(Word.PARTIAL, 30), total(400, 30), sent(40, name="a"), sent(40, name="b"))
    )

    assert stand(known).received == Money(400, EUR)


def test_a_transfer_that_is_newer_than_the_total_counts_beside_it() -> None:
    known = polled_facts(joined(word(Word.UNDERPAID, 101), total(400, 101), sent(40)))

    more = stand(known, sent(20, at=130, name="b", paid_at=99))

    assert more.received == Money(600, EUR)


def test_a_confirmed_transfer_outlives_a_word_that_knows_nothing_of_it() -> None:
    known = [sent(100, Stage.CONFIRMED, at=10), word(Word.EXPIRED, 101)]

    assert stand(*known).received == Money(1000, EUR)
    assert stand(*known, total(0, 102)).received == Money.zero(EUR)
    assert stand(*known, total(0, 102)).reversed
    assert stand(*known, sent(100, Stage.INVALID, at=103)).received == Money.zero(EUR)


# Marked by hand, taken back


def test_a_mark_by_hand_counts_as_the_policy_says() -> None:
    marked = [word(Word.SETTLED), flags(Flag.BY_HAND)]
    asks = Policy(accept_marked_by_hand=False)

    assert stand(*marked).status is S.SETTLED
    assert stand(*marked, policy=asks).status is S.HELD
    assert stand(*marked, policy=asks, accept=True).status is S.SETTLED


@pytest.mark.parametrize(
    ("known", "policy", "reversed_"),
    [
        ([word(Word.SETTLED), word(Word.INVALID, 20)], Policy(), True),
        ([word(Word.PROCESSING), word(Word.INVALID, 20)], Policy(), False),
        ([word(Word.PROCESSING), word(Word.INVALID, 20)], SEEN_ENOUGH, True),
        ([word(Word.SETTLED), word(Word.INVALID, 20), word(Word.SETTLED, 30)], Policy(), False),
        ([word(Word.SETTLED), word(Word.INVALID, 20), word(Word.PROCESSING, 30)], Policy(), True),
        ([word(Word.SETTLED), word(Word.INVALID)], Policy(), False),
        ([word(Word.PARTIAL), sent(40, Stage.CONFIRMED), sent(40, Stage.INVALID, at=20)], Policy(), True),
        (
            [word(Word.LATE), sent(100, Stage.CONFIRMED), sent(100, Stage.INVALID, at=20)],
            ACCEPT_LATE,
            True,
        ),
    ],
)
def test_what_counted_and_was_taken_back_is_reversed(
    known: list[Facts], policy: Policy, reversed_: bool
) -> None:
    assert stand(*known, policy=policy).reversed is reversed_


@given(strategies.payments(), st.booleans())
def test_any_facts_at_all_have_a_standing_with_sane_amounts(payment: Payment, accept: bool) -> None:
    standing = read_standing(payment, accept=accept)
    nothing = Money.zero(payment.terms.worth.asset)

    assert standing.received >= nothing
    assert nothing <= standing.counts <= max(standing.received, standing.worth)
    assert standing.confirmed is not None
    assert standing.confirmed <= standing.received
    assert standing.money_seen or not standing.received


# When to ask again


def poll(what: Word, at: int, minor: int | None = None, *transfers: Transfer) -> Facts:
    said = Said.once(what, at)
    credited = None if minor is None else Said.once(Money(minor, EUR), at)
    return polled_facts(Facts(verdict=said, polled=said, transfers=transfers, credited=credited))


def again(*known: Facts, lag: int = 2) -> set[Doubt]:
    return set(doubts(joined(*known), lag=lag, totals=True))


def test_a_tie_is_asked_about_until_a_later_word_decides() -> None:
    tie = joined(word(Word.SETTLED, 50), word(Word.INVALID, 50))

    assert Doubt.TIE in again(tie)
    assert Doubt.TIE not in again(tie, poll(Word.INVALID, 53, 0))


@pytest.mark.parametrize(("event_at", "doubtful"), [(49, False), (50, True), (51, True), (52, False)])
def test_a_poll_that_an_event_overrules_within_the_clocks_lag_decides_nothing(
    event_at: int, doubtful: bool
) -> None:
    found = again(poll(Word.NEW, 50, 0), word(Word.EXPIRED, event_at))

    assert (Doubt.OVERRULED in found) is doubtful


def test_within_one_second_even_an_exact_clock_is_doubted() -> None:
    assert Doubt.OVERRULED in again(poll(Word.NEW, 50, 0), word(Word.PROCESSING, 50), lag=0)


def test_where_words_only_advance_nothing_is_ever_overruled() -> None:
    assert not again(poll(Word.NEW, 0), poll(Word.SETTLED, 0), word(Word.SETTLED, 0), lag=2)


def test_money_is_asked_about_until_a_poll_has_listed_it_and_then_no_more() -> None:
    coin = Transfer("a", Money(20_000, BTC), Said.once(Stage.CONFIRMED, 100))
    event = joined(word(Word.SETTLED, 100), Facts(transfers=(coin,)))
    answer = attrs.evolve(coin, stage=Said.once(Stage.CONFIRMED, 99))

    assert Doubt.MONEY in again(event)
    assert not again(event, poll(Word.SETTLED, 99, 1000, answer))
    assert not again(event, poll(Word.SETTLED, 99, 1000, answer), poll(Word.SETTLED, 500, 1000, answer))


def test_a_transfer_in_the_very_second_of_a_poll_is_asked_about() -> None:
    asked = poll(Word.SETTLED, 100, 1000)

    assert Doubt.MONEY in again(asked, sent(50, Stage.CONFIRMED, at=100, name="extra"))
    assert Doubt.MONEY not in again(asked, sent(50, Stage.CONFIRMED, at=99, name="extra"))


@given(strategies.facts(), st.integers(0, 3), st.booleans())
def test_a_poll_made_late_enough_that_lists_all_that_is_known_leaves_no_doubt_but_a_tie(
    facts: Facts, lag: int, totals: bool
) -> None:
    later = poll(Word.PROCESSING, 50, 10, *facts.transfers)

    assert not doubts(facts.join(later), lag=lag, totals=totals)
