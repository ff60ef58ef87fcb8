"""The settings of one account at a BTCPay Server, checked when they are read."""

import ipaddress
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import SplitResult, urlsplit

import attrs

from bursar.errors import ConfigError
from bursar.secrets import Secret

__all__ = ["REFUND_VARIANTS", "SPEED_POLICIES", "Settings", "is_private", "read_method"]

SPEED_POLICIES: Final = ("HighSpeed", "MediumSpeed", "LowMediumSpeed", "LowSpeed")
REFUND_VARIANTS: Final = ("Custom", "RateThen", "CurrentRate", "Fiat", "PullPayment")
_SHOWS: Final = ("redirect", "modal")
_STORE: Final = re.compile(r"[A-Za-z0-9]{1,100}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_METHOD: Final = re.compile(r"[A-Za-z0-9]{1,20}([_-][A-Za-z0-9]{1,30})?")
_LOCAL: Final = (".onion", ".local", ".lan", ".internal", ".localhost")
_OLD_METHODS: Final = {
    "": "CHAIN",
    "ONCHAIN": "CHAIN",
    "BITCOINLIKE": "CHAIN",
    "LIGHTNINGNETWORK": "LN",
    "LIGHTNINGLIKE": "LN",
    "OFFCHAIN": "LN",
    "LNURLPAY": "LNURL",
}


def read_method(text: str) -> str:
    """Return the payment method's id as BTCPay 2.x writes it: `BTC-CHAIN`, `BTC-LN`, `BTC-LNURL`."""
    coin, _, kind = text.upper().replace("_", "-").partition("-")
    return f"{coin}-{_OLD_METHODS.get(kind, kind)}"


def is_private(host: str) -> bool:
    """Tell whether *host* is reached inside a network only, or through Tor, where no certificate is to be had."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_LOCAL)
    return address.is_private or address.is_loopback or address.is_link_local


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{name} is not a URL: write it like https://btcpay.example") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ConfigError(f"{name} {url[:200]!r} is not a URL: write it like https://btcpay.example")
    if parts.username or parts.password:
        raise ConfigError(f"{name} carries a user or password; leave them out, the api_key is enough")
    return parts


def _check_base(name: str, url: str, *, allow_http: bool) -> None:
    parts = _split(name, url)
    if parts.query or parts.fragment:
        raise ConfigError(f"{name} {url[:200]!r} has a query or fragment; give the server's address only")
    if parts.scheme == "http" and not allow_http and not is_private(parts.hostname or ""):
        raise ConfigError(
            f"{name} {url[:200]!r} would send the API key unencrypted: use https, or set allow_http = true"
        )


def _base(url: str) -> str:
    return url.strip().rstrip("/")


def _methods(methods: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(read_method(m) if _METHOD.fullmatch(m) else m for m in methods))


@attrs.frozen
class Settings:
    """Hold the settings of one account.

    *url* is the server's address, a path under which it lives included; *public_url* how buyers reach it, where the API is
    called by an internal address. *api_key*, *store_id* and *webhook_secret* come from the set-up; without them the account
    can only be connected. *old_webhook_secrets* are still accepted while a secret rotates; *webhook_url* is where the
    server delivers, for the doctor. *payment_methods* are offered (`BTC-CHAIN`, `BTC-LN`, …; empty: all that are
    enabled). *window* and *monitoring* are whole minutes, *tolerance* per cent; what is not set here is the store's own
    setting. *show* is `redirect` or `modal`. *refund_variant* is how a full refund is valued; a partial one is always `Custom`;
    *refund_methods* are how the buyer may claim it (empty: as the invoice could be paid).
    """

    url: str = attrs.field(converter=_base)
    api_key: Secret = Secret("")
    store_id: str = ""
    webhook_secret: Secret = Secret("")
    old_webhook_secrets: tuple[Secret, ...] = ()
    webhook_url: str = ""
    public_url: str = attrs.field(default="", converter=_base)
    payment_methods: tuple[str, ...] = attrs.field(default=(), converter=_methods)
    speed_policy: str = ""
    window: int | None = None
    monitoring: int | None = None
    tolerance: Decimal | None = None
    redirect_automatically: bool | None = None
    language: str = ""
    lazy_methods: bool | None = None
    show: str = "redirect"
    refund_variant: str = "Custom"
    refund_methods: tuple[str, ...] = attrs.field(default=(), converter=_methods)
    allow_http: bool = False

    def __attrs_post_init__(self) -> None:
        _check_base("url", self.url, allow_http=self.allow_http)
        if self.public_url:
            # Nothing secret travels to it from here: it is only shown to buyers.
            _check_base("public_url", self.public_url, allow_http=True)
        if self.webhook_url:
            _split("webhook_url", self.webhook_url)
        self._check_credentials()
        self._check_checkout()

    def _check_credentials(self) -> None:
        key = self.api_key.reveal()
        if key and not _KEY.fullmatch(key):
            raise ConfigError("api_key has spaces or control characters in it; copy it again from BTCPay")
        if self.store_id and not _STORE.fullmatch(self.store_id):
            raise ConfigError(
                f"store_id {self.store_id[:100]!r} is no store's id; copy it from Store Settings > General"
            )
        if bool(key) != bool(self.store_id):
            missing = "store_id" if key else "api_key"
            raise ConfigError(f"{missing} is missing beside the other; set both, or connect the account")
        if any(secret.reveal() == "" for secret in self.old_webhook_secrets):
            raise ConfigError("old_webhook_secrets has an empty secret in it; remove it")

    def _check_checkout(self) -> None:
        for name, value, allowed in (
            ("speed_policy", self.speed_policy, ("", *SPEED_POLICIES)),
            ("show", self.show, _SHOWS),
            ("refund_variant", self.refund_variant, REFUND_VARIANTS),
        ):
            if value not in allowed:
                raise ConfigError(
                    f"{name} {value[:100]!r} is not one of {', '.join(a for a in allowed if a)}"
                )
        for name, methods in (
            ("payment_methods", self.payment_methods),
            ("refund_methods", self.refund_methods),
        ):
            for method in methods:
                if not _METHOD.fullmatch(method):
                    raise ConfigError(f"{name}: {method[:100]!r} is no method such as BTC-CHAIN or BTC-LN")
        if self.window is not None and not 1 <= self.window <= 100_000:
            raise ConfigError(f"window is 1 to 100000 minutes, not {self.window}")
        if self.monitoring is not None and not 0 <= self.monitoring <= 1_000_000:
            raise ConfigError(f"monitoring is 0 to 1000000 minutes, not {self.monitoring}")
        if self.tolerance is not None and not (self.tolerance.is_finite() and 0 <= self.tolerance < 100):
            # At 100 per cent BTCPay calls every invoice paid at once.
            raise ConfigError(f"tolerance is 0 to under 100 per cent, not {self.tolerance}")
        if self.language and not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z]{2,4})?", self.language):
            raise ConfigError(f"language {self.language[:40]!r} is no language such as en or fr-FR")

    @property
    def shown_url(self) -> str:
        """The address by which buyers reach the server."""
        return self.public_url or self.url

    @property
    def connected(self) -> bool:
        """Whether the account has what a request needs."""
        return bool(self.api_key and self.store_id)
