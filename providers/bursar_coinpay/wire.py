"""CoinPay's JSON, exactly: numbers become `Decimal` on the way in and out, never a float.

It writes one and the same amount as a JSON number, as text, in exponent form, as the text `null`, or not at all.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn, TypeAlias, cast

import httpx

__all__ = [
    "Members",
    "answered_at",
    "as_members",
    "read_json",
    "read_members",
    "read_number",
    "read_time",
    "text",
    "write_json",
]

Members: TypeAlias = dict[str, Any]

_NUMBER: Final = re.compile(r"-?[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


def read_json(content: bytes) -> Any:
    """Read JSON in UTF-8 with exact numbers; raise `ValueError` for everything else, NaN and endless nesting included."""
    try:
        return json.loads(content.decode("utf-8"), parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_members(content: bytes) -> Members:
    """Read a JSON object; raise `ValueError` for anything else."""
    found = as_members(read_json(content))
    if found is None:
        raise ValueError("not a JSON object")
    return found


def as_members(value: object) -> Members | None:
    """Return *value* where it is a JSON object."""
    return cast(Members, value) if isinstance(value, dict) else None


def write_json(members: Mapping[str, object]) -> bytes:
    """Write a JSON object whose `Decimal` members become plain numbers with the decimals that they have."""
    return (
        "{" + ",".join(f"{json.dumps(name)}:{_written(value)}" for name, value in members.items()) + "}"
    ).encode()


def read_number(value: object) -> Decimal | None:
    """Read an amount written as number or text; None where there is none. Raise `ValueError` for what is no number."""
    if value is None or value in ("", "null"):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{type(value).__name__} is not an amount")
    written = str(value)
    if not _NUMBER.fullmatch(written):
        raise ValueError(f"{written[:40]!r} is not an amount")
    return Decimal(written)


def read_time(value: object) -> int | None:
    """Read an ISO 8601 time, in UTC where it names no zone, as whole Unix seconds; None where there is none to read."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _SECOND


def answered_at(response: httpx.Response, now: int) -> int:
    """Return the service's own clock at its answer, or *now* where it does not say."""
    try:
        at = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError):
        return now
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _SECOND


def text(value: object, limit: int = 200) -> str:
    """Return *value* where it is text that can be kept, of at most *limit* characters; else nothing."""
    if not isinstance(value, str) or not value.isprintable():
        return ""
    return value if len(value) <= limit else ""


def _written(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
