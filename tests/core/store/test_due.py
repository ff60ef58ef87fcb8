"""The protocol between the store and its couriers: claim under a lease, visit, give back."""

from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from bursar.facts import Word
from bursar.orders import Dossier
from bursar.store.timing import Timing
from bursar.work import Claimed, Visit

if TYPE_CHECKING:
    from tests.core.store.conftest import Till


def claim(till: "Till", now: int, *, limit: int = 10, lease: int = 60, owner: str = "me") -> list[Claimed]:
    return till.store.claim(now=now, limit=limit, lease=lease, owner=owner)


def visit(claimed: Claimed, at: int, **came_to: Any) -> Visit:
    return attrs.evolve(Visit(claimed.order_key, claimed.token, at), **came_to)


def test_an_order_that_wants_nothing_is_never_due(till: "Till") -> None:
    till.paid_order()

    assert till.store.next_due() is None
    assert claim(till, 10**9) == []


def test_an_order_is_due_when_it_wants_to_be_woken_and_not_before(till: "Till") -> None:
    till.wake = lambda _: 500
    key = till.order()

    assert till.store.next_due() == 500
    assert claim(till, 499) == []
    (one,) = claim(till, 500)
    assert (one.order_key, one.lease_until, one.errands_due, one.shop_due) == (key, 560, True, False)


def test_every_change_asks_anew_when_the_order_wants_to_be_woken(till: "Till") -> None:
    till.wake = lambda dossier: 500 + len(dossier.payments)
    key = till.order()
    till.do(till.opening(key, "p1"))

    assert till.store.next_due() == 501


def test_a_shop_is_told_of_each_change_and_only_one_that_wants_to_be(till: "Till") -> None:
    till.told = {"shop"}
    key = till.order("A-1", at=100)
    till.order("A-2", at=100, shop="silent")
    (one,) = claim(till, 100)
    assert (one.order_key, one.errands_due, one.shop_due) == (key, False, True)

    till.store.finish([visit(one, 101, delivered=1)])
    assert till.store.next_due() is None
    assert till.kept(key).delivered == 1

    till.do(till.opening(key, "p1"), till.says("p1", Word.SETTLED, 120))
    assert till.store.next_due() == 120
    (two,) = claim(till, 120)
    assert two.shop_due


def test_no_two_couriers_hold_one_order_at_a_time(till: "Till") -> None:
    till.wake = lambda _: 0
    keys = {till.order(f"A-{n}") for n in range(5)}
    other = till.another()

    mine = till.store.claim(now=100, limit=3, lease=60, owner="me")
    theirs = other.claim(now=100, limit=10, lease=60, owner="they")

    assert len(mine) == 3
    assert len(theirs) == 2
    assert {c.order_key for c in mine + theirs} == keys
    assert claim(till, 159) == []


def test_those_that_have_waited_longest_are_claimed_first(till: "Till") -> None:
    till.wake = lambda dossier: int(dossier.order.reference)
    for when in (30, 10, 20):
        till.order(str(when))

    assert [till.kept(c.order_key).dossier.order.reference for c in claim(till, 100, limit=2)] == ["10", "20"]


def test_a_lease_that_ran_out_lets_another_courier_claim_and_the_first_ones_report_changes_nothing(
    till: "Till",
) -> None:
    till.told = {"shop"}
    key = till.order()
    (lost,) = claim(till, 100, lease=60)
    assert till.store.next_due() == 160
    (second,) = claim(till, 160, owner="another")
    before = till.rows("due")

    till.store.finish([visit(lost, 170, delivered=1, hold_until=900, problem="slow")])

    assert till.rows("due") == before
    assert till.kept(key).delivered == 0
    till.store.finish([visit(second, 171, delivered=1)])
    assert till.kept(key).delivered == 1


def test_a_report_given_twice_counts_once(till: "Till") -> None:
    till.wake = lambda _: 0
    till.order()
    (one,) = claim(till, 100)
    failed = visit(one, 101, hold_until=200, problem="down")

    till.store.finish([failed])
    till.store.finish([failed])

    (again,) = claim(till, 200)
    assert again.attempts == 1


def test_what_changed_during_a_visit_stays_due(till: "Till") -> None:
    till.told = {"shop"}
    key = till.paid_order()
    (one,) = claim(till, 120)
    till.do(till.says("p1", Word.SETTLED, 130))
    assert claim(till, 131) == []

    till.store.finish([visit(one, 132, delivered=1)])

    kept = till.kept(key)
    assert (kept.number, kept.delivered) == (2, 1)
    (again,) = claim(till, 133)
    assert again.shop_due


def test_a_report_never_claims_more_than_was_kept_nor_takes_back_what_was_told(till: "Till") -> None:
    till.told = {"shop"}
    till.wake = lambda _: 0
    key = till.order()
    (one,) = claim(till, 100)
    till.store.finish([visit(one, 101, delivered=99)])
    assert till.kept(key).delivered == 1

    (two,) = claim(till, 102)
    till.store.finish([visit(two, 103, delivered=0)])
    assert till.kept(key).delivered == 1


def test_giving_back_asks_anew_when_the_order_wants_to_be_woken(till: "Till") -> None:
    till.wake = lambda _: 100
    till.order()
    (one,) = claim(till, 100)
    till.wake = lambda _: 777

    till.store.finish([visit(one, 101)])

    assert till.store.next_due() == 777


def test_a_failed_errand_is_held_back_and_counted_until_one_succeeds(till: "Till") -> None:
    till.wake = lambda _: 100
    till.order()
    at, attempts = 100, []
    for hold in (110, 130, 0):
        (one,) = claim(till, at)
        attempts.append(one.attempts)
        till.store.finish([visit(one, at, hold_until=hold, problem="down" if hold else "")])
        at = hold or at
        assert till.store.next_due() == max(100, hold)

    (last,) = claim(till, at)
    assert [*attempts, last.attempts] == [0, 1, 2, 0]


def test_a_change_does_not_end_the_hold_of_an_errand(till: "Till") -> None:
    till.wake = lambda _: 100
    till.paid_order()
    (one,) = claim(till, 100)
    till.store.finish([visit(one, 101, hold_until=900, problem="down")])

    till.do(till.says("p1", Word.SETTLED, 150))

    assert till.store.next_due() == 900


def test_errand_and_shop_are_held_back_apart(till: "Till") -> None:
    till.told = {"shop"}
    till.wake = lambda _: 100
    key = till.order()
    (both,) = claim(till, 100)
    assert (both.errands_due, both.shop_due) == (True, True)
    till.store.finish([visit(both, 101, shop_hold_until=500, shop_problem="shop is down")])
    assert till.kept(key).problem == "shop is down"

    (errand,) = claim(till, 102)
    assert (errand.errands_due, errand.shop_due, errand.shop_attempts) == (True, False, 1)
    till.store.finish([visit(errand, 103, hold_until=900, problem="provider is down")])

    assert till.store.next_due() == 500
    assert till.kept(key).problem == "shop is down"
    (shop,) = claim(till, 500)
    assert (shop.errands_due, shop.shop_due, shop.attempts, shop.shop_attempts) == (False, True, 1, 1)
    till.store.finish([visit(shop, 501, delivered=1)])

    assert till.kept(key).problem == ""
    assert till.store.next_due() == 900
    (last,) = claim(till, 900)
    assert (last.attempts, last.shop_attempts) == (1, 0)


def test_a_shop_that_is_told_no_more_is_not_due_for_ever(till: "Till") -> None:
    till.told = {"shop"}
    till.order()
    till.told = set()
    (one,) = claim(till, 200)
    assert (one.errands_due, one.shop_due) == (False, False)

    till.store.finish([visit(one, 201)])

    assert till.store.next_due() is None


def test_the_next_due_time_sees_past_orders_under_a_lease(till: "Till") -> None:
    till.wake = lambda dossier: int(dossier.order.reference)
    for when in (10, 20, 300):
        till.order(str(when))
    claim(till, 100, limit=2, lease=60)
    assert till.store.next_due() == 160

    assert len(claim(till, 300, limit=2, lease=1000)) == 2
    assert till.store.next_due() == 300


def test_visits_of_nobody_and_none_at_all_are_harmless(till: "Till") -> None:
    till.store.finish([])
    till.store.finish([Visit("nobody", "token", 1, delivered=3)])

    assert till.rows("due") == []


times = st.integers(0, 1000)


@given(
    wake=st.none() | times,
    hold=times,
    target=st.integers(1, 5),
    cursor=st.integers(0, 5),
    changed=times,
    shop_hold=times,
    tells=st.booleans(),
)
def test_an_order_is_never_due_while_held_nor_forgotten_while_something_is_owed(
    wake: int | None, hold: int, target: int, cursor: int, changed: int, shop_hold: int, tells: bool
) -> None:
    due = Timing(lambda _: None, lambda _: tells).due_at(
        "shop",
        wake_at=wake,
        target=target,
        changed_at=changed,
        cursor=cursor,
        hold_until=hold,
        shop_hold_until=shop_hold,
    )

    owed = [max(wake, hold)] if wake is not None else []
    if tells and cursor < target:
        owed.append(max(changed, shop_hold))
    assert due == (min(owed) if owed else None)


def test_the_store_asks_the_rule_for_the_order_as_it_is_kept(till: "Till") -> None:
    asked: list[Dossier] = []

    def wake(dossier: Dossier) -> int | None:
        asked.append(dossier)
        return 0

    till.wake = wake
    key = till.paid_order()
    (one,) = claim(till, 100)
    till.do(till.says("p1", Word.SETTLED, 130))
    till.store.finish([visit(one, 140)])

    assert asked[-1] == till.kept(key).dossier
