"""The port for exchange rates: what a rate source is, and how an amount is converted by a kept rate."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

import attrs

from bursar.errors import ConfigError, Declined
from bursar.flows import Flow
from bursar.money import Asset, Money, read_decimal
from bursar.orders import Rate

__all__ = ["FixedRates", "FixedSettings", "RateSource", "convert"]

_EXACT: Final = Context(prec=60)
_KNOWN: Final = Context(prec=50)


def convert(amount: Money, rate: Rate, asset: Asset) -> Money:
    """Return *amount* in *asset* by *rate*, rounded up to the smallest unit, so that a shop is never short of a unit."""
    exact = _EXACT.multiply(amount.major, rate.value)
    # The last digits of an inverse are rounding; rounded up, they would cost a buyer a unit.
    return Money.of(_KNOWN.plus(exact), asset, rounding=ROUND_CEILING)


@runtime_checkable
class RateSource(Protocol):
    """Tell at what rate one currency is exchanged for another. Made with an instance of its own `Settings`."""

    name: ClassVar[str]
    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any) -> None: ...

    def rate(self, sold: str, bought: str, *, now: int) -> Flow[Rate]:
        """Return the rate by which one *sold* is worth so many *bought*. Raise `Declined` where it has none."""
        ...


@attrs.frozen
class FixedSettings:
    """Settings of `[rates]` with `source = "fixed"`: *table* gives one `SOLD/BOUGHT = "value"` a line."""

    table: Mapping[str, str] = attrs.field(factory=lambda: dict[str, str]())


class FixedRates:
    """Answer rates from the configuration; the merchant keeps them true."""

    name: ClassVar[str] = "fixed"
    Settings: ClassVar[type[Any]] = FixedSettings

    def __init__(self, settings: FixedSettings) -> None:
        self.table = {pair: read_decimal(value) for pair, value in settings.table.items()}
        for pair, value in self.table.items():
            if value <= 0:
                raise ConfigError(f"rates.table: {pair} is {value}; a rate is above nothing")

    def rate(self, sold: str, bought: str, *, now: int) -> Flow[Rate]:
        """Return the configured rate, or the inverse of the configured rate the other way round."""
        yield from ()
        if f"{sold}/{bought}" in self.table:
            value = self.table[f"{sold}/{bought}"]
        elif f"{bought}/{sold}" in self.table:
            value = _EXACT.divide(Decimal(1), self.table[f"{bought}/{sold}"])
        else:
            raise Declined(f"rates.table has no rate for {sold}/{bought}; add one, or bill in {bought}")
        return Rate(self.name, sold, bought, value, now)
