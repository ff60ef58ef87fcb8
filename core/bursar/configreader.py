"""Read the tables of a configuration into settings classes, and name file, line, key and cure when one is wrong."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs

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

    def prefix(self, section: Section) -> str:
        """Return what the environment variables of *section* begin with."""
        return "_".join(("BURSAR", *section)).upper().replace("-", "_")

    def table(self, tables: Table, section: str) -> Table:
        """Return the table `[section]`."""
        found = tables.get(section, {})
        if not isinstance(found, dict):
            raise self.wrong(section, (), f"must be a table: [{section}]")
        return cast(Table, found)

    def named(self, tables: Table, section: str) -> Mapping[str, Table]:
        """Return the tables `[section.NAME]` by name."""
        taken: dict[str, str] = {}
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
            twin = taken.setdefault(self.prefix((section, name)), name)
            if twin != name:
                raise self.wrong(
                    name, (section,), f"and {twin} would have the same environment variables; rename one"
                )
        return cast(Mapping[str, Table], tables_by_name)

    def text(self, table: Table, key: str, section: Section, cure: Callable[[], str]) -> str:
        """Return a text that must be there, in the file or in the environment."""
        value = self.given(table, key, section)
        if not value:
            raise self.wrong(key, section, f"is missing; {cure()}")
        if not isinstance(value, str):
            raise self.wrong(key, section, f"must be text in quotes; {cure()}")
        return value

    def given(self, table: Table, key: str, section: Section) -> object:
        """Return what *key* is set to, the environment first; None where it is set nowhere."""
        return self.env.get(f"{self.prefix(section)}_{key.upper()}", table.get(key))

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
        in_file = {
            name: self._value(fields[name], value, section)
            for name, value in table.items()
            if name not in from_env
        }
        in_env = {
            name: self._value(fields[name], value, section, variable=variables[name])
            for name, value in from_env.items()
        }
        try:
            return cls(**{**in_file, **in_env})
        except BursarError as error:
            raise self._refused(str(error), section, fields, in_env, prefix) from None

    def _refused(
        self,
        problem: str,
        section: Section,
        fields: Mapping[str, Any],
        in_env: Mapping[str, Any],
        prefix: str,
    ) -> ConfigError:
        # A settings class begins with the name of the setting that it refuses, where it is one.
        word = re.match(r"[a-z_0-9]+", problem)
        key = word.group() if word and word.group() in fields else ""
        source = f" (from {prefix}_{key.upper()})" if key in in_env else ""
        return self.wrong(key, section, f"is wrong{source}: {problem}")

    def _value(
        self, field: "attrs.Attribute[Any]", value: object, section: Section, *, variable: str = ""
    ) -> Any:
        source = f" (from {variable})" if variable else ""
        if isinstance(value, float):
            raise self.wrong(
                field.name, section, "is a decimal number; put it in quotes, so that it stays exact"
            )
        resolved = self._resolve(field.type, value, field.name, section)
        try:
            return CONVERTER.structure(resolved, cast(Any, field.type))
        except (ValueError, TypeError, AttributeError, ArithmeticError, ExceptionGroup) as error:
            raise self.wrong(field.name, section, f"does not fit{source}: {_first(error)}") from None

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
                found, what = self.env[rest], f"the environment variable {rest}"
            case "file":
                try:
                    found, what = (self.base / rest).read_text(encoding="utf-8").strip(), f"the file {rest}"
                except OSError as error:
                    problem = f"refers to the file {rest}, which cannot be read: {error.strerror}"
                    raise self.wrong(key, section, problem) from None
                except ValueError:
                    raise self.wrong(key, section, f"refers to the file {rest!r}, which is no text") from None
            case "literal":
                found, what = rest, "a text"
            case _:
                raise self.wrong(
                    key, section, "is a secret: write env:NAME or file:PATH instead of the text itself"
                )
        if not found:
            raise self.wrong(key, section, f"refers to {what}, which is empty")
        return Secret(found)

    def _line(self, key: str, section: Section) -> int | None:
        """Return the line of *key*, or of what comes nearest: its table may be written in one line, or by dotted keys."""
        above, last = section[:-1], section[-1] if section else ""
        places = [(key, section), (f"{last}.{key}", above), ("", section), (last, above), ("", above)]
        lines = (self._find(*place) for place in places if place[0] or place[1])
        return next((line for line in lines if line), None)

    def _find(self, key: str, section: Section) -> int | None:
        """Return the line of *key* in *section*; without a key, that of the table's title."""
        wanted, inside = ".".join(section), not section
        for number, line in enumerate(self.lines, 1):
            bare = line.strip()
            if bare.startswith("["):
                title = bare.split("#")[0].strip("[] ").replace(" ", "").replace('"', "")
                inside = title == wanted
                if title == (".".join((*section, key)) if key else wanted):
                    return number
            elif inside and key and re.match(rf'"?{re.escape(key)}"?\s*=', bare):
                return number
        return None


def _first(error: BaseException) -> str:
    """Return the words of the first of a group of errors."""
    causes: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _first(causes[0]) if causes else str(error)
