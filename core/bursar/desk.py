"""What every operation works with: the configured accounts, shops and rates, the store, and where time and ids come from."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import uuid6

from bursar import plugins
from bursar.adapters import Adapter
from bursar.agenda import wake_at
from bursar.config import Config
from bursar.errors import BadInput, BursarError, ConfigError, NotFound
from bursar.habits import Capabilities, Habits
from bursar.money import Asset, Money
from bursar.orders import Dossier
from bursar.policies import asset_named, read_policy
from bursar.policy import Policy
from bursar.providers import Provider
from bursar.rates import RateSource
from bursar.texts import is_keepable
from bursar.work import Dossiers, Kept, Name

__all__ = ["Account", "Desk", "Shop", "build_desk"]


@attrs.frozen
class Account:
    """Hold one configured use of a provider."""

    name: str
    provider: Provider
    policy: tuple[tuple[str, str], ...] = ()

    @property
    def capabilities(self) -> Capabilities:
        return self.provider.capabilities

    @property
    def habits(self) -> Habits:
        return self.provider.capabilities.habits


@attrs.frozen
class Shop:
    """Hold one configured use of an adapter; without one nobody is told."""

    name: str
    adapter: Adapter | None = None


def _new_key() -> str:
    return str(uuid6.uuid7())


def _new_token() -> str:
    return secrets.token_urlsafe(24)


@attrs.frozen
class Desk:
    """Hold what operations need. *clock* returns Unix seconds."""

    config: Config
    accounts: Mapping[str, Account]
    shops: Mapping[str, Shop]
    rates: RateSource | None
    store: Dossiers
    clock: Callable[[], float]
    new_key: Callable[[], str] = _new_key
    new_token: Callable[[], str] = _new_token

    @property
    def now(self) -> int:
        """The time in whole Unix seconds."""
        return int(self.clock())

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The assets that the configured providers declare."""
        return tuple({asset: None for a in self.accounts.values() for asset in a.provider.assets})

    @property
    def habits(self) -> Mapping[str, Habits]:
        """The habits of every account's provider."""
        return {name: account.habits for name, account in self.accounts.items()}

    def account(self, name: str = "") -> Account:
        """Return the account *name*, or the one that new payments use; raise `NotFound`."""
        wanted = name or self.config.default_account()
        if wanted not in self.accounts:
            known = ", ".join(sorted(self.accounts)) or "none"
            raise NotFound(f"there is no account {wanted!r}; configured: {known}")
        return self.accounts[wanted]

    def shop(self, name: str) -> Shop:
        """Return the shop *name*. One that is not configured is told nothing."""
        return self.shops.get(name) or Shop(name)

    def asset(self, code: str) -> Asset:
        """Return the asset *code*, declared by a provider or of ISO 4217."""
        return asset_named(code, self.assets)

    def money(self, amount: Any, currency: str | None = None) -> Money:
        """Read an amount: `Money`, or a Decimal, int or text with its *currency*."""
        if isinstance(amount, Money):
            return amount
        if isinstance(amount, float):
            raise BadInput("an amount is a Decimal, an int, text or Money, never a float: floats lose money")
        if currency is None:
            raise BadInput("an amount needs its currency, such as currency='EUR'")
        return Money.of(amount, self.asset(currency))

    def policy(self, account: Account, dossier: Dossier) -> Policy:
        """Return the policy for a payment at *account*: the account's, overridden by the order's own."""
        base = read_policy(account.policy, assets=self.assets)
        return read_policy(dossier.order.policy, base=base, assets=self.assets)

    def kept(self, order_key: str) -> Kept:
        """Return the order; raise `NotFound`."""
        kept = self.store.get(order_key) if is_keepable(order_key) else None
        if kept is None:
            raise NotFound(f"there is no order {order_key!r}")
        return kept

    def named(self, reference: str, shop: str) -> Kept:
        """Return the order that *shop* calls *reference*; raise `NotFound`."""
        named = is_keepable(reference) and is_keepable(shop)
        key = self.store.find(Name("reference", shop, reference)) if named else None
        if key is None:
            raise NotFound(f"shop {shop!r} has no order {reference!r}")
        return self.kept(key)


def build_desk(
    config: Config,
    open_store: Callable[[Callable[[Dossier], int | None], Callable[[str], bool]], Dossiers],
    *,
    clock: Callable[[], float],
) -> Desk:
    """Make the providers, adapters and rate source that *config* names (only those are imported), and open the store.

    *open_store* is given the pure rule by which an order wants to be woken, and whether a shop wants to be told.
    """
    accounts: dict[str, Account] = {}
    for name, account in config.accounts.items():
        cls = plugins.provider(account.provider)
        accounts[name] = Account(
            name, _made(cls, account.settings, f"accounts.{name}", config), account.policy
        )
    shops: dict[str, Shop] = {}
    for name, shop in config.shops.items():
        made = None
        if shop.adapter:
            made = _made(plugins.adapter(shop.adapter), shop.settings, f"shops.{name}", config)
        shops[name] = Shop(name, made)
    rates = None
    if config.rates is not None:
        rates = _made(plugins.rate_source(config.rates.source), config.rates.settings, "rates", config)
    habits = {name: account.habits for name, account in accounts.items()}
    told = {name for name, shop in shops.items() if shop.adapter is not None}
    store = open_store(lambda dossier: wake_at(dossier, habits), told.__contains__)
    return Desk(config, accounts, shops, rates, store, clock)


def _made(cls: Callable[[Any], Any], settings: Any, section: str, config: Config) -> Any:
    try:
        return cls(settings)
    except BursarError as error:
        raise ConfigError(f"{config.source}: [{section}]: {error}") from None
