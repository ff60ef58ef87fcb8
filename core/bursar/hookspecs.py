"""The hooks by which a plugin registers what it brings. A plugin is a module named by an entry point.

Groups: `bursar.providers` for payment services and rate sources, `bursar.adapters` for platforms. The entry point's name
is the plugin's name in the configuration; its module is imported only when that name is used.
"""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bursar.adapters import Adapter
    from bursar.providers import Provider
    from bursar.rates import RateSource
    from bursar.testing.sandboxes import Sandbox

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("bursar")
hookimpl = pluggy.HookimplMarker("bursar")


@hookspec
def bursar_register_providers() -> "list[type[Provider]]":
    """
    Return the provider classes that this plugin brings.

    Called once, when the plugin's name is first used. Do no I/O here.
    """
    raise NotImplementedError


@hookspec
def bursar_register_adapters() -> "list[type[Adapter]]":
    """
    Return the adapter classes that this plugin brings.

    Called once, when the plugin's name is first used. Do no I/O here.
    """
    raise NotImplementedError


@hookspec
def bursar_register_rate_sources() -> "list[type[RateSource]]":
    """
    Return the rate sources that this plugin brings.

    Called once, when the plugin's name is first used. Do no I/O here.
    """
    raise NotImplementedError


@hookspec
def bursar_register_sandboxes() -> "list[type[Sandbox]]":
    """
    Return the sandboxes (faithful fakes of the service) that this plugin brings.

    Called only by `bursar sandbox`, the demo and tests. Import the sandbox's module inside the function, so that using
    the provider does not load it.
    """
    raise NotImplementedError
