"""JSON as CoinPay's server writes it: numbers as JavaScript prints them, and the member order of a database."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

__all__ = ["database_time", "javascript_time", "number_text", "reordered", "to_json"]


def number_text(number: Decimal) -> str:
    """Write *number* as JavaScript does: no trailing zeros, an exponent below a millionth."""
    if not number:
        return "0"
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    figures = "".join(map(str, digits)).rstrip("0")
    point = len(digits) + exponent
    head = "-" if sign else ""
    if -6 < point <= 21:
        return head + f"{Decimal(f'{figures}e{point - len(figures)}'):f}"
    tail = f".{figures[1:]}" if len(figures) > 1 else ""
    return f"{head}{figures[0]}{tail}e{point - 1:+d}"


def to_json(value: Any) -> str:
    """Write JSON without blanks and without escaping what need not be."""
    if isinstance(value, dict):
        members = cast(dict[str, Any], value)
        return "{" + ",".join(f"{_quoted(name)}:{to_json(member)}" for name, member in members.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(to_json(item) for item in cast(list[object], value)) + "]"
    if isinstance(value, Decimal):
        return number_text(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def reordered(value: Any) -> Any:
    """Return *value* with the members of every object in the order in which PostgreSQL keeps them."""
    if isinstance(value, dict):
        members = cast(dict[str, Any], value)
        names = sorted(members, key=lambda name: (len(name.encode("utf-8", "surrogatepass")), name))
        return {name: reordered(members[name]) for name in names}
    if isinstance(value, list):
        return [reordered(item) for item in cast(list[object], value)]
    return value


def javascript_time(at: float) -> str:
    """Write a time as `Date.toISOString` does."""
    return _at(at).strftime("%Y-%m-%dT%H:%M:%S.") + f"{_at(at).microsecond // 1000:03d}Z"


def database_time(at: float) -> str:
    """Write a time as the database's API does."""
    return _at(at).isoformat()


def _at(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return written
