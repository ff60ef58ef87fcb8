"""Turn the values of a configuration into the types that settings classes name: strictly, and exactly."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, cast

import cattrs

from bursar.errors import BadInput
from bursar.money import read_decimal
from bursar.secrets import Secret

__all__ = ["CONVERTER"]


def _strict(kind: type) -> Any:
    def read(value: object, _: Any) -> Any:
        if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if kind is int and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
            return int(value)
        if type(value) is not kind:
            raise ValueError(f"it must be {_WORDS[kind]}")
        return value

    return read


def _strings(value: object, cls: Any) -> Any:
    items = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("it must be a list")
    inner = cls.__args__[0]
    return tuple(CONVERTER.structure(item, inner) for item in cast(list[Any], items))


def _decimal(value: object, _: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("it must be a decimal number in quotes")
    try:
        return read_decimal(str(value))
    except BadInput as error:
        raise ValueError(str(error)) from None


def _table(value: object, cls: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError('it must be a table of NAME = "text"')
    inner = cls.__args__[1]
    return {
        str(name): CONVERTER.structure(item, inner) for name, item in cast(dict[object, Any], value).items()
    }


_WORDS: Final = {str: "text in quotes", int: "a whole number", bool: "true or false"}
CONVERTER: Final = cattrs.Converter(forbid_extra_keys=True)
for _kind in _WORDS:
    CONVERTER.register_structure_hook(_kind, _strict(_kind))
CONVERTER.register_structure_hook(Secret, lambda value, _: value)
CONVERTER.register_structure_hook_func(lambda kind: getattr(kind, "__origin__", None) is tuple, _strings)
CONVERTER.register_structure_hook_func(lambda kind: getattr(kind, "__origin__", None) is Mapping, _table)
CONVERTER.register_structure_hook(Decimal, _decimal)
