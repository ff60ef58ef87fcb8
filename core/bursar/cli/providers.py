"""`bursar providers`: what is installed, and which of it the configuration uses. No plugin is imported for it."""

import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, cast

from bursar.cli.options import BURSAR_TOML, AsJson, ConfigPath
from bursar.cli.printing import console, print_json, table
from bursar.errors import ConfigError
from bursar.plugins import ADAPTERS, PROVIDERS

__all__ = ["providers"]

_KINDS: Final = (
    ("provider", PROVIDERS, "accounts"),
    ("adapter", ADAPTERS, "shops"),
)


def providers(as_json: AsJson = False, config: ConfigPath = BURSAR_TOML) -> None:
    """List the installed providers and adapters, and which accounts and shops use them."""
    tables = _read(config)
    found: list[dict[str, Any]] = []
    for kind, group, section in _KINDS:
        for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
            found.append(
                {
                    "kind": kind,
                    "name": point.name,
                    "module": point.value,
                    "distribution": point.dist.name if point.dist else "",
                    "version": point.dist.version if point.dist else "",
                    "used_by": _users(tables, section, kind, point.name),
                }
            )
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["kind"],
            one["name"],
            ", ".join(one["used_by"]) or "not configured",
            one["module"],
            f"{one['distribution']} {one['version']}".strip(),
        )
        for one in found
    ]
    console().print(table(("", "name", "used by", "module", "from"), rows))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _users(tables: Mapping[str, Any], section: str, kind: str, plugin: str) -> list[str]:
    named = tables.get(section)
    if not isinstance(named, dict):
        return []
    users = cast(dict[str, object], named)
    return [
        f"{section}.{name}"
        for name, settings in users.items()
        if isinstance(settings, dict) and cast(dict[str, object], settings).get(kind) == plugin
    ]
