from typing import Final

import attrs
import pytest

from bursar import changes
from bursar.errors import BadInput, CurrencyMismatch, Refused
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.habits import Habits, Retries
from bursar.lifecycle import OrderStatus, Reason, order_state
from bursar.money import Asset, Money
from bursar.orders import Act, ActKind, Checkout, Dossier, Opened, Order, Terms
from bursar.refunds import RefundFacts, RefundObservation, RefundOrigin, RefundStatus, Sending, refund_status

EUR, USD, BTC = Asset("EUR", 2), Asset("USD", 2), Asset("BTC", 8)
DUE: Final = Money(1000, EUR)
TERMS: Final = Terms(DUE, DUE)
HABITS: Final = Habits(retries=Retries.NEVER, expiry_grace=60)
ORDER: Final = Dossier(Order("key", "order-1", DUE))


def word(what: Word, payment_id: str = "p1") -> Observation:
    return Observation(payment_id, Facts(verdict=Said.once(what, 10)))


def opened(payment_id: str = "p1", seen: Observation | None = None) -> Opened:
    return Opened(payment_id, DUE, Checkout("https://pay.example/1"), expires_at=100, seen=seen)


def paid(terms: Terms = TERMS) -> Dossier:
    return changes.payment_adopted(
        ORDER,
        account="main",
        terms=terms,
        opened=attrs.evolve(opened(seen=word(Word.SETTLED)), billed=terms.billed),
        at=1,
    )


def with_refund(minor: int = 400) -> Dossier:
    return changes.refund_requested(paid(), payment=1, amount=Money(minor, EUR), operation="op-1", at=5)


def refunded(refund_id: str, *, operation: str = "", asked: Money | None = None) -> RefundObservation:
    facts = RefundFacts(asked=frozenset() if asked is None else frozenset({asked}))
    return RefundObservation(refund_id, facts, operation)


# Payments


def test_a_payment_is_kept_before_its_request_leaves() -> None:
    dossier = changes.payment_intended(ORDER, account="main", attempt="a1", terms=TERMS, at=5)

    assert (dossier.payment(1).sending, dossier.payment(1).payment_id) == (Sending.SENT, None)
    assert order_state(dossier).status is OrderStatus.AWAITING_PAYMENT


@pytest.mark.parametrize("act", [None, ActKind.FULFIL, ActKind.CANCEL])
def test_an_order_that_needs_no_money_starts_no_payment(act: ActKind | None) -> None:
    dossier = ORDER if act is ActKind.CANCEL else paid()
    if act is not None:
        dossier = changes.acted(dossier, Act(act, 5))

    with pytest.raises(Refused, match="no further payment"):
        changes.payment_intended(dossier, account="main", attempt="a1", terms=TERMS, at=5)


def test_what_was_opened_is_kept_with_what_it_says() -> None:
    dossier = changes.payment_intended(ORDER, account="main", attempt="a1", terms=TERMS, at=5)
    coin = Transfer("a", Money(1, BTC), Said.once(Stage.SEEN, 10))
    seen = Observation("p1", Facts(transfers=(coin,)))

    payment = changes.payment_opened(dossier, 1, opened(seen=seen)).payment(1)

    assert (payment.payment_id, payment.sending, payment.terms.expires_at) == ("p1", Sending.DONE, 100)
    assert payment.facts.billed == {DUE}
    assert payment.facts.transfers[0].listed


def test_opening_the_same_payment_again_changes_nothing_and_another_one_there_is_followed_too() -> None:
    dossier = changes.payment_intended(ORDER, account="main", attempt="a1", terms=TERMS, at=5)
    once = changes.payment_opened(dossier, 1, opened())

    assert changes.payment_opened(once, 1, opened()) == once
    twice = changes.payment_opened(once, 1, opened("p2"))
    assert [p.payment_id for p in twice.payments] == ["p1", "p2"]
    assert changes.payment_opened(twice, 1, opened("p2")) == twice


def test_a_payment_that_turned_up_is_neither_refused_nor_unknown_any_more() -> None:
    dossier = changes.payment_intended(ORDER, account="main", attempt="a1", terms=TERMS, at=5)
    lost = changes.payment_unknown(dossier, 1, "no answer")
    found = changes.payment_opened(lost, 1, opened())

    assert [r.reason for r in order_state(lost).reviews] == [Reason.OUTCOME_UNKNOWN]
    assert found.payment(1).problem == ""
    assert changes.payment_refused(found, 1, "no") == found
    assert changes.payment_unknown(found, 1, "no answer") == found


def test_an_observation_reaches_only_the_payment_of_its_account() -> None:
    dossier = changes.payment_adopted(ORDER, account="main", terms=TERMS, opened=opened(), at=1)

    assert changes.observed(dossier, "other", word(Word.SETTLED)) == dossier
    assert changes.observed(dossier, "main", word(Word.SETTLED, "p9")) == dossier
    assert order_state(changes.observed(dossier, "main", word(Word.SETTLED))).status is OrderStatus.PAID


@pytest.mark.parametrize(
    ("what", "at", "lapsed"),
    [(Word.NEW, 159, False), (Word.NEW, 160, True), (Word.PARTIAL, 160, True), (Word.PROCESSING, 999, False)],
)
def test_a_window_lapses_by_our_own_timer_once_the_provider_was_asked_after_its_grace(
    what: Word, at: int, lapsed: bool
) -> None:
    dossier = changes.payment_adopted(ORDER, account="main", terms=TERMS, opened=opened(), at=1)

    payment = changes.polled(dossier, 1, word(what), at=at, habits=HABITS).payment(1)

    assert (Flag.LAPSED in payment.facts.flags) is lapsed
    assert (payment.polled_at, payment.polls) == (at, 1)


def test_only_untouched_payments_of_accounts_that_can_cancel_are_cancelled_there() -> None:
    dossier = paid()
    dossier = changes.payment_adopted(dossier, account="main", terms=TERMS, opened=opened("p2"), at=1)
    dossier = changes.payment_adopted(dossier, account="other", terms=TERMS, opened=opened("p3"), at=1)
    coin = Facts(transfers=(Transfer("a", DUE, Said.once(Stage.SEEN, 1)),))
    dossier = changes.observed(dossier, "main", Observation("p1", coin))

    wanted = changes.cancel_wanted(dossier, frozenset({"main"}))

    assert [p.cancelling for p in wanted.payments] == [None, Sending.INTENDED, None]
    assert changes.cancel_wanted(wanted, frozenset({"main"})) == wanted


# Acts


@pytest.mark.parametrize(
    ("dossier", "kind", "why"),
    [
        (ORDER, ActKind.FULFIL, "only a paid order"),
        (paid(), ActKind.CANCEL, "refund it instead"),
        (ORDER, ActKind.ACCEPT, "nothing to accept"),
        (ORDER, ActKind.RESOLVE, "no open review"),
    ],
)
def test_an_act_that_makes_no_sense_is_refused_with_the_cure(
    dossier: Dossier, kind: ActKind, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        changes.acted(dossier, Act(kind, 5))


def test_an_act_that_holds_already_changes_nothing_and_one_that_was_undone_counts_again() -> None:
    short = changes.payment_adopted(
        ORDER, account="main", terms=TERMS, opened=opened(seen=word(Word.UNDERPAID)), at=1
    )
    cancelled = changes.acted(short, Act(ActKind.CANCEL, 5))
    accepted = changes.acted(cancelled, Act(ActKind.ACCEPT, 6))
    again = changes.acted(accepted, Act(ActKind.CANCEL, 7))

    assert changes.acted(cancelled, Act(ActKind.CANCEL, 9)) == cancelled
    assert [d.cancelled for d in (cancelled, accepted, again)] == [True, False, True]


# Refunds


def test_a_refund_is_kept_once_whatever_is_asked_twice() -> None:
    once = with_refund()

    again = changes.refund_requested(once, payment=1, amount=Money(400, EUR), operation="op-1", at=6)

    assert again == once


@pytest.mark.parametrize(
    ("amount", "error", "why"),
    [
        (Money(601, EUR), Refused, "6.00 EUR is left"),
        (Money(0, EUR), BadInput, "more than nothing"),
        (Money(-1, EUR), BadInput, "more than nothing"),
        (Money(1, USD), CurrencyMismatch, "different assets"),
    ],
)
def test_a_refund_that_cannot_be_is_refused(amount: Money, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        changes.refund_requested(with_refund(), payment=1, amount=amount, operation="op-2", at=6)


def test_a_refund_is_billed_by_the_payments_own_rate_and_never_as_nothing() -> None:
    dossier = paid(Terms(DUE, Money(30, BTC)))
    ask = {"payment": 1, "at": 5}

    part = changes.refund_requested(dossier, amount=Money(500, EUR), operation="op", **ask)  # type: ignore[arg-type]
    assert part.refund(1).billed == Money(15, BTC)
    with pytest.raises(BadInput, match="smallest amount of BTC"):
        changes.refund_requested(dossier, amount=Money(1, EUR), operation="op", **ask)  # type: ignore[arg-type]


def test_a_refund_is_sent_by_one_sender_only() -> None:
    sent = changes.refund_sent(with_refund(), 1, at=6)

    with pytest.raises(Refused, match="not sent again"):
        changes.refund_sent(sent, 1, at=7)
    assert refund_status(changes.refund_unsent(sent, 1).refund(1)) is RefundStatus.REQUESTED


def test_a_refund_found_there_before_its_answer_came_was_ours_all_along() -> None:
    sent = changes.refund_sent(with_refund(), 1, at=6)
    found = changes.refund_adopted(sent, 1, refunded("r1", asked=Money(400, EUR)), at=7)

    made = changes.refund_made(found, 1, refunded("r1"))

    assert [r.origin for r in found.refunds] == [RefundOrigin.MERCHANT, RefundOrigin.PROVIDER]
    assert [(r.number, r.refund_id) for r in made.refunds] == [(1, "r1")]
    assert made.refund(1).facts.asked == {Money(400, EUR)}


def test_a_refund_of_unknown_outcome_is_recognised_by_its_operation() -> None:
    sent = changes.refund_sent(with_refund(), 1, at=6)

    found = changes.refund_adopted(sent, 1, refunded("r1", operation="op-1"), at=7)

    assert [(r.number, r.refund_id) for r in found.refunds] == [(1, "r1")]


def test_a_second_refund_there_from_one_intent_is_followed_beside_the_first() -> None:
    made = changes.refund_made(changes.refund_sent(with_refund(), 1, at=6), 1, refunded("r1"))
    second = refunded("r2", operation="op-1", asked=Money(400, EUR))

    for both in (changes.refund_made(made, 1, second), changes.refund_adopted(made, 1, second, at=8)):
        assert [r.refund_id for r in both.refunds] == ["r1", "r2"]
        assert len({r.operation for r in both.refunds}) == 2
        assert order_state(both).under_way == Money(800, EUR)


def test_one_id_there_cannot_be_two_refunds_of_ours() -> None:
    dossier = changes.refund_made(changes.refund_sent(with_refund(), 1, at=6), 1, refunded("r1"))
    dossier = changes.refund_requested(dossier, payment=1, amount=Money(100, EUR), operation="op-2", at=7)

    with pytest.raises(Refused, match="is refund 1 of this order already"):
        changes.refund_made(changes.refund_sent(dossier, 2, at=8), 2, refunded("r1"))


@pytest.mark.parametrize(
    ("asked", "billed", "amount"),
    [
        (Money(300, EUR), Money(300, EUR), Money(300, EUR)),
        (Money(10_000, BTC), Money(10_000, BTC), Money(500, EUR)),
        (Money(700, USD), Money(700, USD), DUE),
        (None, DUE, DUE),
    ],
)
def test_a_refund_made_by_hand_is_kept_at_what_it_is_worth_or_at_the_whole(
    asked: Money | None, billed: Money, amount: Money
) -> None:
    dossier = paid()
    terms = attrs.evolve(dossier.payment(1).terms, asks=(Money(20_000, BTC),))
    dossier = dossier.with_payment(attrs.evolve(dossier.payment(1), terms=terms))

    refund = changes.refund_adopted(dossier, 1, refunded("r1", asked=asked), at=7).refund(1)

    assert (refund.billed, refund.amount) == (billed, amount)


def test_only_a_manual_refund_is_recorded_by_hand() -> None:
    with pytest.raises(Refused, match="followed at the provider"):
        changes.refund_recorded(with_refund(), 1, transaction="tx", at=6)

    by_hand = changes.refund_requested(
        paid(), payment=1, amount=Money(400, EUR), operation="op", at=5, manual=True
    )
    done = changes.refund_recorded(by_hand, 1, transaction="tx", at=6)
    assert refund_status(done.refund(1)) is RefundStatus.COMPLETED
    assert done.refund(1).facts.transactions == {"tx"}
    assert changes.refund_recorded(done, 1, transaction="tx2", at=7) == done


def test_a_refund_is_withdrawn_only_before_it_was_sent() -> None:
    withdrawn = changes.refund_withdrawn(with_refund(), 1, at=6)

    assert refund_status(withdrawn.refund(1)) is RefundStatus.CANCELLED
    assert changes.refund_withdrawn(withdrawn, 1, at=7) == withdrawn
    with pytest.raises(Refused, match="too late"):
        changes.refund_withdrawn(changes.refund_sent(with_refund(), 1, at=6), 1, at=7)
    with pytest.raises(Refused, match="not sent again"):
        changes.refund_sent(withdrawn, 1, at=8)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match="no payment 7"):
        ORDER.payment(7)
    with pytest.raises(BadInput, match="no refund 7"):
        ORDER.refund(7)
