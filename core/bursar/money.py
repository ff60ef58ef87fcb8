"""Exact amounts: an integer count of an asset's smallest unit, never a float, never mixed.

The text form always shows all of the asset's decimals (`"10.50 EUR"`, `"0.00020000 BTC"`), so it can be read back
without knowing the asset beforehand, and never uses an exponent.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from decimal import InvalidOperation as DecimalError
from functools import cache
from typing import Final, Self

import attrs

from bursar.errors import BadInput, CurrencyMismatch

__all__ = ["MAX_DECIMALS", "MAX_DIGITS", "Asset", "Money", "fiat", "read_decimal"]

MAX_DECIMALS: Final = 18
MAX_DIGITS: Final = 60
_EXACT: Final = Context(prec=200, traps=[DecimalError])
_MAX_LENGTH: Final = 130
_TOO_MUCH: Final = 10**MAX_DIGITS
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_.-]{0,19}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,60}(\.[0-9]{1,60})?", re.ASCII)
_TEXT: Final = re.compile(r"(-?[0-9]{1,60}(?:\.([0-9]{1,18}))?) ([A-Z][A-Z0-9_.-]{0,19})", re.ASCII)
_ROUNDINGS: Final = frozenset({ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP})


def _check_code(_: object, __: object, code: str) -> None:
    if not _CODE.fullmatch(code):
        raise BadInput(
            f"{code!r} is not an asset code: up to 20 capitals, digits, '_', '.' or '-', a capital first"
        )


def _check_decimals(_: object, __: object, decimals: int) -> None:
    if not 0 <= decimals <= MAX_DECIMALS:
        raise BadInput(f"an asset has 0 to {MAX_DECIMALS} decimals, not {decimals}")


@attrs.frozen(order=True)
class Asset:
    """Name what is counted: a currency of ISO 4217 or a crypto asset, with the decimals of its smallest unit."""

    code: str = attrs.field(validator=_check_code)
    decimals: int = attrs.field(validator=_check_decimals)

    def __str__(self) -> str:
        return self.code


@cache
def fiat(code: str) -> Asset:
    """Return the currency *code* with its ISO 4217 exponent; raise `BadInput` for an unknown one."""
    # Imported here: the table takes a while to load, and crypto-only uses never need it.
    import iso4217

    try:
        currency = iso4217.Currency(code)
    except ValueError:
        raise BadInput(f"{code!r} is not a currency code of ISO 4217 (three capitals, such as EUR)") from None
    exponent = currency.exponent
    if exponent is None:
        raise BadInput(f"{code!r} has no smallest unit in ISO 4217, so nothing can be priced in it")
    return Asset(code, exponent)


def read_decimal(text: str) -> Decimal:
    """Read a plain decimal number; raise `BadInput` on exponents, signs other than '-', separators and NaN."""
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"{text[:80]!r} is not a plain decimal number such as 10.50")
    return Decimal(text)


def _check_minor(_: object, __: object, minor: int) -> None:
    if type(minor) is not int:
        raise BadInput(f"an amount is counted in whole smallest units, not in {type(minor).__name__}")
    if abs(minor) >= _TOO_MUCH:
        raise BadInput(f"an amount has at most {MAX_DIGITS} digits")


def _check_rounding(rounding: str) -> None:
    if rounding not in _ROUNDINGS:
        raise BadInput(f"{rounding!r} is not one of {', '.join(sorted(_ROUNDINGS))}")


@attrs.frozen(order=False, repr=False)
class Money:
    """Count *minor* smallest units of *asset*. Amounts of different assets never mix: `CurrencyMismatch`."""

    minor: int = attrs.field(validator=_check_minor)
    asset: Asset

    @classmethod
    def of(cls, amount: Decimal | int | str, asset: Asset, *, rounding: str | None = None) -> Self:
        """Make money of *amount* major units; more decimals than the asset has are refused unless *rounding* is named."""
        if isinstance(amount, bool) or not isinstance(amount, Decimal | int | str):
            raise BadInput(f"an amount is a Decimal, an int or text, never {type(amount).__name__}")
        number = read_decimal(amount) if isinstance(amount, str) else Decimal(amount)
        # Beyond these lengths the arithmetic below would round, or the text run to gigabytes.
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or not exponent >= -_MAX_LENGTH or number.adjusted() > MAX_DIGITS:
            raise BadInput(f"an amount is a finite number of at most {MAX_DIGITS} digits")
        if rounding is not None:
            _check_rounding(rounding)
        units = number.scaleb(asset.decimals, _EXACT)
        whole = units.to_integral_value(rounding or ROUND_DOWN)
        if rounding is None and whole != units:
            raise BadInput(f"{number:f} {asset.code} has more than {asset.decimals} decimals")
        return cls(int(whole), asset)

    @classmethod
    def zero(cls, asset: Asset) -> "Money":
        """Return nothing of *asset*."""
        return _zero(asset)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what `str` wrote: the decimals shown are the asset's."""
        found = _TEXT.fullmatch(text)
        if not found:
            raise BadInput(f"{text[:80]!r} is not an amount and its asset such as '10.50 EUR'")
        number, fraction, code = found.groups()
        return cls(int(number.replace(".", "")), Asset(code, len(fraction or "")))

    @property
    def major(self) -> Decimal:
        """The amount in major units, exact, showing all decimals of the asset."""
        return Decimal(self.minor).scaleb(-self.asset.decimals, _EXACT)

    @property
    def plain(self) -> str:
        """The amount alone as text, without exponent and without the asset."""
        return f"{self.major:f}"

    def __str__(self) -> str:
        return f"{self.plain} {self.asset.code}"

    def __repr__(self) -> str:
        return f"<Money {self}>"

    def __bool__(self) -> bool:
        return self.minor != 0

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other).minor, self.asset)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other).minor, self.asset)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.asset)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other).minor

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other).minor

    def __gt__(self, other: "Money") -> bool:
        return self.minor > self._same(other).minor

    def __ge__(self, other: "Money") -> bool:
        return self.minor >= self._same(other).minor

    def share(self, part: "Money", whole: "Money", *, rounding: str = ROUND_DOWN) -> "Money":
        """Return the part of this amount that *part* is of *whole*, rounded to the smallest unit."""
        if part._same(whole).minor <= 0:
            raise BadInput("a share needs a whole above nothing")
        _check_rounding(rounding)
        exact = _EXACT.divide(Decimal(self.minor * part.minor), Decimal(whole.minor))
        quotient, rest = divmod(self.minor * part.minor, whole.minor)
        if rest == 0:
            return Money(quotient, self.asset)
        return Money(int(exact.to_integral_value(rounding)), self.asset)

    def percent(self, percent: Decimal, *, rounding: str = ROUND_DOWN) -> "Money":
        """Return *percent* per cent of this amount, rounded to the smallest unit."""
        _check_rounding(rounding)
        exact = _EXACT.divide(_EXACT.multiply(Decimal(self.minor), percent), Decimal(100))
        return Money(int(exact.to_integral_value(rounding)), self.asset)

    def split(self, weights: Sequence[int]) -> tuple["Money", ...]:
        """Divide by *weights* without losing a unit: the largest remainders get the units left over, first come first."""
        total = sum(weights)
        if not weights or min(weights) < 0 or total <= 0:
            raise BadInput("a split needs weights of zero or more, with a sum above nothing")
        parts = [divmod(self.minor * weight, total) for weight in weights]
        left = self.minor - sum(whole for whole, _ in parts)
        by_rest = sorted(range(len(parts)), key=lambda i: (-parts[i][1], i))
        lucky = set(by_rest[:left])
        return tuple(Money(whole + (i in lucky), self.asset) for i, (whole, _) in enumerate(parts))

    def _same(self, other: "Money") -> "Money":
        if type(other) is not Money:
            raise BadInput(f"money is added to and compared with money, not {type(other).__name__}")
        if other.asset is not self.asset and other.asset != self.asset:
            raise CurrencyMismatch(
                f"{self} and {other} are of different assets: convert one by a stated rate first"
            )
        return other


@cache
def _zero(asset: Asset) -> Money:
    return Money(0, asset)
