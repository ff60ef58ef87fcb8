"""What an API key may do: BTCPay's permissions, which include which, and for which stores they hold."""

from collections.abc import Iterable
from typing import Final

import attrs

__all__ = ["NEEDED", "Need", "covers", "lacking", "store_scopes"]

_STORE: Final = "btcpay.store."
UNRESTRICTED: Final = "unrestricted"


@attrs.frozen
class Need:
    """Name a permission that we use, what it is for, and whether nothing works without it."""

    permission: str
    purpose: str
    vital: bool = False


NEEDED: Final = (
    Need("btcpay.store.canviewinvoices", "following payments", vital=True),
    Need("btcpay.store.cancreateinvoice", "opening payments", vital=True),
    Need("btcpay.store.canmodifyinvoices", "cancelling payments"),
    Need("btcpay.store.webhooks.canmodifywebhooks", "registering and checking the webhook"),
    Need("btcpay.store.canviewstoresettings", "listing payment methods and checking the store"),
    Need("btcpay.store.cancreatenonapprovedpullpayments", "refunds"),
)

_INCLUDES: Final[dict[str, tuple[str, ...]]] = {
    "canmodifystoresettings": (
        "canmanagepullpayments",
        "canmodifyinvoices",
        "canviewstoresettings",
        "webhooks.canmodifywebhooks",
        "canmodifypaymentrequests",
        "canmanagepayouts",
        "canuselightningnode",
        "cansendstoreemails",
    ),
    "canviewstoresettings": (
        "canviewinvoices",
        "canviewpaymentrequests",
        "canviewreports",
        "canviewpullpayments",
        "canviewpayouts",
    ),
    "canmodifyinvoices": ("canviewinvoices", "cancreateinvoice", "cancreatelightninginvoice"),
    "cancreatelightninginvoice": ("canviewlightninginvoice",),
    "canmanagepullpayments": ("cancreatepullpayments", "canarchivepullpayments"),
    "cancreatepullpayments": ("cancreatenonapprovedpullpayments",),
    "cancreatenonapprovedpullpayments": ("canviewpullpayments",),
    "canmanagepayouts": ("canviewpayouts",),
}


def covers(granted: Iterable[str], needed: str, store_id: str) -> bool:
    """Tell whether *granted* permissions include *needed* for the store. One without a scope holds for every store."""
    for text in granted:
        permission, _, scope = text.partition(":")
        if permission == UNRESTRICTED:
            return True
        if scope in ("", store_id) and _includes(permission, needed):
            return True
    return False


def lacking(granted: Iterable[str], store_id: str) -> tuple[Need, ...]:
    """Return what of `NEEDED` the key cannot do for the store."""
    permissions = tuple(granted)
    return tuple(need for need in NEEDED if not covers(permissions, need.permission, store_id))


def store_scopes(granted: Iterable[str]) -> frozenset[str]:
    """Return the stores that the store permissions are limited to; an empty one stands for all stores."""
    return frozenset(text.partition(":")[2] for text in granted if text.startswith((_STORE, UNRESTRICTED)))


def _includes(permission: str, needed: str) -> bool:
    if permission == needed:
        return True
    children = _INCLUDES.get(permission.removeprefix(_STORE), ())
    return any(_includes(_STORE + child, needed) for child in children)
