"""Take payments through any provider, follow each to its end, and keep the shop's own order in step.

The names below are the public API of everyday use; `bursar.errors`, `bursar.providers`, `bursar.adapters`,
`bursar.hookspecs` and `bursar.testing` are public too, for those who write plugins.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bursar.config import Config, load_config, read_config
    from bursar.lifecycle import OrderStatus
    from bursar.money import Asset, Money, fiat
    from bursar.policy import Policy
    from bursar.receiving import Answer
    from bursar.service import AsyncBursar, Bursar
    from bursar.views import OrderView, PaymentView, RefundView

__all__ = [
    "Answer",
    "Asset",
    "AsyncBursar",
    "Bursar",
    "Config",
    "Money",
    "OrderStatus",
    "OrderView",
    "PaymentView",
    "Policy",
    "RefundView",
    "fiat",
    "load_config",
    "read_config",
]

_HOMES = {
    "Answer": "receiving",
    "Asset": "money",
    "AsyncBursar": "service",
    "Bursar": "service",
    "Config": "config",
    "Money": "money",
    "OrderStatus": "lifecycle",
    "OrderView": "views",
    "PaymentView": "views",
    "Policy": "policy",
    "RefundView": "views",
    "fiat": "money",
    "load_config": "config",
    "read_config": "config",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that importing a plugin, or asking for help, does not load the database.
    if name not in _HOMES:
        raise AttributeError(f"module 'bursar' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"bursar.{_HOMES[name]}"), name)
