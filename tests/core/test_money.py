import json
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import partial
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.errors import BadInput, CurrencyMismatch
from bursar.money import MAX_DECIMALS, MAX_DIGITS, Asset, Money, fiat, read_decimal
from bursar.testing import strategies

EUR, BTC, JPY = Asset("EUR", 2), Asset("BTC", 8), Asset("JPY", 0)
ANY_ASSET = st.builds(
    Asset, st.from_regex(r"[A-Z][A-Z0-9_.-]{0,19}", fullmatch=True), st.integers(0, MAX_DECIMALS)
)
ANY_MONEY = st.builds(Money, st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1), ANY_ASSET)


@given(ANY_MONEY)
def test_the_text_of_an_amount_reads_back_as_the_same_amount(amount: Money) -> None:
    if len(str(abs(amount.minor))) <= MAX_DIGITS:
        assert Money.parse(str(amount)) == amount


@given(ANY_MONEY)
def test_an_amount_is_never_written_with_an_exponent(amount: Money) -> None:
    assert "E" not in amount.plain
    assert Decimal(amount.plain) == amount.major


@given(ANY_MONEY)
def test_major_units_are_exact(amount: Money) -> None:
    assert Fraction(amount.major) == Fraction(amount.minor, 10**amount.asset.decimals)
    assert Money.of(amount.major, amount.asset) == amount


@given(
    st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(min_value=-(10**9), max_value=10**9),
    strategies.assets(),
)
def test_of_is_exact_or_refuses(number: Decimal, asset: Asset) -> None:
    try:
        amount = Money.of(number, asset)
    except BadInput:
        return

    assert Fraction(amount.major) == Fraction(number)


@pytest.mark.parametrize(
    "text",
    [
        "1E-2000000",
        "1E-999999999",
        "1E+999999",
        "1." + "0" * 250 + "1",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
    ],
)
def test_a_number_beyond_all_bounds_is_refused_and_never_rounded(text: str) -> None:
    with pytest.raises(BadInput, match="finite number"):
        Money.of(Decimal(text), EUR)


def test_a_number_from_json_keeps_every_digit() -> None:
    number = json.loads('{"amount": 0.1000000000000000055}', parse_float=Decimal)["amount"]

    with pytest.raises(BadInput, match="more than 2 decimals"):
        Money.of(number, EUR)
    assert Money.of(number, Asset("ETH", 18), rounding=ROUND_CEILING).minor == 10**17 + 6


@pytest.mark.parametrize("amount", [1.5, 0.0, True, None, b"1", [1]])
def test_what_is_not_exact_is_not_an_amount(amount: Any) -> None:
    with pytest.raises(BadInput, match="never"):
        Money.of(amount, EUR)


@pytest.mark.parametrize("minor", [1.0, True, "1", Decimal(1), None])
def test_smallest_units_are_counted_in_whole_numbers(minor: Any) -> None:
    with pytest.raises(BadInput, match="whole smallest units"):
        Money(minor, EUR)


@pytest.mark.parametrize("digits", [MAX_DIGITS, 6000])
def test_an_absurd_amount_is_refused_whatever_its_length(digits: int) -> None:
    for minor in (10**digits, -(10**digits)):
        with pytest.raises(BadInput, match="digits"):
            Money(minor, EUR)


@pytest.mark.parametrize(
    "text", ["1e3", "1,000.00", " 1", "1 ", "+1", "0x1", "1.", ".5", "", "１", "1_000", "NaN"]
)
def test_only_a_plain_decimal_number_is_read(text: str) -> None:
    with pytest.raises(BadInput, match="plain decimal"):
        read_decimal(text)


@pytest.mark.parametrize(
    "text", ["10.50EUR", "10.50 eur", "EUR 10.50", "10,50 EUR", "1e2 EUR", "10.50  EUR", ""]
)
def test_only_what_str_writes_is_parsed(text: str) -> None:
    with pytest.raises(BadInput, match="such as"):
        Money.parse(text)


@pytest.mark.parametrize("code", ["", "eur", "1INCH", "A" * 21, "EUR ", "ÉUR"])
def test_an_asset_code_is_short_and_in_capitals(code: str) -> None:
    with pytest.raises(BadInput, match="asset code"):
        Asset(code, 2)


@pytest.mark.parametrize("decimals", [-1, MAX_DECIMALS + 1])
def test_an_asset_has_a_sane_number_of_decimals(decimals: int) -> None:
    with pytest.raises(BadInput, match="decimals"):
        Asset("EUR", decimals)


@pytest.mark.parametrize(("code", "decimals"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_currencies_have_the_decimals_of_iso_4217(code: str, decimals: int) -> None:
    assert fiat(code) == Asset(code, decimals)


@pytest.mark.parametrize("code", ["BTC", "eur", "XXX", "XAU", ""])
def test_what_is_no_spendable_currency_of_iso_4217_is_refused(code: str) -> None:
    with pytest.raises(BadInput, match="ISO 4217"):
        fiat(code)


@given(strategies.money(EUR), strategies.money(EUR), strategies.money(EUR))
def test_addition_is_exact_and_can_be_undone(a: Money, b: Money, c: Money) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + b - b == a
    assert a - b == -(b - a)
    assert (a < b) == (a.minor < b.minor)


def test_amounts_of_different_assets_never_mix() -> None:
    one, other = Money(1, EUR), Money(1, BTC)

    for mix in (lambda: one + other, lambda: one - other, lambda: one < other, lambda: max(one, other)):
        with pytest.raises(CurrencyMismatch, match="of different assets"):
            mix()
    assert one != other
    assert Money.zero(EUR) != Money.zero(BTC)


def test_money_is_not_mixed_with_bare_numbers() -> None:
    with pytest.raises(BadInput, match="not int"):
        Money(1, EUR) + 1  # type: ignore[operator]


@given(
    st.integers(0, 10**40),
    st.integers(0, 10**40),
    st.integers(1, 10**40),
    st.sampled_from(["ROUND_DOWN", "ROUND_CEILING"]),
)
def test_a_share_is_exact_to_the_smallest_unit(minor: int, part: int, whole: int, rounding: str) -> None:
    exact = Fraction(minor * part, whole)
    if exact >= 10**MAX_DIGITS:
        return

    share = Money(minor, EUR).share(Money(part, BTC), Money(whole, BTC), rounding=rounding)

    assert share.minor == (floor(exact) if rounding == "ROUND_DOWN" else ceil(exact))


@given(st.integers(0, 10**20), st.integers(1, 10**20))
def test_the_whole_share_is_the_whole(minor: int, whole: int) -> None:
    assert Money(minor, EUR).share(Money(whole, BTC), Money(whole, BTC)) == Money(minor, EUR)


@pytest.mark.parametrize("whole", [0, -1])
def test_a_share_needs_something_to_be_a_share_of(whole: int) -> None:
    with pytest.raises(BadInput, match="whole above nothing"):
        Money(1, EUR).share(Money(1, BTC), Money(whole, BTC))


@pytest.mark.parametrize("rounding", ["", "ROUND_UPWARDS"])
def test_an_unknown_rounding_is_refused_everywhere(rounding: str) -> None:
    amount = Money(100, EUR)

    for rounded in (
        partial(Money.of, "1.005", EUR, rounding=rounding),
        partial(amount.share, amount, amount, rounding=rounding),
        partial(amount.percent, Decimal(10), rounding=rounding),
    ):
        with pytest.raises(BadInput, match="ROUND"):
            rounded()


def test_rounding_is_only_ever_what_was_named() -> None:
    assert Money.of("1.005", EUR, rounding=ROUND_HALF_UP) == Money(101, EUR)
    assert Money.of("1.009", EUR, rounding=ROUND_FLOOR) == Money(100, EUR)
    assert Money(999, EUR).percent(Decimal("12.5")) == Money(124, EUR)
    assert Money(999, EUR).percent(Decimal("12.5"), rounding=ROUND_CEILING) == Money(125, EUR)


@given(st.integers(-(10**20), 10**20), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_a_split_loses_no_unit_and_is_fair_to_one_unit(minor: int, weights: list[int]) -> None:
    if not sum(weights):
        with pytest.raises(BadInput, match="weights"):
            Money(minor, EUR).split(weights)
        return

    parts = Money(minor, EUR).split(weights)

    assert sum(part.minor for part in parts) == minor
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor - Fraction(minor * weight, sum(weights))) < 1


def test_zero_decimals_are_shown_without_a_point() -> None:
    assert str(Money(1050, JPY)) == "1050 JPY"
    assert str(Money(1050, EUR)) == "10.50 EUR"
    assert str(Money(5, BTC)) == "0.00000005 BTC"
    assert str(Money(-5, EUR)) == "-0.05 EUR"
