"""Names for things, drawn from a seed: ids of the server's lengths, transaction ids and regtest addresses."""

import uuid
from random import Random
from typing import Final

__all__ = ["Ids", "base58", "is_address"]

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PREFIX: Final = "bcrt"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class Ids:
    """Draw ids from *seed*: the same story gets the same ids."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"btcpay sandbox {seed}")
        self.phase = self._random.random()
        """When within each second the server's clock for `Date` is refreshed, in seconds."""

    def short(self) -> str:
        """Return an id as invoices, webhooks and deliveries have: 16 bytes, some 22 characters."""
        return base58(self._random.randbytes(16))

    def medium(self) -> str:
        """Return an id as pull payments and payouts have: 20 bytes, some 28 characters."""
        return base58(self._random.randbytes(20))

    def long(self) -> str:
        """Return an id as stores have: 32 bytes, some 44 characters."""
        return base58(self._random.randbytes(32))

    def key(self) -> str:
        """Return an API key: 40 hexadecimal digits."""
        return self._random.randbytes(20).hex()

    def transaction(self) -> str:
        """Return a transaction id."""
        return self._random.randbytes(32).hex()

    def output(self) -> int:
        """Return which output of a transaction pays the address; the other one is the change."""
        return self._random.randrange(2)

    def user(self) -> str:
        """Return a user's id."""
        return str(uuid.UUID(bytes=self._random.randbytes(16), version=4))

    def trace(self) -> str:
        """Return a `traceparent`."""
        return f"00-{self._random.randbytes(16).hex()}-{self._random.randbytes(8).hex()}-00"

    def address(self) -> str:
        """Return a fresh P2WPKH address of the regression test network."""
        data = [0, *_to_fives(self._random.randbytes(20))]
        check = _polymod([*_expanded(), *data, 0, 0, 0, 0, 0, 0]) ^ 1
        data += [(check >> 5 * (5 - i)) & 31 for i in range(6)]
        return f"{_PREFIX}1{''.join(_BECH32[value] for value in data)}"


def base58(data: bytes) -> str:
    """Write *data* in Base58, leading zero bytes as `1`."""
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def is_address(text: str) -> bool:
    """Tell whether *text* is a segwit (version 0) address of the regression test network."""
    prefix, one, rest = text.lower().partition("1")
    if prefix != _PREFIX or not one or len(rest) not in {39, 59} or any(char not in _BECH32 for char in rest):
        return False
    if text not in {text.lower(), text.upper()}:
        return False
    data = [_BECH32.index(char) for char in rest]
    return data[0] == 0 and _polymod([*_expanded(), *data]) == 1


def _expanded() -> list[int]:
    return [*(ord(char) >> 5 for char in _PREFIX), 0, *(ord(char) & 31 for char in _PREFIX)]


def _to_fives(data: bytes) -> list[int]:
    bits = "".join(f"{byte:08b}" for byte in data)
    return [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]


def _polymod(values: list[int]) -> int:
    # The checksum of BIP 173.
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if (top >> bit) & 1 else 0
    return check
