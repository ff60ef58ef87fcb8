"""Find plugins by name, import only the one that is used, and say plainly when one is missing or broken."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pluggy

from bursar import hookspecs
from bursar.errors import ConfigError, PluginBroken

if TYPE_CHECKING:
    from bursar.adapters import Adapter
    from bursar.providers import Provider
    from bursar.rates import RateSource
    from bursar.testing.sandboxes import Sandbox

__all__ = ["ADAPTERS", "PROVIDERS", "adapter", "names", "provider", "rate_source", "sandbox"]

PROVIDERS: Final = "bursar.providers"
ADAPTERS: Final = "bursar.adapters"
T = TypeVar("T")


def names(group: str) -> list[str]:
    """Return the names of the plugins installed for *group*, importing none of them."""
    return sorted({point.name for point in entry_points(group=group)})


def provider(name: str) -> "type[Provider]":
    """Return the provider class *name*. Raises `ConfigError` where there is none, `PluginBroken` where its plugin is."""
    return _named(PROVIDERS, name, "provider", _hook(PROVIDERS, name, "bursar_register_providers"))


def adapter(name: str) -> "type[Adapter]":
    """Return the adapter class *name*. Raises as `provider` does."""
    return _named(ADAPTERS, name, "adapter", _hook(ADAPTERS, name, "bursar_register_adapters"))


def rate_source(name: str) -> "type[RateSource]":
    """Return the rate source *name*: one of Bursar's own, or one that the provider plugin of that name brings."""
    if name == "fixed":
        from bursar.rates import FixedRates

        return FixedRates
    return _named(PROVIDERS, name, "rate source", _hook(PROVIDERS, name, "bursar_register_rate_sources"))


def sandbox(name: str) -> "type[Sandbox]":
    """Return the sandbox that the provider plugin *name* brings."""
    return _named(PROVIDERS, name, "sandbox", _hook(PROVIDERS, name, "bursar_register_sandboxes"))


def _named(group: str, name: str, kind: str, classes: Sequence[type[T]]) -> type[T]:
    for cls in classes:
        if getattr(cls, "name", None) == name:
            return cls
    raise ConfigError(f"plugin {name!r} of {group} brings no {kind} of that name")


def _hook(group: str, name: str, hook: str) -> Sequence[Any]:
    manager = _load(group, name)
    found: list[Any] = []
    try:
        for classes in getattr(manager.hook, hook)():
            found += classes
    except Exception as error:
        raise PluginBroken(f"plugin {name!r} of {group} failed in {hook}: {error}") from error
    return found


@cache
def _load(group: str, name: str) -> pluggy.PluginManager:
    point = _entry_point(group, name)
    manager = pluggy.PluginManager("bursar")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(point.load(), name)
        manager.check_pending()
    except Exception as error:
        raise PluginBroken(f"plugin {name!r} of {group} ({point.value}) cannot be loaded: {error}") from error
    return manager


def _entry_point(group: str, name: str) -> EntryPoint:
    found = {point.value: point for point in entry_points(group=group) if point.name == name}
    if len(found) > 1:
        raise PluginBroken(
            f"{name!r} of {group} is claimed by {', '.join(sorted(found))}; uninstall all but one"
        )
    if not found:
        raise ConfigError(f"no plugin {name!r} in {group}; installed: {', '.join(names(group)) or 'none'}")
    return next(iter(found.values()))
