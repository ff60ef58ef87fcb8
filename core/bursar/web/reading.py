"""Read the JSON of a request: exactly, strictly, and with errors that name the field."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn, cast

import attrs
from starlette.requests import Request

from bursar.errors import BadInput

__all__ = ["REQUIRED", "Field", "TooLarge", "read_body", "read_fields"]

REQUIRED: Final = object()
_MOST_DIGITS: Final = 100


class TooLarge(Exception):
    """Refuse a body above the limit, before it is read whole."""


@attrs.frozen
class Field:
    """Declare one field of a request: its *kind* (`text`, `amount`, `number`, `truth`, `texts`) and its default."""

    kind: str
    default: Any = REQUIRED


async def read_body(request: Request, most: int) -> bytes:
    """Read at most *most* bytes; raise `TooLarge` above."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 18 or int(length) > most):
        raise TooLarge
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise TooLarge
    return bytes(body)


def read_fields(body: bytes, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read a JSON object with exactly *fields*. Raise `BadInput` that names what is wrong and the cure."""
    given = _object(body)
    for name in given:
        if name not in fields:
            raise BadInput(f"there is no field {name[:80]!r}; there are {', '.join(sorted(fields))}")
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if given.get(name) is None:
            if field.default is REQUIRED:
                raise BadInput(f"the field {name!r} is missing")
            found[name] = field.default
        else:
            found[name] = _value(name, field.kind, given[name])
    return found


def _object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        given = json.loads(
            body.decode("utf-8"),
            parse_int=_whole,
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_no_doubles,
        )
    except UnicodeDecodeError:
        raise BadInput("the body is not UTF-8") from None
    except RecursionError:
        raise BadInput("the body is nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(given, dict):
        raise BadInput('the body is a JSON object, such as {"amount": "10.00"}')
    return cast(Mapping[str, Any], given)


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a whole number has at most {_MOST_DIGITS} digits")
    return int(text)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("one field is given twice")
    return found


def _value(name: str, kind: str, value: Any) -> Any:
    match kind, value:
        case "text", str():
            return value
        case "amount", str() | Decimal():
            return value
        case "amount" | "number", int() if not isinstance(value, bool):
            return value
        case "truth", bool():
            return value
        case "texts", dict():
            return _texts(name, cast("Mapping[Any, Any]", value))
        case _:
            raise BadInput(f"the field {name!r} must be {_WORDS[kind]}, not {type(value).__name__}")


def _texts(name: str, value: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): _text(f"{name}.{key}", item) for key, item in value.items()}


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise BadInput(f"the field {name!r} must be text")


_WORDS: Final = {
    "text": "text",
    "amount": 'an amount: text such as "10.50", or a number',
    "number": "a whole number",
    "truth": "true or false",
    "texts": "an object of texts",
}
