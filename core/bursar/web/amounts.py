"""Show amounts to people: a currency as their language writes it, a crypto asset exactly, never rounded."""

from typing import Final

from babel import Locale, UnknownLocaleError, negotiate_locale
from babel.numbers import format_currency

from bursar.errors import BadInput
from bursar.money import Money, fiat

__all__ = ["choose_locale", "show", "trimmed"]

_LOCALES: Final = (
    "en",
    "en_GB",
    "de",
    "fr",
    "es",
    "it",
    "nl",
    "pt",
    "pt_BR",
    "pl",
    "ja",
    "ru",
    "cs",
    "sv",
    "da",
    "tr",
)


def choose_locale(accept_language: str) -> str:
    """Return the locale to write numbers in, by the browser's `Accept-Language`."""
    wanted = [part.split(";")[0].strip().replace("-", "_") for part in accept_language[:200].split(",")]
    return negotiate_locale([w for w in wanted if w], _LOCALES) or "en"


def show(money: Money, locale: str = "en") -> str:
    """Write *money* for a person."""
    try:
        fiat(money.asset.code)
        return format_currency(
            money.major, money.asset.code, locale=Locale.parse(locale), decimal_quantization=False
        )
    except (BadInput, UnknownLocaleError, ValueError):
        return f"{trimmed(money)} {money.asset.code}"


def trimmed(money: Money) -> str:
    """Write the number alone, without zeros at its end: what a buyer copies into a wallet."""
    text = money.plain
    return text.rstrip("0").rstrip(".") if "." in text else text
