from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bursar.cli.demo.ledger import PRODUCTS, Ledger, Sale
from bursar.money import Money, fiat

STATUSES = ["awaiting_payment", "processing", "paid", "expired"]


def message(sale: Sale, number: int, status: str) -> dict[str, Any]:
    return {
        "type": "order.changed",
        "number": number,
        "order": {"reference": sale.reference, "status": status},
    }


def sold() -> tuple[Ledger, Sale]:
    ledger = Ledger()
    return ledger, ledger.sell(PRODUCTS["tea"], "btcpay", at=1)


def test_every_product_has_an_exact_price() -> None:
    for product in PRODUCTS.values():
        assert Money.of(product.price, fiat(product.currency)).minor > 0


def test_goods_are_shipped_when_the_shop_is_told_that_they_are_paid() -> None:
    ledger, sale = sold()

    ledger.hear(message(sale, 1, "awaiting_payment"))
    assert sale.shipped == 0
    ledger.hear(message(sale, 2, "paid"))

    assert (sale.shipped, sale.status, sale.number) == (1, "paid", 2)


@given(st.permutations(range(1, 8)), st.lists(st.integers(0, 6), max_size=10), st.data())
def test_whatever_comes_twice_or_out_of_order_the_newest_message_holds(
    order: list[int], repeats: list[int], data: st.DataObject
) -> None:
    ledger, sale = sold()
    statuses = data.draw(st.lists(st.sampled_from(STATUSES), min_size=7, max_size=7))
    messages = [message(sale, number, statuses[number - 1]) for number in order]
    messages += [messages[index] for index in repeats]

    for one in messages:
        ledger.hear(one)

    assert sale.number == 7
    assert sale.status == statuses[6]
    numbers = [number for number, _ in sale.told]
    assert numbers == sorted(set(numbers))
    assert len(sale.told) + sale.repeats == len(messages)


def test_a_repeated_message_ships_nothing_again() -> None:
    ledger, sale = sold()

    for _ in range(3):
        ledger.hear(message(sale, 2, "paid"))

    assert (sale.shipped, sale.repeats) == (1, 2)


def test_a_status_that_is_entered_again_is_counted_again() -> None:
    ledger, sale = sold()

    for number, status in enumerate(["paid", "paid", "processing", "paid"], 1):
        ledger.hear(message(sale, number, status))

    assert sale.entered == {"paid": 2, "processing": 1}
    assert sale.shipped == 2


def test_a_message_about_an_order_of_nobody_changes_nothing() -> None:
    ledger, sale = sold()

    ledger.hear({"type": "order.changed", "number": 9, "order": {"reference": "other", "status": "paid"}})

    assert ledger.strays == 1
    assert sale.told == []


def test_a_reference_is_never_given_twice() -> None:
    ledger, sale = sold()
    ledger.unsell(sale)

    assert ledger.sell(PRODUCTS["tea"], "", at=2).reference != sale.reference
