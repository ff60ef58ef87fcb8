from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bursar.config import read_config
from bursar.errors import BadInput, NotFound, Refused
from bursar.lifecycle import OrderStatus
from bursar.money import Money
from bursar.service import Bursar

CONFIG = """
[bursar]
database = "sqlite:///{file}"
public_url = "https://pay.example/"
account = "main"
[accounts.main]
provider = "coinpay"
business_id = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"
api_key = "literal:cp_live_0123456789abcdef0123456789abcdef"
webhook_secret = "literal:hook"
"""


def make(tmp_path: Path, more: str = "") -> Bursar:
    config = read_config(CONFIG.replace("{file}", (tmp_path / "b.db").as_posix()) + more, env={})
    return Bursar(config, clock=lambda: 1_790_000_000.9)


@pytest.fixture
def bursar(tmp_path: Path) -> Iterator[Bursar]:
    with make(tmp_path) as one:
        yield one


def test_an_order_is_opened_and_found_by_its_key_and_by_the_shops_own_name(bursar: Bursar) -> None:
    order = bursar.open_order(reference="1001", amount="49.90", currency="EUR", description=" two books ")

    assert (order.status, order.amount, order.number) == (
        OrderStatus.AWAITING_PAYMENT,
        Money.parse("49.90 EUR"),
        1,
    )
    assert order.kept.dossier.order.description == "two books"
    assert order.kept.dossier.order.created_at == 1_790_000_000
    assert order.checkout_url == f"https://pay.example/pay/{order.key}.{order.kept.dossier.order.token}"
    assert bursar.order(order.key) == bursar.find("1001") == order
    assert [(t.number, t.before, t.after) for t in bursar.history(order.key)] == [
        (1, None, OrderStatus.AWAITING_PAYMENT)
    ]
    assert [one.reference for one in bursar.orders()] == ["1001"]


def test_opening_the_same_order_again_returns_the_one_that_is_there(bursar: Bursar) -> None:
    orders = [
        bursar.open_order(reference="1001", amount=amount, currency="EUR") for amount in ("5", "5.00", 5)
    ]
    orders += [bursar.open_order(reference="1001", amount=amount) for amount in (Money.parse("5.00 EUR"),)]
    orders += [
        bursar.open_order(reference="1001", amount=Decimal("5.0"), currency="EUR", description="other words")
    ]

    assert len({order.key for order in orders}) == 1
    assert len(bursar.orders()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"amount": "5.01", "currency": "EUR"},
        {"amount": "5.00", "currency": "USD"},
        {"amount": "500", "currency": "JPY"},
    ],
)
def test_another_debt_under_the_same_name_is_refused(bursar: Bursar, other: dict[str, Any]) -> None:
    bursar.open_order(reference="1001", amount="5.00", currency="EUR")

    with pytest.raises(Refused, match=r"has order '1001' of 5\.00 EUR already"):
        bursar.open_order(reference="1001", **other)
    assert len(bursar.orders()) == 1


def test_an_idempotency_key_names_one_order_even_under_other_names(bursar: Bursar) -> None:
    first = bursar.open_order(reference="1001", amount="5", currency="EUR", idempotency_key="cart-7")

    again = bursar.open_order(reference="1001", amount="5", currency="EUR", idempotency_key="cart-7")
    assert first.key == again.key
    with pytest.raises(Refused, match="needs another"):
        bursar.open_order(reference="1002", amount="5", currency="EUR", idempotency_key="cart-7")
    assert len(bursar.orders()) == 1


def test_two_shops_can_use_the_same_name(tmp_path: Path) -> None:
    with make(tmp_path) as bursar:
        one = bursar.open_order(reference="1001", amount="5", currency="EUR", shop="books")
        other = bursar.open_order(reference="1001", amount="6", currency="EUR", shop="music")

        assert one.key != other.key
        assert bursar.find("1001", shop="music").amount == Money.parse("6.00 EUR")
        with pytest.raises(NotFound, match="shop 'shop' has no order '1001'"):
            bursar.find("1001")


def test_beside_configured_shops_an_unknown_one_is_a_slip(tmp_path: Path) -> None:
    with make(tmp_path, "[shops.books]\n") as bursar:
        assert bursar.open_order(reference="1", amount="5", currency="EUR", shop="books").shop == "books"
        with pytest.raises(BadInput, match="no shop 'shop'; configured: books"):
            bursar.open_order(reference="2", amount="5", currency="EUR")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"amount": 5.0}, BadInput, "never a float"),
        ({"amount": True}, BadInput, "never bool"),
        ({"amount": "5.001"}, BadInput, "more than 2 decimals"),
        ({"amount": "5,00"}, BadInput, "not a plain decimal number"),
        ({"amount": "1e3"}, BadInput, "not a plain decimal number"),
        ({"amount": Decimal("NaN")}, BadInput, "finite"),
        ({"amount": "0"}, BadInput, "needs no payment"),
        ({"amount": "-1"}, BadInput, "less than nothing"),
        ({"currency": None}, BadInput, "needs its currency"),
        ({"currency": "XYZ"}, BadInput, "not a currency code"),
        ({"currency": "eur"}, BadInput, "not a currency code"),
        ({"reference": ""}, BadInput, "1 to 128"),
        ({"reference": " 1"}, BadInput, "without spaces at its ends"),
        ({"reference": "1" * 129}, BadInput, "1 to 128"),
        ({"reference": "1\n2"}, BadInput, "printable"),
        ({"reference": "1\ud800"}, BadInput, "half a character"),
        ({"description": "a\x00"}, BadInput, "control character"),
        ({"description": 7}, BadInput, "is text"),
        ({"return_url": "javascript:alert(1)"}, BadInput, "begins with https"),
        ({"return_url": "https://shop.example/a b"}, BadInput, "without spaces"),
        ({"return_url": "https://shop.example/\u202e"}, BadInput, "without spaces"),
        ({"idempotency_key": "k" * 256}, BadInput, "at most 255"),
        ({"policy": {"lat": "accept"}}, BadInput, "not a setting of a policy"),
        ({"policy": {"late": "take"}}, BadInput, "choose review"),
        ({"policy": {"late_grace": 60}}, BadInput, "written as text"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_what_was_wrong(
    bursar: Bursar, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    order: dict[str, Any] = {"reference": "1", "amount": "5", "currency": "EUR"} | given

    with pytest.raises(error, match=words):
        bursar.open_order(**order)
    assert bursar.orders() == []


def test_a_long_description_is_cut(bursar: Bursar) -> None:
    order = bursar.open_order(reference="1", amount="5", currency="EUR", description="x" * 900)

    assert len(order.kept.dossier.order.description) == 500


def test_an_order_overrides_the_accounts_policy(bursar: Bursar) -> None:
    order = bursar.open_order(
        reference="1", amount="5", currency="EUR", policy={"late": "accept", "tolerance": "1.00 EUR"}
    )
    policy = bursar.desk.policy(bursar.desk.account("main"), order.kept.dossier)

    assert (policy.late.value, policy.tolerance) == ("accept", Money.parse("1.00 EUR"))


@pytest.mark.parametrize("key", ["", "no-such", "\x00", "\ud800", "1" * 5_000])
def test_an_unknown_order_is_not_found(bursar: Bursar, key: str) -> None:
    with pytest.raises(NotFound, match="no order"):
        bursar.order(key)
    with pytest.raises(NotFound, match="has no order"):
        bursar.find(key)
