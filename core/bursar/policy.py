"""What counts as paid, as data: chosen per account, overridable per order, kept with every payment."""

from decimal import Decimal
from enum import Enum

import attrs

from bursar.errors import BadInput
from bursar.money import Money

__all__ = ["LateMoney", "Policy", "Surplus"]


class LateMoney(Enum):
    """Say what becomes of money that the buyer sent after the window had closed."""

    REVIEW = "review"
    ACCEPT = "accept"
    REFUND = "refund"


class Surplus(Enum):
    """Say what becomes of money above what was due."""

    REVIEW = "review"
    CREDIT = "credit"
    REFUND = "refund"


def _check_percent(_: object, __: object, percent: Decimal) -> None:
    if not (percent.is_finite() and 0 <= percent <= 100):
        raise BadInput(f"tolerance_percent is a number from 0 to 100, not {percent}")


def _check_positive(_: object, attribute: "attrs.Attribute[Money | None]", amount: Money | None) -> None:
    if amount is not None and amount.minor < 0:
        raise BadInput(f"{attribute.name} cannot be negative: {amount}")


@attrs.frozen
class Policy:
    """Decide what counts as paid.

    *seen_enough_below*: a payment worth less than this counts as paid as soon as it is seen, unconfirmed.
    *tolerance* and *tolerance_percent*: what may be missing; the larger of the two holds. An amount in another
    currency than the order's does not apply. *late_grace* is in seconds.
    """

    seen_enough_below: Money | None = attrs.field(default=None, validator=_check_positive)
    tolerance: Money | None = attrs.field(default=None, validator=_check_positive)
    tolerance_percent: Decimal = attrs.field(default=Decimal(0), validator=_check_percent)
    late: LateMoney = LateMoney.REVIEW
    late_grace: int = 0
    surplus: Surplus = Surplus.REVIEW
    accept_marked_by_hand: bool = True

    def allows_short(self, due: Money) -> Money:
        """Return what may be missing of *due*."""
        allowed = due.percent(self.tolerance_percent)
        if self.tolerance is not None and self.tolerance.asset == due.asset:
            allowed = max(allowed, self.tolerance)
        return min(allowed, due)

    def seen_is_enough(self, worth: Money) -> bool:
        """Tell whether a payment worth *worth* counts before it is confirmed."""
        limit = self.seen_enough_below
        return limit is not None and limit.asset == worth.asset and worth < limit
