"""The shop's own server over HTTP: one signed message with the order as it stands, by Standard Webhooks."""

from typing import TYPE_CHECKING

from bursar.hookspecs import hookimpl
from bursar_http.receiving import verify

if TYPE_CHECKING:
    from bursar.adapters import Adapter

__all__ = ["bursar_register_adapters", "verify"]


@hookimpl
def bursar_register_adapters() -> "list[type[Adapter]]":
    """Bring the adapter `http`."""
    from bursar_http.shop import HttpShop

    return [HttpShop]
