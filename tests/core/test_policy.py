from decimal import Decimal

import pytest
from hypothesis import given

from bursar.errors import BadInput
from bursar.money import Asset, Money
from bursar.policy import Policy
from bursar.testing import strategies

EUR, USD = Asset("EUR", 2), Asset("USD", 2)


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (Policy(), 0),
        (Policy(tolerance=Money(50, EUR)), 50),
        (Policy(tolerance_percent=Decimal("0.5")), 5),
        (Policy(tolerance=Money(3, EUR), tolerance_percent=Decimal("0.5")), 5),
        (Policy(tolerance=Money(50, EUR), tolerance_percent=Decimal("0.5")), 50),
        (Policy(tolerance=Money(50, USD)), 0),
        (Policy(tolerance=Money(5000, EUR)), 1000),
    ],
)
def test_the_larger_tolerance_holds_and_never_more_than_what_is_due(policy: Policy, allowed: int) -> None:
    assert policy.allows_short(Money(1000, EUR)) == Money(allowed, EUR)


@given(strategies.policies(), strategies.money(EUR))
def test_what_may_be_missing_is_between_nothing_and_all(policy: Policy, due: Money) -> None:
    assert Money.zero(EUR) <= policy.allows_short(due) <= due


@pytest.mark.parametrize("percent", ["-1", "100.01", "NaN", "Infinity"])
def test_a_percentage_is_from_0_to_100(percent: str) -> None:
    with pytest.raises(BadInput, match="0 to 100"):
        Policy(tolerance_percent=Decimal(percent))


def test_amounts_of_a_policy_are_not_negative() -> None:
    with pytest.raises(BadInput, match="tolerance cannot be negative"):
        Policy(tolerance=Money(-1, EUR))
    with pytest.raises(BadInput, match="seen_enough_below cannot be negative"):
        Policy(seen_enough_below=Money(-1, EUR))
