"""Read the tables of a configuration into settings classes, and name file, line, key and cure when one is wrong."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs
from typed_settings import load_settings
from typed_settings.loaders import DictLoader

from bursar.errors import BursarError, ConfigError
from bursar.secrets import Secret
from bursar.values import CONVERTER

__all__ = ["Reader", "Section", "Table"]

T = TypeVar("T")
Section = tuple[str, ...]
Table = Mapping[str, Any]
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@attrs.define
class Reader:
    """Read one configuration: *lines* are its text, to name the line of what is wrong; *base* is where files are found."""

    source: str
    lines: Sequence[str]
    env: Mapping[str, str]
    base: Path

    def wrong(self, key: str, section: Section, problem: str) -> ConfigError:
        """Make an error that names file, line and key."""
        line = self._line(key, section)
        where = f"{self.source}:{line}" if line else self.source
        return ConfigError(f"{where}: {'.'.join(part for part in (*section, key) if part)} {problem}")

    def named(self, tables: Table, section: str) -> Mapping[str, Table]:
        """Return the tables `[section.NAME]` by name."""
        found = tables.get(section, {})
        if not isinstance(found, dict):
            raise self.wrong(section, (), f"must be tables: [{section}.NAME]")
        tables_by_name = cast(dict[str, object], found)
        for name, table in tables_by_name.items():
            if not isinstance(table, dict):
                raise self.wrong(name, (section,), f"must be a table: [{section}.NAME]")
            if not _NAME.fullmatch(name):
                raise self.wrong(
                    name, (section,), "is no name: small letters, digits, '-', '_', a letter first"
                )
        return cast(Mapping[str, Table], tables_by_name)

    def text(self, table: Table, key: str, section: Section, cure: str) -> str:
        """Return a text that must be there."""
        value = table.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, section, f"is missing; {cure}")
        return value

    def pairs(self, table: Table, key: str, section: Section) -> tuple[tuple[str, str], ...]:
        """Return the table *key* as (setting, value) pairs of text."""
        found = table.get(key, {})
        if not isinstance(found, dict):
            raise self.wrong(key, section, f"must be a table: [{'.'.join(section)}.{key}]")
        pairs: list[tuple[str, str]] = []
        for name, value in cast(dict[str, object], found).items():
            if isinstance(value, float):
                raise self.wrong(
                    name, (*section, key), "is a decimal number; put it in quotes, so that it stays exact"
                )
            pairs.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
        return tuple(pairs)

    def settings(self, cls: type[T], section: Section, table: Table, *, prefix: str) -> T:
        """Read *table*, and the environment variables that begin with *prefix*, into an instance of the attrs class *cls*."""
        fields = {field.name: field for field in attrs.fields(attrs.resolve_types(cast(Any, cls)))}
        for key in table:
            if key not in fields:
                raise self.wrong(key, section, f"is not a setting; there are {', '.join(sorted(fields))}")
        variables = {name: f"{prefix}_{name.upper()}" for name in fields}
        from_env = {name: self.env[var] for name, var in variables.items() if var in self.env}
        for name, field in fields.items():
            if name not in table and name not in from_env and field.default is attrs.NOTHING:
                raise self.wrong(name, section, f"is missing; set it there or as {variables[name]}")
        in_file = {name: self._value(fields[name], value, section) for name, value in table.items()}
        in_env = {name: self._value(fields[name], value, section) for name, value in from_env.items()}
        try:
            cls(**{**in_file, **in_env})
        except BursarError as error:
            raise self.wrong("", section, f"is wrong: {error}") from None
        loaders = [DictLoader(in_file), DictLoader(in_env)]
        return cast(T, load_settings(cast(Any, cls), loaders, converter=cast(Any, CONVERTER)))

    def _value(self, field: "attrs.Attribute[Any]", value: object, section: Section) -> Any:
        if isinstance(value, float):
            raise self.wrong(
                field.name, section, "is a decimal number; put it in quotes, so that it stays exact"
            )
        resolved = self._resolve(field.type, value, field.name, section)
        try:
            return CONVERTER.structure(resolved, cast(Any, field.type))
        except (ValueError, TypeError, ArithmeticError, ExceptionGroup) as error:
            causes: Sequence[Exception] = getattr(error, "exceptions", ())
            raise self.wrong(field.name, section, f"does not fit: {causes[0] if causes else error}") from None

    def _resolve(self, kind: Any, value: object, key: str, section: Section) -> object:
        if "Secret" not in str(kind):
            return value
        if isinstance(value, list):
            return [self._secret(item, key, section) for item in cast(list[object], value)]
        if "tuple" in str(kind) and isinstance(value, str):
            return [self._secret(part.strip(), key, section) for part in value.split(",") if part.strip()]
        return self._secret(value, key, section)

    def _secret(self, value: object, key: str, section: Section) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise self.wrong(key, section, "is a secret: write env:NAME or file:PATH")
        scheme, _, rest = value.partition(":")
        match scheme:
            case "env":
                if rest not in self.env:
                    raise self.wrong(
                        key, section, f"refers to the environment variable {rest}, which is not set"
                    )
                return Secret(self.env[rest])
            case "file":
                try:
                    return Secret((self.base / rest).read_text(encoding="utf-8").strip())
                except OSError as error:
                    problem = f"refers to the file {rest}, which cannot be read: {error.strerror}"
                    raise self.wrong(key, section, problem) from None
            case "literal":
                return Secret(rest)
            case _:
                raise self.wrong(
                    key, section, "is a secret: write env:NAME or file:PATH instead of the text itself"
                )

    def _line(self, key: str, section: Section) -> int | None:
        wanted, inside, best = ".".join(section), not section, None
        for number, line in enumerate(self.lines, 1):
            bare = line.strip()
            if bare.startswith("["):
                title = bare.split("#")[0].strip("[] ").replace(" ", "").replace('"', "")
                inside = title == wanted
                best = number if inside and best is None else best
                if title in (key, ".".join((*section, key))):
                    return number
            elif inside and key and re.match(rf'"?{re.escape(key)}"?\s*=', bare):
                return number
        return best
