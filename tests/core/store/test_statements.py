"""What the database is asked: a constant number of statements for any batch, and none that reads a table through."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from bursar.facts import Word
from bursar.store import schema
from bursar.work import Arrival, Work

if TYPE_CHECKING:
    from tests.core.store.conftest import Till


@contextmanager
def recorded(till: "Till") -> Iterator[list[tuple[str, Any]]]:
    """Collect every statement that the store sends, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, ___: object, ____: bool) -> None:
        sent.append((statement, parameters))

    event.listen(till.store.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(till.store.database.engine, "before_cursor_execute", note)


def in_batches_of(till: "Till", size: int, make: Callable[[int], Work]) -> int:
    with recorded(till) as sent:
        till.do(*(make(n) for n in range(size)))
    return len(sent)


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_batch_of_deliveries_is_a_constant_number_of_statements(till: "Till", cold: bool) -> None:
    for n in range(32):
        till.paid_order(f"A-{n}", f"p{n}")
    counts: list[int] = []
    for size, word, at in ((1, Word.PROCESSING, 150), (16, Word.PARTIAL, 155), (32, Word.SETTLED, 160)):
        if cold:
            till.reopen()

        def deliver(n: int, word: Word = word, at: int = at) -> Arrival:
            return till.says(f"p{n}", word, at)

        counts.append(in_batches_of(till, size, deliver))

    assert len(set(counts)) == 1
    # Warm: begin, orders under lock, deliveries there, then facts, transitions, due, deliveries (and on PostgreSQL
    # the transaction's number). Cold: the names, and the six tables that hold an order.
    assert counts[0] <= (16 if cold else 8)


def test_a_batch_of_new_orders_is_a_constant_number_of_statements(till: "Till") -> None:
    one = in_batches_of(till, 1, lambda n: till.new(f"A-{n}"))
    many = in_batches_of(till, 64, lambda n: till.new(f"B-{n}"))

    assert one == many <= 12


def test_a_batch_of_parked_deliveries_is_a_constant_number_of_statements(till: "Till") -> None:
    one = in_batches_of(till, 1, lambda n: till.says(f"p{n}", Word.SETTLED, 150))
    many = in_batches_of(till, 64, lambda n: till.says(f"q{n}", Word.SETTLED, 150))

    assert one == many <= 10


def test_a_batch_that_opens_payments_with_parked_deliveries_is_a_constant_number_of_statements(
    till: "Till",
) -> None:
    keys = [till.order(f"A-{n}") for n in range(17)]
    till.do(*(till.says(f"p{n}", Word.SETTLED, 105) for n in range(17)))

    one = in_batches_of(till, 1, lambda _: till.opening(keys[16], "p16"))
    many = in_batches_of(till, 16, lambda n: till.opening(keys[n], f"p{n}"))

    assert one == many <= 20
    assert till.store.parked() == []


# PostgreSQL reads small tables through whatever their indexes are.
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_statement_of_the_step_or_the_courier_reads_a_table_through(till: "Till") -> None:
    till.told = {"shop"}
    till.wake = lambda _: 100
    key = till.paid_order()
    till.do(till.says("unknown", Word.SETTLED, 120))
    till.reopen()
    with recorded(till) as sent:
        till.do(till.says("p1", Word.SETTLED, 130), till.says("later", Word.SETTLED, 130), till.new("A-2"))
        till.do(till.opening(till.order("A-3"), "later"))
        claimed = till.store.claim(now=200, limit=1, lease=60, owner="me")
        till.store.next_due()
        till.store.orders()
        till.store.orders(needs_review=True)
        till.store.history(key)
        till.store.deliveries(key)
    assert claimed
    statements = [one for one in sent if one[0].lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH"))]
    assert len(statements) > 15
    with till.store.database.engine.connect() as connection:
        for statement, parameters in statements:
            row = parameters[0] if isinstance(parameters, list) else parameters
            plan = [
                line.detail for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", row)
            ]
            through = [
                line
                for line in plan
                if line.startswith("SCAN bursar_") and "USING" not in line and "INDEX" not in line
            ]
            assert through == [], statement


def test_every_table_but_the_lookups_from_outside_is_led_by_the_orders_key() -> None:
    elsewhere = {"bursar_names", "bursar_parked"}

    for table in schema.metadata.sorted_tables:
        key = [column.name for column in table.primary_key.columns]
        assert (key[0] == "order_key") is (table.name not in elsewhere), table.name
        for index in table.indexes:
            assert not index.unique, index.name
        assert [c for c in table.constraints if c is not table.primary_key] == [], table.name


def test_no_column_holds_a_float() -> None:
    kinds = {str(column.type) for table in schema.metadata.sorted_tables for column in table.columns}

    assert kinds == {"TEXT", "BIGINT", "BLOB"}
