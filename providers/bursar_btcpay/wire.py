"""Read JSON exactly and member by member: what is missing or of another kind is named, and nothing is guessed.

Numbers stay `Decimal` or `int`; unknown members are ignored. A member can be asked for by several names, because BTCPay
1.x called some of them otherwise.
"""

import json
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Final, NoReturn, cast

import attrs

from bursar.errors import BadInput
from bursar.money import MAX_DECIMALS, read_decimal

__all__ = ["Document", "Unreadable", "read_document", "read_documents", "read_json"]

_MAX_TEXT: Final = 4096
_MAX_EXPONENT: Final = 40
_EXACT: Final = Context(prec=200)
_MAX_SECONDS: Final = 253_402_300_800


class Unreadable(Exception):
    """Say which member of a document cannot be read, and why."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_json(body: bytes) -> object:
    """Read *body* with exact numbers; raise `Unreadable` for whatever is not JSON in UTF-8."""
    try:
        return cast(
            object,
            json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse_constant),
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Unreadable(f"it is not JSON in UTF-8 ({type(error).__name__})") from None


def read_document(body: bytes, what: str) -> "Document":
    """Read one JSON object."""
    return _document(read_json(body), what)


def read_documents(body: bytes, what: str) -> "list[Document]":
    """Read a JSON array of objects."""
    return _documents(read_json(body), what)


def _document(value: object, what: str) -> "Document":
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return Document(cast(dict[str, object], value), what)


def _documents(value: object, what: str) -> "list[Document]":
    if not isinstance(value, list):
        raise Unreadable(f"{what} is not a JSON array")
    return [_document(item, f"{what}[{i}]") for i, item in enumerate(cast(list[object], value))]


@attrs.frozen
class Document:
    """Hold one JSON object; *what* names it in errors. A member that is null counts as missing."""

    members: Mapping[str, object] = attrs.field(repr=False)
    what: str

    def text(self, *names: str) -> str:
        """Return a text that must be there."""
        found = self.maybe_text(*names)
        if not found:
            raise Unreadable(f"{self.what} has no {names[0]}")
        return found

    def maybe_text(self, *names: str) -> str | None:
        """Return a text; None where it is missing."""
        name, value = self._find(names)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            raise Unreadable(f"{self.what}.{name} is not a text of at most {_MAX_TEXT} characters")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Unreadable(f"{self.what}.{name} is not Unicode") from None
        return value

    def amount(self, *names: str) -> Decimal | None:
        """Return a decimal, written as text or as a number; None where it is missing."""
        name, value = self._find(names)
        if value is None or value == "":
            return None
        number: Decimal | None = None
        if isinstance(value, str):
            try:
                number = read_decimal(value)
            except BadInput:
                number = None
        elif isinstance(value, int | Decimal) and not isinstance(value, bool):
            number = Decimal(value)
        if number is None or not number.is_finite() or not _sensible(number):
            raise Unreadable(f"{self.what}.{name} is not a decimal number")
        return number

    def seconds(self, *names: str) -> int:
        """Return a time in whole Unix seconds that must be there."""
        name, value = self._find(names)
        if type(value) is not int or not 0 < value < _MAX_SECONDS:
            raise Unreadable(f"{self.what}.{name} is not a time in Unix seconds")
        return value

    def maybe_seconds(self, *names: str) -> int | None:
        """Return a time in whole Unix seconds; None where it is missing."""
        return None if self._find(names)[1] is None else self.seconds(*names)

    def flag(self, name: str) -> bool | None:
        """Return true or false; None where it is missing."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, bool):
            raise Unreadable(f"{self.what}.{name} is neither true nor false")
        return value

    def texts(self, name: str) -> list[str]:
        """Return an array of texts; an empty one where it is missing."""
        value = self.members.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(t, str) for t in cast(list[object], value)):
            raise Unreadable(f"{self.what}.{name} is not an array of texts")
        return cast(list[str], value)

    def inner(self, name: str) -> "Document | None":
        """Return an object inside; None where it is missing."""
        value = self.members.get(name)
        return None if value is None else _document(value, f"{self.what}.{name}")

    def each(self, name: str) -> "list[Document]":
        """Return an array of objects; an empty one where it is missing."""
        value = self.members.get(name)
        return [] if value is None else _documents(value, f"{self.what}.{name}")

    def _find(self, names: tuple[str, ...]) -> tuple[str, object]:
        for name in names:
            if self.members.get(name) is not None:
                return name, self.members[name]
        return names[0], None


def _sensible(number: Decimal) -> bool:
    exponent = number.normalize(_EXACT).as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -MAX_DECIMALS and number.adjusted() <= _MAX_EXPONENT
