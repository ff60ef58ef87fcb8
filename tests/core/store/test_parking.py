"""A delivery that comes before its payment or refund is known waits for it, and is never lost."""

from typing import TYPE_CHECKING

from bursar.changes import (
    refund_adopted,
)
from bursar.errors import Refused
from bursar.facts import Facts, Observation, Said, Word
from bursar.lifecycle import OrderStatus
from bursar.money import Money
from bursar.orders import Dossier
from bursar.refunds import RefundFacts, RefundObservation, RefundWord
from bursar.work import Arrival, Name, OnOrder

if TYPE_CHECKING:
    from tests.core.store.conftest import Till


def paid(till: "Till", key: str = "", payment_id: str = "p1") -> str:
    key = key or till.paid_order(payment_id=payment_id)
    till.do(till.says(payment_id, Word.SETTLED, 200))
    return key


def test_a_delivery_that_comes_before_its_payment_is_known_is_parked_and_joined_later(till: "Till") -> None:
    key = till.order()

    (early,) = till.do(till.says("p1", Word.SETTLED, 105))
    (twice,) = till.do(till.says("p1", Word.SETTLED, 105))
    assert (early.parked, early.fresh, early.kept) == (True, True, None)
    assert (twice.parked, twice.fresh) == (True, False)
    assert [(p.account, p.subject) for p in till.store.parked()] == [("main", "p1")]

    (opened,) = till.do(till.opening(key, "p1"))

    assert opened.kept is not None
    assert opened.kept.state.status is OrderStatus.PAID
    assert till.store.parked() == []
    assert [d.event for d in till.store.deliveries(key)] == ["settled"]
    assert till.kept(key) == opened.kept
    assert [(t.number, t.at, t.cause) for t in till.store.history(key)] == [
        (1, 100, "order opened"),
        (2, 110, "main: settled"),
    ]


def test_a_delivery_and_the_opening_of_its_payment_may_come_in_one_batch_in_either_order(
    till: "Till",
) -> None:
    one, two = till.order("A-1"), till.order("A-2")

    before, _ = till.do(till.says("p1", Word.SETTLED, 105), till.opening(one, "p1"))
    _, after = till.do(till.opening(two, "p2"), till.says("p2", Word.SETTLED, 105))

    assert (before.parked, after.parked) == (True, False)
    assert till.status(one) is till.status(two) is OrderStatus.PAID
    assert till.store.parked() == []
    assert len(till.store.deliveries(one)) == len(till.store.deliveries(two)) == 1


def test_a_parked_delivery_waits_for_its_own_account_only(till: "Till") -> None:
    key = till.order()
    till.do(till.says("p1", Word.SETTLED, 105, account="other"))

    till.do(till.opening(key, "p1", account="main"))

    assert till.status(key) is OrderStatus.AWAITING_PAYMENT
    assert [p.account for p in till.store.parked()] == ["other"]


def test_what_cannot_be_joined_stays_parked_and_does_not_stop_the_payment_from_opening(till: "Till") -> None:
    key = till.order()
    till.do(poisonous("p1", 105), till.says("p1", Word.PROCESSING, 106))

    till.do(till.opening(key, "p1"))

    assert till.status(key) is OrderStatus.PROCESSING
    assert len(till.store.parked()) == 1
    till.reopen()
    assert till.status(key) is OrderStatus.PROCESSING


def poisonous(payment_id: str, at: int) -> Arrival:
    """Return a delivery whose observation no rule can be applied to: the word in it is none."""
    facts = Facts(verdict=Said(at, frozenset({"no word"}), frozenset({"no word"})))  # type: ignore[arg-type]
    return Arrival("main", f"poison {at}".encode(), {}, at, "poison", "", (Observation(payment_id, facts),))


def test_a_refunds_delivery_is_parked_until_the_refund_is_known(till: "Till") -> None:
    key = paid(till)
    done = RefundFacts(verdict=Said[RefundWord].once(RefundWord.DONE, 300))
    delivery = Arrival("main", b"refund", {}, 300, "refunded", "", (RefundObservation("r1", done),))
    (early,) = till.do(delivery)
    assert early.parked

    def adopt(dossier: Dossier) -> Dossier:
        asked = RefundFacts(asked=frozenset({Money.parse("10.50 EUR")}))
        return refund_adopted(dossier, 1, RefundObservation("r1", asked), at=310)

    till.do(OnOrder(key, adopt, 310, "refund found"))

    assert till.status(key) is OrderStatus.REFUNDED
    assert till.store.find(Name("refund", "main", "r1")) == key
    assert till.store.parked() == []


def test_a_parked_delivery_that_comes_again_with_the_opening_of_its_payment_is_parked_no_more(
    till: "Till",
) -> None:
    key = till.order()
    early = till.says("p1", Word.SETTLED, 105)
    till.do(early)

    again, _ = till.do(early, till.opening(key, "p1"))

    assert (again.parked, again.fresh) == (True, False)
    assert till.store.parked() == []
    assert len(till.store.deliveries(key)) == 1


def test_what_waits_for_a_payment_is_joined_even_where_its_opening_was_in_doubt_within_the_batch(
    till: "Till",
) -> None:
    one, two = till.paid_order("A-1", "p1"), till.order("A-2")
    till.do(till.says("p2", Word.SETTLED, 105))

    # Only the database knows that p1 is taken; before it is asked, both openings look different.
    answers = till.store.step(
        [till.says("p2", Word.PROCESSING, 104), till.opening(two, "p1"), till.opening(one, "p2")]
    )

    assert isinstance(answers[1], Refused)
    assert till.store.parked() == []
    assert till.status(one) is OrderStatus.PAID
