"""What the durable step promises to whoever hands it work."""

from typing import TYPE_CHECKING

import attrs

from bursar.changes import (
    acted,
    refund_adopted,
    refund_made,
    refund_requested,
    refund_sent,
)
from bursar.errors import BadDelivery, BadInput, NotFound, Refused
from bursar.facts import Facts, Observation, Said, Word
from bursar.lifecycle import OrderStatus, order_state
from bursar.money import Money
from bursar.orders import Act, ActKind, Dossier, Order
from bursar.refunds import RefundFacts, RefundObservation, RefundStatus, refund_status
from bursar.work import Arrival, KeptDelivery, Name, NewOrder, OnOrder

if TYPE_CHECKING:
    from tests.core.store.conftest import Till


def paid(till: "Till", key: str = "", payment_id: str = "p1") -> str:
    key = key or till.paid_order(payment_id=payment_id)
    till.do(till.says(payment_id, Word.SETTLED, 200))
    return key


def test_what_was_answered_is_there_after_the_database_is_opened_again(till: "Till") -> None:
    key = paid(till)
    before, history, deliveries = till.kept(key), till.store.history(key), till.store.deliveries(key)

    till.reopen()

    assert till.kept(key) == before
    assert till.store.history(key) == history
    assert till.store.deliveries(key) == deliveries
    assert before.state.status is OrderStatus.PAID


def test_a_delivery_is_kept_byte_for_byte_with_its_headers(till: "Till") -> None:
    key = till.paid_order()
    body = bytes(range(256)) * 5
    seen = (Observation("p1", Facts(verdict=Said[Word].once(Word.PROCESSING, 150))),)
    till.do(Arrival("main", body, {"x-sig": "ä=\u2028"}, 150, "seen", "evt-1", seen))

    assert till.store.deliveries(key) == [
        KeptDelivery("main", "seen", "evt-1", 150, body, {"x-sig": "ä=\u2028"})
    ]


def test_the_same_bytes_again_are_kept_once_and_change_nothing(till: "Till") -> None:
    key = paid(till)
    before = till.kept(key)
    again = attrs.evolve(till.says("p1", Word.SETTLED, 200), at=999)

    first, second = till.do(again, again)

    assert (first.fresh, second.fresh) == (False, False)
    assert first.kept == before
    assert len(till.store.deliveries(key)) == 1


def test_the_same_words_in_other_bytes_are_kept_and_change_nothing(till: "Till") -> None:
    key = paid(till)
    before = till.kept(key)
    versions = till.rows("due")

    (answer,) = till.do(till.says("p1", Word.SETTLED, 200, note="resent"))

    assert answer.fresh
    assert till.kept(key) == before
    assert till.rows("due") == versions
    assert len(till.store.deliveries(key)) == 2


def test_a_delivery_that_comes_twice_in_one_batch_is_kept_once(till: "Till") -> None:
    key = till.paid_order()
    arrival = till.says("p1", Word.PROCESSING, 150)

    assert [answer.fresh for answer in till.do(arrival, arrival)] == [True, False]
    assert len(till.store.deliveries(key)) == 1


def test_equal_bytes_of_two_accounts_are_two_deliveries(till: "Till") -> None:
    one = Arrival("main", b"ping", {}, 1)
    till.do(one, attrs.evolve(one, account="other"), one)

    assert sorted(d.account for d in till.store.deliveries("")) == ["main", "other"]


def test_a_delivery_that_concerns_no_order_is_kept_once(till: "Till") -> None:
    ping = Arrival("main", b"ping", {}, 1, "test")

    (first,), (second,) = till.do(ping), till.do(ping)

    assert (first.kept, first.fresh, first.parked, second.fresh) == (None, True, False, False)
    assert [d.body for d in till.store.deliveries("")] == [b"ping"]


def test_a_refund_that_turns_out_to_be_another_one_disappears_from_what_is_kept(till: "Till") -> None:
    key = paid(till)
    price = Money.parse("10.50 EUR")
    found = RefundObservation("r1", RefundFacts(asked=frozenset({Money.parse("1.00 EUR")})))

    def change(dossier: Dossier) -> Dossier:
        asked = refund_requested(
            dossier, payment=1, amount=price - Money.parse("1.00 EUR"), operation="op", at=300
        )
        return refund_adopted(refund_sent(asked, 1, at=301), 1, found, at=302)

    till.do(OnOrder(key, change, 302, "refund found"))
    assert len(till.kept(key).dossier.refunds) == 2

    till.do(OnOrder(key, lambda d: refund_made(d, 1, found), 303, "refund made"))

    till.reopen()
    (left,) = till.kept(key).dossier.refunds
    assert (left.number, left.refund_id, refund_status(left)) == (1, "r1", RefundStatus.WAITING_FOR_BUYER)
    assert len(till.rows("refunds")) == 1


def test_a_member_that_fails_is_answered_with_its_error_and_the_others_are_kept(till: "Till") -> None:
    key, other = till.paid_order("A-1", "p1"), till.paid_order("A-2", "p2")
    act = Act(ActKind.FULFIL, 150, "me")

    answers = till.store.step(
        [
            till.says("p1", Word.SETTLED, 200),
            OnOrder(other, lambda d: acted(d, act), 150, "fulfil"),
            OnOrder("nobody", lambda d: d, 150, "nothing"),
            OnOrder(key, lambda d: acted(d, act), 210, "fulfil"),
        ]
    )

    assert [type(answer) for answer in answers[1:3]] == [Refused, NotFound]
    assert till.status(key) is OrderStatus.FULFILLED
    assert till.status(other) is OrderStatus.AWAITING_PAYMENT
    assert len(till.store.history(other)) == 1


def test_nothing_is_kept_of_a_delivery_whose_effect_fails(till: "Till") -> None:
    key = till.paid_order()
    before = till.kept(key)

    answers = till.store.step([poisonous("p1", 150), till.says("p1", Word.PROCESSING, 160)])

    assert isinstance(answers[0], Exception)
    assert not isinstance(answers[1], Exception)
    assert [d.event for d in till.store.deliveries(key)] == ["processing"]
    assert till.kept(key).number == before.number + 1


def test_a_rule_that_fails_for_one_order_spoils_no_other(till: "Till") -> None:
    key, other = till.paid_order("A-1", "p1"), till.paid_order("A-2", "p2")

    def wake(dossier: Dossier) -> int | None:
        if dossier.order.key == key:
            raise BadInput("no such habits")
        return 7

    till.wake = wake
    answers = till.store.step([till.says("p1", Word.SETTLED, 200), till.says("p2", Word.SETTLED, 200)])

    assert isinstance(answers[0], BadInput)
    assert till.status(key) is OrderStatus.AWAITING_PAYMENT
    assert till.status(other) is OrderStatus.PAID
    assert till.store.next_due() == 7


def test_text_that_no_database_keeps_is_the_deliverys_fault_and_spoils_no_other(till: "Till") -> None:
    key = till.paid_order()
    broken = attrs.evolve(till.says("p1", Word.PROCESSING, 150), event="half \ud800")

    answers = till.store.step([broken, till.says("p1", Word.SETTLED, 160)])

    assert isinstance(answers[0], BadDelivery)
    assert till.status(key) is OrderStatus.PAID


def test_transitions_are_numbered_from_one_without_gaps_and_lead_from_one_to_the_next(till: "Till") -> None:
    key = till.paid_order()
    till.do(
        till.says("p1", Word.PROCESSING, 150),
        till.says("p1", Word.PROCESSING, 150),
        till.says("p1", Word.INVALID, 160),
    )
    till.do(till.says("p1", Word.SETTLED, 170))

    history = till.store.history(key)

    assert [t.number for t in history] == [1, 2, 3, 4]
    assert [t.at for t in history] == [100, 150, 160, 170]
    assert history[0].before is None
    assert [t.before for t in history[1:]] == [t.after for t in history[:-1]]
    assert history[-1].state == till.kept(key).state == order_state(till.kept(key).dossier)
    assert (till.kept(key).number, till.kept(key).changed_at) == (4, 170)


def test_a_name_that_is_taken_answers_the_order_that_has_it(till: "Till") -> None:
    key = till.order("A-1")
    again = attrs.evolve(
        till.new("A-1"), names=(Name("idempotency", "shop", "k"), Name("reference", "shop", "A-1"))
    )

    (answer,) = till.do(again)
    twins = till.do(till.new("A-2"), till.new("A-2"), till.new("A-2", shop="elsewhere"))

    assert not answer.fresh
    assert answer.kept == till.kept(key)
    assert till.store.find(Name("idempotency", "shop", "k")) is None
    assert [twin.fresh for twin in twins] == [True, False, True]
    assert twins[0].kept == twins[1].kept
    assert len(till.store.orders()) == 3


def test_opening_the_very_same_order_again_answers_the_one_that_is_there(till: "Till") -> None:
    new = attrs.evolve(till.new("A-1"), names=())

    (first,), (second,) = till.do(new), till.do(new)

    assert (first.fresh, second.fresh) == (True, False)
    assert first.kept == second.kept


def test_one_payment_cannot_pay_two_orders(till: "Till") -> None:
    one, two, three = till.paid_order("A-1", "p1"), till.order("A-2"), till.order("A-3")

    answers = till.store.step([till.opening(two, "p1"), till.opening(two, "p2"), till.opening(three, "p2")])

    assert isinstance(answers[0], Refused)
    assert isinstance(answers[2], Refused)
    assert len(till.kept(two).dossier.payments) == 1
    assert till.kept(three).dossier.payments == ()
    till.do(till.says("p1", Word.SETTLED, 200))
    assert till.status(one) is OrderStatus.PAID
    assert till.status(two) is till.status(three) is OrderStatus.AWAITING_PAYMENT


def test_one_delivery_may_concern_two_orders(till: "Till") -> None:
    one, two = till.paid_order("A-1", "p1"), till.paid_order("A-2", "p2")
    both = till.says("p1", Word.SETTLED, 200)
    both = attrs.evolve(both, seen=(*both.seen, *till.says("p2", Word.SETTLED, 200).seen))

    (answer,) = till.do(both)

    assert answer.kept == till.kept(one)
    assert till.status(one) is till.status(two) is OrderStatus.PAID
    assert len(till.store.deliveries(one)) == len(till.store.deliveries(two)) == 1


def test_a_change_that_makes_an_order_another_one_is_refused(till: "Till") -> None:
    key = till.order()
    other = Dossier(Order("other", "B", Money.parse("1.00 EUR")))

    (answer,) = till.store.step([OnOrder(key, lambda _: other, 150, "mischief")])

    assert isinstance(answer, BadInput)
    assert till.store.get("other") is None


def test_an_order_kept_with_payments_is_found_by_their_ids(till: "Till") -> None:
    key = till.paid_order()
    moved = attrs.evolve(till.kept(key).dossier.payments[0], payment_id="p9")
    order = attrs.evolve(till.kept(key).dossier.order, key="moved", reference="M")

    till.do(NewOrder(Dossier(order, (moved,)), (), 300), till.says("p9", Word.SETTLED, 310))

    assert till.store.find(Name("payment", "main", "p9")) == "moved"
    assert till.status("moved") is OrderStatus.PAID


def test_a_step_without_work_is_answered_with_nothing(till: "Till") -> None:
    assert till.store.step([]) == []


def test_a_batch_may_be_longer_than_one_lookup(till: "Till") -> None:
    many = [till.new(f"A-{n}") for n in range(520)]
    till.do(*many)
    till.reopen()

    again = till.do(*(attrs.evolve(new, dossier=Dossier(till.new("B").dossier.order)) for new in many))

    assert [answer.fresh for answer in again] == [False] * len(many)
    assert [answer.kept.dossier.order.key for answer in again if answer.kept] == [
        new.dossier.order.key for new in many
    ]


def poisonous(payment_id: str, at: int) -> Arrival:
    """Return a delivery whose observation no rule can be applied to: the word in it is none."""
    facts = Facts(verdict=Said(at, frozenset({"no word"}), frozenset({"no word"})))  # type: ignore[arg-type]
    return Arrival("main", f"poison {at}".encode(), {}, at, "poison", "", (Observation(payment_id, facts),))
