"""All settings of one Bursar: read from `bursar.toml` and the environment, or an error that says what to mend.

A setting comes from the file, or from the environment variable named after it (`BURSAR_DATABASE`,
`BURSAR_ACCOUNTS_MAIN_URL`), which wins. A secret is written as a reference: `env:NAME`, `file:PATH`, or, for a sandbox,
`literal:TEXT`.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs

from bursar import plugins
from bursar.configreader import Reader, Table
from bursar.errors import ConfigError, PluginBroken
from bursar.policies import read_policy
from bursar.secrets import Secret

__all__ = [
    "AccountConfig",
    "Config",
    "RatesConfig",
    "ServerConfig",
    "ShopConfig",
    "load_config",
    "read_config",
]

T = TypeVar("T")
_SECTIONS: Final = ("accounts", "bursar", "rates", "shops")
_DETAILS: Final = ("description", "order_key", "shop")
"""What of an order a provider can be told beside its reference and amount."""
_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)")
_PASSWORD: Final = re.compile(r"(://[^:/@]*):[^@]*@")
_LARGEST_BODY: Final = 64 * 1024 * 1024


def _hide_password(url: str) -> str:
    return repr(_PASSWORD.sub(r"\1:***@", url))


def _check_public_url(_: object, __: object, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or re.search(r"[\s?#]", url):
        raise ConfigError(f"public_url {url[:200]!r} is not a web address such as https://pay.example.com")


def _check_range(least: int, most: int) -> Callable[[object, "attrs.Attribute[int]", int], None]:
    def check(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
        if not least <= value <= most:
            raise ConfigError(f"{attribute.name} is {least} to {most}, not {value}")

    return check


def _check_details(_: object, __: object, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in _DETAILS:
            raise ConfigError(
                f"give_away: {name!r} is no detail of an order; there are {', '.join(_DETAILS)}"
            )


@attrs.frozen
class ServerConfig:
    """Settings of `[bursar]`.

    *database* is an SQLAlchemy URL (`sqlite:///bursar.db`, `postgresql://…`); *public_url* where buyers and providers reach
    this server; *api_key* what a shop's backend shows; *account* the account that new payments use; *max_body* the largest
    request body in bytes; *give_away* the order details that providers may be told beside the order's id: `description`,
    `order_key`, `shop`.
    """

    database: str = attrs.field(default="sqlite:///bursar.db", repr=_hide_password)
    public_url: str = attrs.field(default="http://127.0.0.1:8000", validator=_check_public_url)
    api_key: Secret = Secret("")
    account: str = ""
    host: str = "127.0.0.1"
    port: int = attrs.field(default=8000, validator=_check_range(0, 65_535))
    max_body: int = attrs.field(default=262_144, validator=_check_range(1_024, _LARGEST_BODY))
    give_away: tuple[str, ...] = attrs.field(default=(), validator=_check_details)


@attrs.frozen
class AccountConfig:
    """Hold one `[accounts.NAME]`: the *provider* plugin, its own *settings*, and the policy as (setting, value) pairs."""

    name: str
    provider: str
    settings: Any = attrs.field(repr=False)
    policy: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class ShopConfig:
    """Hold one `[shops.NAME]`: the *adapter* plugin (empty: nobody is told) and its own *settings*."""

    name: str
    adapter: str = ""
    settings: Any = attrs.field(repr=False, default=None)


@attrs.frozen
class RatesConfig:
    """Hold `[rates]`: the rate *source* and its own *settings*."""

    source: str
    settings: Any = attrs.field(repr=False)


@attrs.frozen
class Config:
    """Hold all settings of one Bursar; *source* names the file, for messages."""

    server: ServerConfig
    accounts: Mapping[str, AccountConfig]
    shops: Mapping[str, ShopConfig] = attrs.field(factory=lambda: dict[str, ShopConfig]())
    rates: RatesConfig | None = None
    source: str = "bursar.toml"

    def default_account(self) -> str:
        """Return the name of the account that new payments use."""
        if self.server.account:
            return self.server.account
        if len(self.accounts) == 1:
            return next(iter(self.accounts))
        known = ", ".join(sorted(self.accounts)) or "none is configured"
        raise ConfigError(
            f"{self.source}: name the account for new payments: account = … under [bursar] ({known})"
        )


def load_config(path: str | Path = "bursar.toml", *, env: Mapping[str, str] | None = None) -> Config:
    """Read the file at *path*; raise `ConfigError` with file, line, key and cure."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{file} does not exist; make one (see docs/configuration.md) or name another"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    return read_config(text, source=str(file), env=os.environ if env is None else env, base=file.parent)


def read_config(
    text: str, *, env: Mapping[str, str], source: str = "bursar.toml", base: Path | None = None
) -> Config:
    """Read configuration *text*; `file:` references and relative SQLite files start from *base*."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _AT_LINE.search(str(error))
        where = f"{source}:{line.group(1)}" if line else source
        raise ConfigError(f"{where}: not valid TOML: {_AT_LINE.sub('', str(error))}") from None
    reader = Reader(source, text.splitlines(), env, base or Path())
    for key in tables:
        if key not in _SECTIONS:
            raise reader.wrong(key, (), f"is no section; there are {', '.join(_SECTIONS)}")
    server = reader.settings(ServerConfig, ("bursar",), reader.table(tables, "bursar"), prefix="BURSAR")
    accounts = {
        name: _account(reader, name, table) for name, table in reader.named(tables, "accounts").items()
    }
    shops = {name: _shop(reader, name, table) for name, table in reader.named(tables, "shops").items()}
    rates = _rates(reader, reader.table(tables, "rates")) if "rates" in tables else None
    if server.account and server.account not in accounts:
        known = ", ".join(sorted(accounts)) or "none"
        raise reader.wrong(
            "account",
            ("bursar",),
            f"names {server.account!r}, which is not under [accounts]; there are: {known}",
        )
    return Config(_placed(server, base), accounts, shops, rates, source)


def _account(reader: Reader, name: str, table: Table) -> AccountConfig:
    section = ("accounts", name)
    plugin = reader.text(table, "provider", section, lambda: _installed(plugins.PROVIDERS))
    cls = _loaded(reader, section, "provider", lambda: plugins.provider(plugin))
    own = {key: value for key, value in table.items() if key not in ("provider", "policy")}
    policy = reader.pairs(table, "policy", section)
    for key, value in policy:
        try:
            read_policy(((key, value),), assets=cls.assets)
        except ConfigError as error:
            raise reader.wrong(key, (*section, "policy"), f"is wrong: {error}") from None
    settings = reader.settings(cls.Settings, section, own, prefix=reader.prefix(section))
    return AccountConfig(name, plugin, settings, policy)


def _shop(reader: Reader, name: str, table: Table) -> ShopConfig:
    section = ("shops", name)
    if not reader.given(table, "adapter", section):
        if table:
            raise reader.wrong(
                next(iter(table)), section, "is set, but no adapter is: set adapter, or take it out"
            )
        return ShopConfig(name)
    plugin = reader.text(table, "adapter", section, lambda: _installed(plugins.ADAPTERS))
    cls = _loaded(reader, section, "adapter", lambda: plugins.adapter(plugin))
    own = {key: value for key, value in table.items() if key != "adapter"}
    return ShopConfig(
        name, plugin, reader.settings(cls.Settings, section, own, prefix=reader.prefix(section))
    )


def _rates(reader: Reader, table: Table) -> RatesConfig:
    section = ("rates",)
    cure = "use fixed, or the name of a provider that has rates"
    source = reader.text(table, "source", section, lambda: cure)
    cls = _loaded(reader, section, "source", lambda: plugins.rate_source(source))
    own = {key: value for key, value in table.items() if key != "source"}
    return RatesConfig(source, reader.settings(cls.Settings, section, own, prefix=reader.prefix(section)))


def _installed(group: str) -> str:
    return f"installed: {', '.join(plugins.names(group))}"


def _loaded(reader: Reader, section: tuple[str, ...], key: str, load: Callable[[], T]) -> T:
    try:
        return load()
    except ConfigError as error:
        raise reader.wrong(key, section, f"is wrong: {error}") from None
    except PluginBroken as error:
        raise PluginBroken(str(reader.wrong(key, section, f"names a broken plugin: {error}"))) from error


def _placed(server: ServerConfig, base: Path | None) -> ServerConfig:
    kind, mark, path = server.database.partition(":///")
    if (
        base is None
        or not mark
        or kind not in ("sqlite", "sqlite+pysqlite")
        or path.startswith(("/", ":", "file:"))
    ):
        return server
    return attrs.evolve(server, database=f"{kind}:///{(base / path).resolve().as_posix()}")
