"""Exchange rates from CoinPay: what a US dollar is worth in ten currencies, so that a shop in euros can bill by it."""

from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any, ClassVar, Final

import attrs
import httpx

from bursar.errors import Declined, Unavailable
from bursar.flows import Flow
from bursar.orders import Rate
from bursar_coinpay.answers import reading_error, words
from bursar_coinpay.settings import URL, base_url
from bursar_coinpay.wire import read_members, read_number

__all__ = ["CoinPayRateSettings", "CoinPayRates"]

# Rounded down, so that a price in dollars that comes out even is not a cent more (amounts are rounded up).
_INVERSE: Final = Context(prec=60, rounding=ROUND_FLOOR)
_DOLLAR: Final = "USDC"


@attrs.frozen
class CoinPayRateSettings:
    """Settings of `[rates]` with `source = "coinpay"`; nothing is secret, and no account is needed."""

    url: str = URL
    allow_http: bool = False

    def __attrs_post_init__(self) -> None:
        base_url(self.url, allow_http=self.allow_http, where="rates.url")


class CoinPayRates:
    """Tell the rate between US dollars and another currency, as CoinPay quotes it for its dollar coins."""

    name: ClassVar[str] = "coinpay"
    Settings: ClassVar[type[Any]] = CoinPayRateSettings

    def __init__(self, settings: CoinPayRateSettings) -> None:
        self._url = base_url(settings.url, allow_http=settings.allow_http, where="rates.url")

    def rate(self, sold: str, bought: str, *, now: int) -> Flow[Rate]:
        """Return the rate between *sold* and *bought*, one of which is USD. Raise `Declined` or `Unavailable`."""
        if "USD" not in (sold, bought) or sold == bought:
            raise Declined(f"CoinPay tells rates between USD and another currency, not {sold}/{bought}")
        other = sold if bought == "USD" else bought
        response = yield httpx.Request(
            "GET",
            f"{self._url}/rates",
            params={"coin": _DOLLAR, "fiat": other},
            headers={"Accept": "application/json", "User-Agent": "Bursar"},
        )
        if response.status_code != 200:
            raise reading_error(response)
        per_dollar = _read(response, other)
        value = per_dollar if sold == "USD" else _INVERSE.divide(Decimal(1), per_dollar)
        return Rate(self.name, sold, bought, value, now)


def _read(response: httpx.Response, currency: str) -> Decimal:
    try:
        answer = read_members(response.content)
        rate = read_number(answer.get("rate"))
    except ValueError as error:
        raise Unavailable(f"CoinPay's rate cannot be read: {error}", status=200) from None
    if answer.get("success") is not True:
        raise Unavailable(f"CoinPay has no rate at the moment: {words(response)}", status=200)
    if answer.get("fiat") != currency:
        # It answers in dollars, without a word, for a currency that it does not know.
        raise Declined(f"CoinPay has no rates in {currency}", status=200)
    if rate is None or rate <= 0:
        raise Unavailable(f"CoinPay's rate for {currency} is {rate}, not above nothing", status=200)
    if rate == 1:
        # What it answers, as a success, when its own source of exchange rates is down.
        raise Unavailable(
            f"CoinPay says that a dollar is one {currency}, as it does when it does not know", status=200
        )
    return rate
