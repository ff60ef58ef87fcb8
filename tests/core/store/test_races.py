"""Two processes on one database: whatever they do at the same moment, it comes out as if one had come first."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest

from bursar.changes import acted
from bursar.errors import BursarError, Refused
from bursar.facts import Word
from bursar.lifecycle import OrderStatus
from bursar.orders import Act, ActKind, Dossier
from bursar.store import Store
from bursar.work import Applied, OnOrder, Work

if TYPE_CHECKING:
    from tests.core.store.conftest import Till

T = TypeVar("T")


def at_once(*actions: Callable[[], T]) -> list[T]:
    """Run *actions* at the same moment, each in a thread of its own."""
    together = Barrier(len(actions))

    def run(action: Callable[[], T]) -> T:
        together.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def stepping(store: Store, *work: Work) -> Callable[[], list[Applied | Exception]]:
    return lambda: store.step(work)


def test_one_name_asked_for_by_two_at_once_ends_in_one_order(till: "Till") -> None:
    stores = [till.store, till.another(), till.another()]
    for n in range(8):
        answers = at_once(*(stepping(store, till.new(f"A-{n}")) for store in stores))

        applied = [a for batch in answers for a in batch if not isinstance(a, Exception)]
        assert len(applied) == 3
        assert sorted(a.fresh for a in applied) == [False, False, True]
        assert len({a.kept.dossier.order.key for a in applied if a.kept}) == 1
    assert len(till.store.orders()) == 8


def test_a_delivery_and_the_opening_of_its_payment_at_the_same_moment_miss_each_other_never(
    till: "Till",
) -> None:
    other = till.another()
    keys = [till.order(f"A-{n}") for n in range(12)]
    for n, key in enumerate(keys):
        at_once(
            stepping(till.store, till.opening(key, f"p{n}")),
            stepping(other, till.says(f"p{n}", Word.SETTLED, 200)),
        )

    assert till.store.parked() == []
    assert [till.status(key) for key in keys] == [OrderStatus.PAID] * len(keys)
    assert [other.get(key) for key in keys] == [till.store.get(key) for key in keys]


def test_changes_of_one_order_by_two_at_once_all_count_and_are_numbered_without_gaps(till: "Till") -> None:
    key = till.paid_order()
    stores = [till.store, till.another()]
    words = [Word.PROCESSING, Word.INVALID, Word.PARTIAL, Word.SETTLED, Word.EXPIRED, Word.NEW]
    for n in range(6):
        at_once(
            *(
                stepping(store, till.says("p1", words[(n + i) % 6], 200 + n * 2 + i))
                for i, store in enumerate(stores)
            )
        )

    assert len(till.store.deliveries(key)) == 12
    facts = till.kept(key).dossier.payments[0].facts
    assert facts.verdict is not None
    assert facts.verdict.ever == frozenset(words)
    assert [t.number for t in till.store.history(key)] == list(range(1, till.kept(key).number + 1))
    assert stores[1].get(key) == till.store.get(key)


def test_what_only_one_may_do_is_done_by_one(till: "Till") -> None:
    stores = [till.store, till.another()]
    for n in range(6):
        key = till.paid_order(f"A-{n}", f"p{n}")

        def cancel(dossier: Dossier) -> Dossier:
            if dossier.acts:
                raise Refused("somebody was first")
            return acted(dossier, Act(ActKind.CANCEL, 300, "me"))

        answers = at_once(*(stepping(store, OnOrder(key, cancel, 300, "cancel")) for store in stores))

        assert sorted(isinstance(batch[0], Refused) for batch in answers) == [False, True]
        assert len(till.kept(key).dossier.acts) == 1


def test_batches_that_share_orders_never_wait_for_each_other_in_a_circle(till: "Till") -> None:
    stores = [till.store, till.another(), till.another()]
    keys = [till.paid_order(f"A-{n}", f"p{n}") for n in range(8)]
    for at in range(200, 206):
        forward = [till.says(f"p{n}", Word.PROCESSING, at, note="a") for n in range(8)]
        back = [till.says(f"p{n}", Word.PROCESSING, at, note="b") for n in reversed(range(8))]
        news = [till.new(f"B-{at}-{n}") for n in range(4)]
        unknown = [till.says(f"q{at}-{n}", Word.NEW, at) for n in range(4)]
        answers = at_once(
            stepping(stores[0], *forward, *news, *unknown),
            stepping(stores[1], *back, *reversed(news), *reversed(unknown)),
            stepping(stores[2], *unknown, *news),
        )
        assert [a for batch in answers for a in batch if isinstance(a, Exception)] == []

    assert [len(till.store.deliveries(key)) for key in keys] == [12] * 8


def test_couriers_at_the_same_moment_share_the_due_orders_without_overlap(till: "Till") -> None:
    till.wake = lambda _: 0
    stores = [till.store, till.another(), till.another()]
    keys = {till.order(f"A-{n}") for n in range(12)}
    claimed: list[str] = []
    for _ in range(4):
        for batch in at_once(
            *(lambda s=store: s.claim(now=100, limit=2, lease=60, owner="me") for store in stores)
        ):
            claimed += [one.order_key for one in batch]

    assert sorted(claimed) == sorted(keys)


def test_an_answer_is_what_another_process_reads(till: "Till") -> None:
    other = till.another()
    key = till.paid_order()
    assert other.get(key) == till.store.get(key)

    till.do(till.says("p1", Word.SETTLED, 200))

    assert other.get(key) == till.store.get(key)
    (answer,) = other.step([till.says("p1", Word.SETTLED, 200)])
    assert not isinstance(answer, BursarError)
    assert isinstance(answer, Applied)
    assert answer.kept == till.store.get(key)


@pytest.mark.slow
@pytest.mark.processes
def test_one_name_asked_for_by_many_processes_ends_in_one_order(till: "Till") -> None:
    code = """
import sys
from bursar.money import Money
from bursar.orders import Dossier, Order
from bursar.store import open_store
from bursar.work import Name, NewOrder
store = open_store(sys.argv[1], wake=lambda d: None, tell=lambda s: False)
print("ready", flush=True)
sys.stdin.readline()
for n in range(20):
    order = Order(f"{sys.argv[2]}-{n}", f"A-{n}", Money.parse("1.00 EUR"))
    (answer,) = store.step([NewOrder(Dossier(order), (Name("reference", "shop", f"A-{n}"),), 1)])
    print(answer.kept.dossier.order.key, answer.fresh)
store.close()
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, till.url, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.communicate(timeout=60)[0].splitlines() for process in started]

    for answers in zip(*lines, strict=True):
        assert len({answer.split()[0] for answer in answers}) == 1
        assert sorted(answer.split()[1] for answer in answers) == ["False", "False", "True"]
    assert len(till.store.orders()) == 20
