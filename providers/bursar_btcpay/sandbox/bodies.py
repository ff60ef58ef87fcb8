"""How the server reads a request's JSON: case-insensitive members, .NET's messages for what it cannot read."""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final, TypeVar

from bursar_btcpay.sandbox.problems import Crash, Problem, unreadable
from bursar_btcpay.sandbox.wire import Value, read_json

__all__ = ["Body", "read_amount", "read_body"]

E = TypeVar("E", bound=StrEnum)
_MODELS: Final = "BTCPayServer.Client.Models."
_REQUIRED: Final = ("request", "The request field is required.")
_BAD: Final = "The supplied value is invalid."
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?", re.ASCII)
# The largest number that a .NET decimal holds.
_LARGEST: Final = Decimal(2**96 - 1)


class Body:
    """Read the members of one JSON object. *path* is where it stands in the request, for messages."""

    def __init__(self, members: dict[str, Value], text: str, path: str = "") -> None:
        self._members = {name.lower(): value for name, value in members.items()}
        self._text, self.path = text, path

    def where(self, name: str) -> str:
        """Return the JSON path of the member *name*."""
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Value:
        """Return the member *name* as it is; None where it is missing."""
        return self._members.get(name.lower())

    def has(self, name: str) -> bool:
        """Tell whether the member *name* was given, null included."""
        return name.lower() in self._members

    def inner(self, name: str) -> "Body":
        """Return the object *name*; an empty one where it is missing or null."""
        value = self.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, value, "the object")
        return Body(value or {}, self._text, self.where(name))

    def text(self, name: str) -> str | None:
        """Return a text; numbers and truths are taken as their text."""
        match self.get(name):
            case None:
                return None
            case str() as text:
                return text
            case bool() as truth:
                return str(truth)
            case int() | Decimal() as number:
                return str(number)
            case other:
                raise self.wrong(name, other, "System.String")

    def flag(self, name: str) -> bool | None:
        """Return a truth value."""
        match self.get(name):
            case None:
                return None
            case bool() as truth:
                return truth
            case str() as text if text.lower() in {"true", "false"}:
                return text.lower() == "true"
            case other:
                raise self.wrong(name, other, "System.Nullable`1[System.Boolean]")

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        match self.get(name):
            case None:
                return None
            case bool() as truth:
                raise self.wrong(name, truth, "System.Int32")
            case int() as number:
                return number
            case other:
                raise self.wrong(name, other, "System.Int32")

    def texts(self, name: str) -> list[str] | None:
        """Return a list of texts."""
        match self.get(name):
            case None:
                return None
            case list() as items if all(isinstance(item, str) for item in items):
                return [str(item) for item in items]
            case other:
                raise self.wrong(name, other, "System.String[]")

    def choice(self, name: str, values: type[E], model: str, *, nullable: bool = True) -> E | None:
        """Return a member of the enumeration *values*, whose .NET name is *model*."""
        value = self.get(name)
        kind = f"System.Nullable`1[{_MODELS}{model}]" if nullable else f"{_MODELS}{model}"
        if value is None:
            if nullable or not self.has(name):
                return None
            place = self._place(name, value)
            raise unreadable((self.where(name), f"Cannot convert null value to {kind}. {place}"), _REQUIRED)
        for known in values:
            if isinstance(value, str) and known.lower() == value.lower():
                return known
        raise self.wrong(name, value, kind, required_first=nullable)

    def amount(self, name: str) -> Decimal | None:
        """Return a decimal number given as text or number; a blank text is none."""
        value = self.get(name)
        if isinstance(value, dict | list | bool):
            kind = {dict: "Object", list: "Array", bool: "Boolean"}[type(value)]
            raise unreadable((self.where(name), f"Unexpected token type: {kind}"), _REQUIRED)
        try:
            return read_amount(value)
        except ValueError:
            raise unreadable((self.where(name), _BAD), _REQUIRED) from None

    def object(self, name: str) -> dict[str, Value] | None:
        """Return a free JSON object."""
        value = self.get(name)
        if value is None or isinstance(value, dict):
            return value
        kind = "JArray" if isinstance(value, list) else "JValue"
        message = (
            f"Deserialized JSON type 'Newtonsoft.Json.Linq.{kind}' is not compatible with expected type "
            f"'Newtonsoft.Json.Linq.JObject'. {self._place(name, value)}"
        )
        raise unreadable(_REQUIRED, (self.where(name), message))

    def wrong(self, name: str, value: Value, kind: str, *, required_first: bool = True) -> Problem:
        """Refuse the member *name* because *value* is not of the .NET type *kind*."""
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        error = (
            self.where(name),
            f"Error converting value {shown} to type '{kind}'. {self._place(name, value)}",
        )
        return unreadable(_REQUIRED, error) if required_first else unreadable(error, _REQUIRED)

    def _place(self, name: str, value: Value) -> str:
        # The reader stands behind the value when it gives up.
        found = re.search(
            rf'"{re.escape(name)}"\s*:\s*("(?:[^"\\]|\\.)*"|[^\s,}}\]]+)', self._text, re.IGNORECASE
        )
        return f"Path '{self.where(name)}', line 1, position {found.end() if found else len(self._text)}."


def read_body(raw: bytes, content_type: str | None, model: str) -> Body:
    """Read a request's body as a JSON object for the .NET type *model*; raise what the server answers otherwise."""
    if content_type is None or "json" not in content_type.lower():
        raise _unsupported()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Crash from None
    if not text.strip():
        raise unreadable(("", "A non-empty request body is required."), _REQUIRED)
    try:
        value = read_json(text)
    except ValueError:
        raise unreadable(_broken(text), _REQUIRED) from None
    if isinstance(value, dict):
        return Body(value, text)
    raise unreadable(("", _not_an_object(value, model)), _REQUIRED)


def read_amount(value: Value) -> Decimal | None:
    """Read an amount as .NET does, thousands separators and exponents included; raise `ValueError`."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        value = text.replace(",", "")
    if isinstance(value, dict | list | bool):
        raise ValueError(str(value))
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(str(value)) from error
    if not number.is_finite() or number.adjusted() > 28 or abs(number) > _LARGEST:
        raise ValueError(str(value))
    if int(number.as_tuple().exponent) < -28:
        number = number.quantize(Decimal(1).scaleb(-28))
    return number if int(number.as_tuple().exponent) <= 0 else number.quantize(Decimal(1))


def _unsupported() -> Problem:
    body = {
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5.16",
        "title": "Unsupported Media Type",
        "status": 415,
        "traceId": "00-00000000000000000000000000000000-0000000000000000-00",
    }
    return Problem(415, body, True, "application/problem+json; charset=utf-8")


def _not_an_object(value: Value, model: str) -> str:
    if not isinstance(value, list):
        return f"Error converting value {value} to type '{_MODELS}{model}'. Path '', line 1, position 1."
    return (
        f"Cannot deserialize the current JSON array (e.g. [1,2,3]) into type '{_MODELS}{model}' because the type "
        'requires a JSON object (e.g. {"name":"value"}) to deserialize correctly.\nTo fix this error either change '
        'the JSON to a JSON object (e.g. {"name":"value"}) or change the deserialized type to an array or a type '
        "that implements a collection interface (e.g. ICollection, IList) like List<T> that can be deserialized from "
        "a JSON array. JsonArrayAttribute can also be added to the type to force it to deserialize from a JSON "
        "array.\nPath '', line 1, position 1."
    )


def _broken(text: str) -> tuple[str, str]:
    first = text.lstrip()[0]
    if first not in '{["-0123456789tfn':
        return (
            "",
            f"Unexpected character encountered while parsing value: {first}. Path '', line 0, position 0.",
        )
    *_, last = ("", *_names(text))
    return last, f"Unexpected end when deserializing object. Path '{last}', line 1, position {len(text)}."


def _names(text: str) -> Iterator[str]:
    return (found.group(1) for found in re.finditer(r'"((?:[^"\\]|\\.)*)"\s*:', text))
