"""Declared signatures: a scheme says what is signed and how it is written; one engine verifies and signs.

The engine is total: any bytes and any headers at all give either a `Verified` or `BadSignature`. The key is never chosen
by anything in the request. Time is passed in.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import attrs

from bursar.errors import BadSignature, ConfigError, PluginBroken

__all__ = ["STANDARD_WEBHOOKS", "Encoding", "Grammar", "KeyForm", "Scheme", "Verified", "sign", "verify"]

_MAX_HEADER: Final = 4096
_PART: Final = re.compile(r"\{id\}|\{timestamp\}|\{body\}|[^{}]+")
_TIME: Final = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{43}=", re.ASCII)


class Grammar(Enum):
    """Say how the header carries its signatures."""

    BARE = "bare"
    """The whole header is one signature, after an optional fixed prefix (`sha256=`)."""
    PAIRS = "pairs"
    """`t=1700000000,v1=…`: comma-separated pairs; the time stands in the header."""
    VERSIONED = "versioned"
    """`v1,… v1,…`: space-separated signatures; id and time stand in headers of their own (Standard Webhooks)."""


class Encoding(Enum):
    """Say how signature bytes are written."""

    HEX = "hex"
    BASE64 = "base64"


class KeyForm(Enum):
    """Say how a secret's text becomes a key."""

    UTF8 = "utf8"
    BASE64_WHSEC = "base64_whsec"
    """Base64, after an optional `whsec_`."""


@attrs.frozen
class Scheme:
    """Declare how a service signs: HMAC-SHA256 over *template*, written into *header*.

    *template* is made of `{id}`, `{timestamp}` and `{body}`. *prefix* is fixed text before a bare signature; *version* the
    key (`v1`) of the signatures that count in the other grammars; *time_key* the key of the time in pairs; *several* says
    that pairs may carry more than one signature, of which any may fit (a service that signs with the old and the new secret
    while one rotates). *tolerance* is in seconds, both ways; None where nothing signed says when. A declaration that
    contradicts itself is its author's fault: `PluginBroken`.
    """

    header: str
    grammar: Grammar = Grammar.BARE
    encoding: Encoding = Encoding.HEX
    template: str = "{body}"
    prefix: str = ""
    version: str = "v1"
    time_key: str = "t"
    id_header: str = ""
    time_header: str = ""
    tolerance: int | None = None
    key_form: KeyForm = KeyForm.UTF8
    several: bool = False

    def __attrs_post_init__(self) -> None:
        timed = self.grammar is Grammar.PAIRS or bool(self.time_header)
        for wrong, what in (
            (not self.header, "names no header"),
            ("".join(_PART.findall(self.template)) != self.template, "has a template of unknown parts"),
            (self.template.count("{body}") != 1, "does not sign the body exactly once"),
            ("{timestamp}" in self.template and not timed, "signs a time that stands nowhere"),
            ("{id}" in self.template and not self.id_header, "signs an id that stands nowhere"),
            (
                self.tolerance is not None and "{timestamp}" not in self.template,
                "bounds a time it does not sign",
            ),
            (self.tolerance is not None and self.tolerance < 0, "has a tolerance below nothing"),
        ):
            if wrong:
                raise PluginBroken(f"the signature scheme of header {self.header!r} {what}")


STANDARD_WEBHOOKS: Final = Scheme(
    header="webhook-signature",
    grammar=Grammar.VERSIONED,
    encoding=Encoding.BASE64,
    template="{id}.{timestamp}.{body}",
    id_header="webhook-id",
    time_header="webhook-timestamp",
    tolerance=300,
    key_form=KeyForm.BASE64_WHSEC,
)
"""The scheme of Standard Webhooks (https://www.standardwebhooks.com), by which Bursar signs what it sends."""


@attrs.frozen
class Verified:
    """Prove that *body* is what the holder of one of our secrets signed, *signed_at* by its own clock if it says so."""

    body: bytes = attrs.field(repr=False)
    signed_at: int | None = None
    message_id: str | None = None
    secret_index: int = 0


def sign(scheme: Scheme, body: bytes, secret: bytes, *, now: int = 0, message_id: str = "") -> dict[str, str]:
    """Return the headers that sign *body* at *now* (Unix seconds) by *scheme*."""
    timestamp = str(now)
    mac = _mac(scheme, body, _key(scheme, secret), timestamp, message_id)
    text = mac.hex() if scheme.encoding is Encoding.HEX else base64.b64encode(mac).decode()
    match scheme.grammar:
        case Grammar.BARE:
            headers = {scheme.header: scheme.prefix + text}
        case Grammar.PAIRS:
            headers = {scheme.header: f"{scheme.time_key}={timestamp},{scheme.version}={text}"}
        case Grammar.VERSIONED:
            headers = {scheme.header: f"{scheme.version},{text}"}
    if scheme.id_header:
        headers[scheme.id_header] = message_id
    if scheme.time_header:
        headers[scheme.time_header] = timestamp
    return headers


def verify(
    scheme: Scheme, body: bytes, headers: Mapping[str, str], *, secrets: Sequence[bytes], now: int
) -> Verified:
    """Prove that *body* is genuine; raise `BadSignature` otherwise, whatever the bytes are.

    *headers* may be written in any case; a header that decides anything and is given twice is refused. *secrets* are all
    that are live, the current one first; *now* is in Unix seconds.
    """
    names = {scheme.header, scheme.id_header, scheme.time_header} - {""}
    given = _headers(headers, names)
    found = _parse(scheme, given.get(scheme.header.lower(), ""))
    timestamp, message_id = found.timestamp, ""
    if scheme.time_header:
        timestamp = given.get(scheme.time_header.lower(), "")
    if scheme.id_header:
        message_id = given.get(scheme.id_header.lower(), "")
        if not _ID.fullmatch(message_id):
            raise BadSignature(f"header {scheme.id_header} is missing or malformed")
    signed_at = None
    if "{timestamp}" in scheme.template:
        if not _TIME.fullmatch(timestamp):
            raise BadSignature("the time of signing is missing or not a plain number of seconds")
        signed_at = int(timestamp)
        if scheme.tolerance is not None and abs(now - signed_at) > scheme.tolerance:
            raise BadSignature("signed too long ago, or in the future")
    if not any(secrets):
        raise BadSignature("no secret is configured to check a signature with")
    match_at = None
    for index, secret in enumerate(secrets):
        if not secret:
            continue
        mac = _mac(scheme, body, _key(scheme, secret), timestamp, message_id)
        for signature in found.signatures:
            # Every secret and signature is tried, so that the time taken tells nothing.
            if hmac.compare_digest(mac, signature) and match_at is None:
                match_at = index
    if match_at is None:
        raise BadSignature("signed with no secret we know")
    return Verified(body, signed_at, message_id or None, match_at)


@attrs.frozen
class _Found:
    signatures: tuple[bytes, ...]
    timestamp: str = ""


def _headers(headers: Mapping[str, str], names: set[str]) -> dict[str, str]:
    wanted = {name.lower() for name in names}
    given: dict[str, str] = {}
    for name, value in headers.items():
        low = name.lower()
        if low in wanted:
            if low in given:
                raise BadSignature(f"header {low} is given twice")
            given[low] = value
    return given


def _parse(scheme: Scheme, header: str) -> _Found:
    if not header:
        raise BadSignature(f"header {scheme.header} is missing or empty")
    if len(header) > _MAX_HEADER:
        raise BadSignature(f"header {scheme.header} is longer than {_MAX_HEADER} characters")
    match scheme.grammar:
        case Grammar.BARE:
            if not header.startswith(scheme.prefix):
                raise BadSignature(f"header {scheme.header} does not begin with {scheme.prefix!r}")
            return _Found((_decode(scheme, header.removeprefix(scheme.prefix)),))
        case Grammar.PAIRS:
            return _parse_pairs(scheme, header)
        case Grammar.VERSIONED:
            parts = [part.split(",", 1) for part in header.split(" ")]
            texts = [part[1] for part in parts if len(part) == 2 and part[0] == scheme.version]
            return _Found(_decode_all(scheme, texts))


def _parse_pairs(scheme: Scheme, header: str) -> _Found:
    times: list[str] = []
    texts: list[str] = []
    for part in header.split(","):
        key, equals, value = part.partition("=")
        if equals and key == scheme.time_key:
            times.append(value)
        elif equals and key == scheme.version:
            texts.append(value)
    if len(times) != 1 or not texts or (len(texts) > 1 and not scheme.several):
        raise BadSignature(
            f"header {scheme.header} needs one {scheme.time_key}= and one {scheme.version}=, no more"
        )
    return _Found(_decode_all(scheme, texts), times[0])


def _readable(scheme: Scheme, text: str) -> bool:
    pattern = _HEX if scheme.encoding is Encoding.HEX else _BASE64
    return bool(pattern.fullmatch(text))


def _decode(scheme: Scheme, text: str) -> bytes:
    if not _readable(scheme, text):
        raise BadSignature(f"the signature is not a SHA-256 written in {scheme.encoding.value}")
    return bytes.fromhex(text) if scheme.encoding is Encoding.HEX else base64.b64decode(text)


def _decode_all(scheme: Scheme, texts: Sequence[str]) -> tuple[bytes, ...]:
    """Decode what can be read: one malformed signature does not spoil a genuine one beside it."""
    readable = [text for text in texts if _readable(scheme, text)]
    if not readable:
        raise BadSignature(f"header {scheme.header} has no readable {scheme.version} signature")
    return tuple(_decode(scheme, text) for text in readable)


def _key(scheme: Scheme, secret: bytes) -> bytes:
    if scheme.key_form is KeyForm.UTF8:
        return secret
    text = secret.removeprefix(b"whsec_").rstrip(b"=")
    try:
        # Some services print it without its padding.
        key = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ConfigError(
            "a signing secret is not base64 after 'whsec_'; copy it again from where it was made"
        )
    return key


def _mac(scheme: Scheme, body: bytes, key: bytes, timestamp: str, message_id: str) -> bytes:
    mac = hmac.new(key, digestmod=hashlib.sha256)
    values = {"{id}": message_id, "{timestamp}": timestamp}
    for match in _PART.finditer(scheme.template):
        part = match.group()
        mac.update(body if part == "{body}" else values.get(part, part).encode())
    return mac.digest()
