"""The settings of a shop that is told over HTTP, checked before anything is sent."""

import base64
import binascii
import ipaddress
import re
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from bursar.errors import ConfigError
from bursar.secrets import Secret

__all__ = ["Settings", "check_key"]

_LEAST, _MOST = 24, 64
"""The key's length in bytes that Standard Webhooks asks for."""
_HOW: Final = "openssl rand -base64 32"
_LOCAL: Final = (".localhost", ".local", ".lan", ".internal", ".test")


def _check_url(url: str, *, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigError("url is not a web address: write it like https://shop.example/bursar") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ConfigError(
            f"url {url[:200]!r} is not a web address: write it like https://shop.example/bursar"
        )
    if parts.username or parts.password:
        raise ConfigError("url carries a user or password; leave them out, each message is signed")
    if parts.fragment:
        raise ConfigError("url has a fragment (#…), which no server would see; leave it out")
    if parts.scheme == "http" and not (allow_http and _is_private(parts.hostname)):
        raise ConfigError(
            f"url {url[:200]!r} would send orders unencrypted; use https, or, for a machine of your own "
            "network, set allow_http = true"
        )


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.lower().endswith(_LOCAL)
    return address.is_loopback or address.is_private


def check_key(name: str, text: str) -> None:
    """Raise `ConfigError` unless *text* is a signing key; an empty or short one could be guessed by anyone."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{name} is not base64 after an optional whsec_; make one with `{_HOW}`") from None
    if not _LEAST <= len(key) <= _MOST:
        raise ConfigError(
            f"{name} is a key of {len(key)} bytes; it has {_LEAST} to {_MOST}: make one with `{_HOW}`"
        )


def _check_secret(_: object, attribute: "attrs.Attribute[Any]", secret: Secret | tuple[Secret, ...]) -> None:
    for one in secret if isinstance(secret, tuple) else (secret,):
        check_key(attribute.name, one.reveal())


def _check_timeout(_: object, __: object, timeout: int) -> None:
    if not 1 <= timeout <= 120:
        raise ConfigError(f"timeout is 1 to 120 seconds, not {timeout}")


@attrs.frozen
class Settings:
    """Settings of a shop with `adapter = "http"`.

    *url* is where the order is posted to; *secret* signs it (base64, after an optional `whsec_`), *old_secrets* sign it
    too while the shop changes over. *timeout* is in seconds. *allow_http* permits plain http to a machine of one's own
    network.
    """

    url: str
    secret: Secret = attrs.field(validator=_check_secret)
    old_secrets: tuple[Secret, ...] = attrs.field(default=(), validator=_check_secret)
    timeout: int = attrs.field(default=20, validator=_check_timeout)
    allow_http: bool = False

    def __attrs_post_init__(self) -> None:
        _check_url(self.url, allow_http=self.allow_http)
