"""API keys and what they may do: policies, the tree of what includes what, and the scope of one store."""

from typing import Final

import attrs

__all__ = ["KNOWN", "MERCHANT", "UNRESTRICTED", "Key", "may"]

_STORE: Final = "btcpay.store."
_TREE: Final = {
    "canmodifystoresettings": (
        "canmanagepullpayments canmodifyinvoices canviewstoresettings webhooks.canmodifywebhooks "
        "canmodifypaymentrequests canmanagepayouts canuselightningnode cansendstoreemails"
    ),
    "canviewstoresettings": "canviewinvoices canviewpaymentrequests canviewreports canviewpullpayments canviewpayouts",
    "canmodifyinvoices": "canviewinvoices cancreateinvoice cancreatelightninginvoice",
    "cancreatelightninginvoice": "canviewlightninginvoice",
    "canmanagepullpayments": "cancreatepullpayments canarchivepullpayments",
    "cancreatepullpayments": "cancreatenonapprovedpullpayments",
    "cancreatenonapprovedpullpayments": "canviewpullpayments",
    "canmanagepayouts": "canviewpayouts",
}
_CHILDREN: Final = {
    _STORE + parent: tuple(_STORE + child for child in children.split()) for parent, children in _TREE.items()
}
UNRESTRICTED: Final = "unrestricted"
KNOWN: Final = frozenset(_CHILDREN) | {child for children in _CHILDREN.values() for child in children}
"""The policies that this server knows; others are dropped without a word when a key is made."""
MERCHANT: Final = (
    "btcpay.store.canviewinvoices",
    "btcpay.store.cancreateinvoice",
    "btcpay.store.canviewstoresettings",
    "btcpay.store.canmodifyinvoices",
    "btcpay.store.cancreatenonapprovedpullpayments",
    "btcpay.store.webhooks.canmodifywebhooks",
)
"""The six that a shop's key has."""


@attrs.frozen
class Key:
    """An API key. *permissions* are policies, each for one store (`policy:STORE`) or for all of the user's."""

    secret: str = attrs.field(repr=False)
    label: str
    permissions: tuple[str, ...]
    user: str = ""
    identifier: str = ""
    redirect: str = ""


def may(key: Key, policy: str, store: str | None) -> bool:
    """Tell whether *key* may do what *policy* names at *store*; None asks for any store."""
    return any(_covers(permission, policy, store) for permission in key.permissions)


def _covers(permission: str, policy: str, store: str | None) -> bool:
    held, _, scope = permission.partition(":")
    if scope and store is not None and scope != store:
        return False
    return held == UNRESTRICTED or policy in _closure(held)


def _closure(policy: str) -> set[str]:
    found, open_ = {policy}, [policy]
    while open_:
        children = set(_CHILDREN.get(open_.pop(), ())) - found
        found |= children
        open_ += children
    return found
