"""The settings of a CoinPay account, checked before anything is sent."""

import ipaddress
import re
from typing import Any, Final

import attrs
import httpx

from bursar.errors import ConfigError
from bursar.secrets import Secret
from bursar_coinpay.coins import COINS

__all__ = ["URL", "CoinPaySettings", "base_url"]

URL: Final = "https://coinpayportal.com/api"
_KEY: Final = re.compile(r"cp_(live|test)_[0-9a-fA-F]{32}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_OWN_NAMES: Final = ("localhost", "local", "internal", "test")


def base_url(url: str, *, allow_http: bool, where: str) -> str:
    """Return *url* without a slash at its end; raise `ConfigError` where an API key must not be sent there.

    Plain http is for a machine of one's own, such as a sandbox, and only with *allow_http*.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("https", "http") or not parsed.host or parsed.query or parsed.fragment:
        raise ConfigError(f"{where}: {url[:200]!r} is not a web address such as {URL}")
    if parsed.userinfo:
        raise ConfigError(f"{where}: an address with a name or password in it; take them out")
    if parsed.scheme == "http" and not (allow_http and _is_own(parsed.host)):
        raise ConfigError(
            f"{where}: {url[:200]!r} would send the API key unencrypted; use https, or, for a sandbox on a "
            "machine of your own, set allow_http = true"
        )
    return url.rstrip("/")


def _is_own(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.rsplit(".", 1)[-1] in _OWN_NAMES
    return address.is_loopback or address.is_private


def _check_key(_: object, __: object, key: Secret) -> None:
    if not _KEY.fullmatch(key.reveal()):
        raise ConfigError(
            "api_key: not a CoinPay API key (cp_live_ and 32 hex digits, 40 characters in all); copy it again "
            "from the business's API keys in the CoinPay dashboard"
        )


def _check_business(_: object, __: object, business_id: str) -> None:
    if not _UUID.fullmatch(business_id):
        raise ConfigError(
            f"business_id: {business_id[:80]!r} is not a business id (a UUID); it stands in the business's settings"
        )


def _check_secret(_: object, attribute: "attrs.Attribute[Any]", secret: Secret | tuple[Secret, ...]) -> None:
    for one in secret if isinstance(secret, tuple) else (secret,):
        key = one.reveal()
        if not key:
            raise ConfigError(
                f"{attribute.name}: empty, so no notice of CoinPay could be checked; copy it from the webhook "
                "settings of the business"
            )
        if key != key.strip():
            raise ConfigError(f"{attribute.name}: has blanks or a line end around it; take them off")


def _check_codes(_: object, attribute: "attrs.Attribute[Any]", codes: str | tuple[str, ...]) -> None:
    for code in codes if isinstance(codes, tuple) else filter(None, (codes,)):
        if code not in COINS:
            raise ConfigError(
                f"{attribute.name}: CoinPay has no blockchain {code[:40]!r}; choose of {', '.join(COINS)}"
            )


def _upper_code(code: str) -> str:
    return code.upper()


def _upper(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(code.upper() for code in codes)


@attrs.frozen
class CoinPaySettings:
    """Settings of an account with `provider = "coinpay"`.

    *api_key* and *business_id*: from the business in the CoinPay dashboard. *webhook_secret*: used as it is, prefix
    included; *old_webhook_secrets*: those still accepted while a secret changes. *blockchain*: the coin of a payment
    that names none; *blockchains*: those offered to a buyer, none for all with a wallet. *card*: offer CoinPay's card
    page beside the coin. *check_balance*: have CoinPay look at the chain when an open payment is polled.
    """

    api_key: Secret = attrs.field(validator=_check_key)
    business_id: str = attrs.field(validator=_check_business)
    webhook_secret: Secret = attrs.field(validator=_check_secret)
    old_webhook_secrets: tuple[Secret, ...] = attrs.field(default=(), validator=_check_secret)
    url: str = URL
    blockchain: str = attrs.field(default="", converter=_upper_code, validator=_check_codes)
    blockchains: tuple[str, ...] = attrs.field(default=(), converter=_upper, validator=_check_codes)
    card: bool = False
    check_balance: bool = True
    allow_http: bool = False

    def __attrs_post_init__(self) -> None:
        base_url(self.url, allow_http=self.allow_http, where="url")
        if self.blockchain and self.blockchains and self.blockchain not in self.blockchains:
            raise ConfigError(
                f"blockchain: {self.blockchain} is not among blockchains ({', '.join(self.blockchains)}); add it there"
            )
