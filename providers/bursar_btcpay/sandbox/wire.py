"""How the server writes numbers and JSON: exact decimals as text or as numbers, never a float."""

import json
from collections.abc import Iterable, Iterator
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal
from typing import Any, Final, TypeAlias

__all__ = [
    "EXACT",
    "Json",
    "Value",
    "bitcoin_text",
    "in_database_order",
    "plain",
    "read_json",
    "round_amount",
    "round_up",
    "write_json",
]

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | Decimal | bool | None"
"""JSON as it is read."""
Json: TypeAlias = Any
"""JSON as it is built."""
_KINDS: Final = (dict, list, str, int, Decimal, type(None))
EXACT: Final = Context(prec=80)
_SATOSHI: Final = Decimal("0.00000001")


def write_json(value: Json, *, indented: bool = False) -> bytes:
    """Write *value* as the server does: API answers compact, webhook bodies indented by two with LF and no final newline."""
    return "".join(_write(value, "\n" if indented else "")).encode("utf-8", "replace")


def read_json(text: str | bytes) -> Value:
    """Read JSON with numbers as int or Decimal; raise `ValueError` for anything else, NaN and endless nesting included."""
    try:
        value: Value = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
        return value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not a JSON number")


def _write(value: Value, line: str) -> Iterator[str]:
    if not isinstance(value, _KINDS):
        raise TypeError(f"{type(value).__name__} has no exact JSON form")
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case int():
            yield str(value)
        case Decimal():
            yield f"{value:f}"
        case str():
            yield json.dumps(value, ensure_ascii=False)
        case dict():
            yield from _write_all(
                "{}", [(json.dumps(k, ensure_ascii=False), v) for k, v in value.items()], line
            )
        case list():
            yield from _write_all("[]", [("", item) for item in value], line)


def _write_all(brackets: str, items: Iterable[tuple[str, Value]], line: str) -> Iterator[str]:
    inner = line + "  " if line else ""
    colon = ": " if line else ":"
    empty = True
    for key, value in items:
        yield brackets[0] if empty else ","
        yield inner
        if key:
            yield key + colon
        yield from _write(value, inner)
        empty = False
    yield brackets if empty else line + brackets[1]


def in_database_order(value: Value) -> Value:
    """Return *value* with its members as PostgreSQL's jsonb keeps them: shorter names first, then by alphabet."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode("utf-8", "replace")), name))
        return {name: in_database_order(value[name]) for name in names}
    if isinstance(value, list):
        return [in_database_order(item) for item in value]
    return value


def plain(amount: Decimal) -> str:
    """Write *amount* with the decimals it has and without an exponent."""
    return f"{amount:f}"


def bitcoin_text(amount: Decimal) -> str:
    """Write an amount of bitcoin without trailing zeros: `0.0002`, `0`, `-0.0002`."""
    if amount == 0:
        return "0"
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def round_up(amount: Decimal) -> Decimal:
    """Round bitcoin up to a whole satoshi, which is how the server asks for it."""
    return amount.quantize(_SATOSHI, ROUND_CEILING, EXACT)


def round_amount(amount: Decimal, decimals: int) -> Decimal:
    """Round half away from zero to *decimals*, or to as many more as keep the change below one per cent."""
    places = -int(amount.as_tuple().exponent)
    if places < 0:
        return amount.quantize(Decimal(1), context=EXACT)
    if not amount or places <= decimals:
        return amount
    while True:
        rounded = amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, EXACT)
        if abs(rounded - amount) * 100 < abs(amount):
            return rounded
        decimals += 1
