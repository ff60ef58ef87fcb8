"""Group commit: whatever waits shares a commit, every caller gets its own answer, and nothing taken is dropped."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import CancelledError
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from bursar.errors import Busy, NotFound
from bursar.facts import Word
from bursar.lifecycle import OrderStatus
from bursar.orders import Dossier
from bursar.store import Writer
from bursar.work import Applied, OnOrder, Work

if TYPE_CHECKING:
    from tests.core.store.conftest import Till


class Gate:
    """Stand in front of a store and hold its first batch back until opened, noting the size of every batch."""

    def __init__(self, till: "Till") -> None:
        self.store, self.sizes = till.store, list[int]()
        self.entered, self.opened = Event(), Event()

    def step(self, work: Sequence[Work]) -> list[Applied | Exception]:
        self.sizes.append(len(work))
        self.entered.set()
        assert self.opened.wait(10)
        return self.store.step(work)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_what_waits_at_the_same_moment_shares_a_commit_and_nothing_is_delayed(till: "Till") -> None:
    gate = Gate(till)
    writer = Writer(gate, batch=4)
    first = writer.submit(till.new("A-0"))
    assert gate.entered.wait(10)
    rest = [writer.submit(till.new(f"A-{n}")) for n in range(1, 7)]
    gate.opened.set()

    assert all(future.result(10).fresh for future in [first, *rest])
    writer.close()
    assert gate.sizes == [1, 4, 2]


def test_each_caller_gets_its_own_answer_or_its_own_error(till: "Till") -> None:
    key = till.paid_order()
    writer = Writer(till.store)

    good = writer.submit(till.says("p1", Word.SETTLED, 200))
    bad = writer.submit(OnOrder("nobody", lambda d: d, 200, "nothing"))

    assert good.result(10).kept == till.kept(key)
    with pytest.raises(NotFound):
        bad.result(10)
    writer.close()


def test_a_full_queue_takes_nothing_and_says_so(till: "Till") -> None:
    gate = Gate(till)
    writer = Writer(gate, queue=2)
    writer.submit(till.new("A-0"))
    assert gate.entered.wait(10)
    taken = [writer.submit(till.new("A-1")), writer.submit(till.new("A-2"))]

    with pytest.raises(Busy, match="nothing was taken"):
        writer.submit(till.new("A-3"))
    gate.opened.set()

    assert [future.result(10).fresh for future in taken] == [True, True]
    writer.close()
    assert len(till.store.orders()) == 3


def test_closing_does_what_waits_and_takes_no_more(till: "Till") -> None:
    gate = Gate(till)
    writer = Writer(gate, batch=2)
    futures = [writer.submit(till.new(f"A-{n}")) for n in range(5)]
    gate.opened.set()

    writer.close()
    writer.close()

    assert all(future.done() for future in futures)
    with pytest.raises(Busy):
        writer.submit(till.new("A-9"))
    assert len(till.store.orders()) == 5


def test_what_is_given_up_before_it_begins_is_not_done(till: "Till") -> None:
    gate = Gate(till)
    writer = Writer(gate)
    writer.submit(till.new("A-0"))
    assert gate.entered.wait(10)
    given_up = writer.submit(till.new("A-1"))
    assert given_up.cancel()
    gate.opened.set()

    writer.close()

    with pytest.raises(CancelledError):
        given_up.result(0)
    assert len(till.store.orders()) == 1


def test_a_store_that_is_busy_answers_every_caller_and_the_writer_goes_on(till: "Till") -> None:
    class Full(Gate):
        def step(self, work: Sequence[Work]) -> list[Applied | Exception]:
            if not self.sizes:
                self.sizes.append(len(work))
                raise Busy("locked")
            return self.store.step(work)

    writer = Writer(Full(till))

    with pytest.raises(Busy):
        writer.submit(till.new("A-0")).result(10)

    assert writer.submit(till.new("A-0")).result(10).fresh
    writer.close()


def test_callers_on_an_event_loop_wait_without_blocking_it(till: "Till") -> None:
    key = till.paid_order()
    writer = Writer(till.store)

    async def deliver() -> list[Applied]:
        works = [till.says("p1", Word.PROCESSING, 150), till.says("p1", Word.SETTLED, 160)]
        return await asyncio.gather(*(asyncio.wrap_future(writer.submit(work)) for work in works))

    answers = asyncio.run(deliver())

    writer.close()
    assert [a.kept.state.status for a in answers if a.kept] == [OrderStatus.PROCESSING, OrderStatus.PAID]
    assert till.status(key) is OrderStatus.PAID


def test_a_change_may_itself_ask_the_store(till: "Till") -> None:
    key, other = till.order("A-1"), till.order("A-2")
    writer = Writer(till.store)

    def change(dossier: Dossier) -> Dossier:
        assert till.store.get(other) is not None
        return dossier

    assert writer.submit(OnOrder(key, change, 150, "looks elsewhere")).result(10).kept
    writer.close()
