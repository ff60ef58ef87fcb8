from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.errors import BadInput, ConfigError, Declined
from bursar.flows import make_client, run
from bursar.money import Asset, Money
from bursar.orders import Rate
from bursar.rates import FixedRates, FixedSettings, convert

EUR, USD, BTC = Asset("EUR", 2), Asset("USD", 2), Asset("BTC", 8)


def ask(table: dict[str, str], sold: str, bought: str) -> Rate:
    with make_client() as client:
        return run(FixedRates(FixedSettings(table)).rate(sold, bought, now=7), client)


@given(
    st.integers(0, 10**12),
    st.decimals(min_value=Decimal("0.00000001"), max_value=10**6, places=8, allow_nan=False),
)
def test_a_conversion_is_exact_and_rounded_up_to_the_smallest_unit(minor: int, value: Decimal) -> None:
    converted = convert(Money(minor, EUR), Rate("fixed", "EUR", "USD", value, 1), USD)

    assert converted.minor == ceil(Fraction(minor) * Fraction(value))


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_an_inverse_rate_never_costs_a_unit_more_than_it_should(units: int, price: int) -> None:
    # 1 BTC = price EUR, so `units` times `price` EUR are exactly `units` BTC.
    rate = ask({"BTC/EUR": str(price)}, "EUR", "BTC")

    converted = convert(Money(units * price * 100, EUR), rate, BTC)

    assert converted.minor == units * 10**8


def test_a_configured_rate_is_answered_both_ways_and_dated() -> None:
    assert ask({"EUR/USD": "1.25"}, "EUR", "USD") == Rate("fixed", "EUR", "USD", Decimal("1.25"), 7)
    assert ask({"EUR/USD": "1.25"}, "USD", "EUR").value == Decimal("0.8")


def test_a_rate_that_is_not_configured_is_declined_with_the_cure() -> None:
    with pytest.raises(Declined, match=r"no rate for EUR/JPY; add one, or bill in JPY"):
        ask({"EUR/USD": "1.25"}, "EUR", "JPY")


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_rate_of_nothing_is_refused_at_start(value: str) -> None:
    with pytest.raises(ConfigError, match=r"EUR/USD.*above nothing"):
        FixedRates(FixedSettings({"EUR/USD": value}))


def test_a_rate_that_is_no_number_is_refused_at_start() -> None:
    with pytest.raises(BadInput, match="plain decimal"):
        FixedRates(FixedSettings({"EUR/USD": "1,25"}))
