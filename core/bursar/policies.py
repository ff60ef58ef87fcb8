"""Read a policy from the words of the configuration: per account, overridden per order."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import attrs

from bursar.errors import BadInput, ConfigError
from bursar.money import Asset, Money, fiat, read_decimal
from bursar.policy import LateMoney, Policy, Surplus

__all__ = ["asset_named", "read_money", "read_policy"]


def asset_named(code: str, assets: Iterable[Asset] = ()) -> Asset:
    """Return the asset *code*: one of *assets* (those that plugins declare), else a currency of ISO 4217."""
    for asset in assets:
        if asset.code == code:
            return asset
    return fiat(code)


def read_money(text: str, assets: Iterable[Asset] = ()) -> Money:
    """Read an amount such as `20.00 EUR`; raise `BadInput` where it is none or has too many decimals."""
    number, _, code = text.strip().partition(" ")
    if not code:
        raise BadInput(f"{text[:80]!r} is not an amount and its currency such as '20.00 EUR'")
    return Money.of(read_decimal(number), asset_named(code.strip(), assets))


def read_policy(
    pairs: Sequence[tuple[str, str]], *, base: Policy | None = None, assets: Iterable[Asset] = ()
) -> Policy:
    """Return *base* with *pairs* (setting, value) put over it; raise `ConfigError` that names the setting and the cure."""
    assets = tuple(assets)
    changes: dict[str, Any] = {}
    for key, value in pairs:
        read = _READERS.get(key)
        if read is None:
            raise ConfigError(
                f"{key!r} is not a setting of a policy; there are {', '.join(sorted(_READERS))}"
            )
        try:
            changes[key] = read(value, assets)
        except (BadInput, ValueError) as error:
            raise ConfigError(f"{key} = {value!r} does not fit: {error}") from None
    try:
        return attrs.evolve(base or Policy(), **changes)
    except BadInput as error:
        raise ConfigError(str(error)) from None


def _word(kind: type[LateMoney] | type[Surplus]) -> Callable[[str, tuple[Asset, ...]], Any]:
    def read(value: str, _: tuple[Asset, ...]) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise BadInput(f"choose {', '.join(member.value for member in kind)}") from None

    return read


def _seconds(value: str, _: tuple[Asset, ...]) -> int:
    if not value.isascii() or not value.isdigit():
        raise BadInput("it is a whole number of seconds")
    return int(value)


def _truth(value: str, _: tuple[Asset, ...]) -> bool:
    if value not in ("true", "false"):
        raise BadInput("it is true or false")
    return value == "true"


_READERS: Final[dict[str, Callable[[str, tuple[Asset, ...]], Any]]] = {
    "seen_enough_below": read_money,
    "tolerance": read_money,
    "tolerance_percent": lambda value, _: read_decimal(value),
    "late": _word(LateMoney),
    "late_grace": _seconds,
    "surplus": _word(Surplus),
    "accept_marked_by_hand": _truth,
}
