from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import ConfigError, Declined, ProviderError, Unavailable
from bursar.money import Money, fiat
from bursar.orders import Rate
from bursar.rates import RateSource, convert
from bursar_coinpay.rates import CoinPayRates, CoinPayRateSettings

Converse = Callable[..., Any]
NOW = 1_785_240_000
SOURCE = CoinPayRates(CoinPayRateSettings())


def told(rate: str, fiat: str = "EUR", *, success: str = "true") -> httpx.Response:
    body = f'{{"success":{success},"coin":"USDC","rate":{rate},"fiat":"{fiat}","cached":true}}'
    return httpx.Response(200, content=body.encode())


def test_it_is_a_rate_source() -> None:
    assert isinstance(SOURCE, RateSource)


def test_a_dollars_price_in_euros_is_what_the_service_says(converse: Converse) -> None:
    seen: list[httpx.Request] = []

    rate: Rate = converse(SOURCE.rate("USD", "EUR", now=NOW), told("0.92"), seen=seen)

    assert rate == Rate("coinpay", "USD", "EUR", Decimal("0.92"), NOW)
    assert str(seen[0].url) == "https://coinpayportal.com/api/rates?coin=USDC&fiat=EUR"
    assert "authorization" not in seen[0].headers


def test_euros_are_worth_the_inverse_in_dollars(converse: Converse) -> None:
    rate: Rate = converse(SOURCE.rate("EUR", "USD", now=NOW), told("0.92"))

    assert str(rate.value).startswith("1.0869565217391304347826086956521739130434782608695652173913")
    assert convert(Money.of("9.20", fiat("EUR")), rate, fiat("USD")) == Money.of("10.00", fiat("USD"))


@settings(deadline=None)
@given(cents=st.integers(1, 10**9), per_dollar=st.decimals("0.01", "2", places=4))
def test_a_price_that_comes_out_even_in_dollars_is_never_a_cent_more(cents: int, per_dollar: Decimal) -> None:
    """Any euro price that is a whole number of dollar cents at the quoted rate converts to exactly that."""
    euro_cents = cents * per_dollar
    if per_dollar == 1 or euro_cents != euro_cents.to_integral_value():
        return
    flow = SOURCE.rate("EUR", "USD", now=NOW)
    next(flow)
    with pytest.raises(StopIteration) as done:
        flow.send(told(str(per_dollar)))
    rate: Rate = done.value.value

    assert convert(Money(int(euro_cents), fiat("EUR")), rate, fiat("USD")) == Money(cents, fiat("USD"))


@pytest.mark.parametrize(
    ("answer", "meaning", "words"),
    [
        (told("null", success="false"), Unavailable, "no rate at the moment"),
        (told("0.92", "USD"), Declined, "no rates in EUR"),
        (told("1"), Unavailable, "as it does when it does not know"),
        (told("1.0"), Unavailable, "as it does when it does not know"),
        (told("0"), Unavailable, "not above nothing"),
        (told("-1"), Unavailable, "not above nothing"),
        (told("null"), Unavailable, "not above nothing"),
        (told('"much"'), Unavailable, "cannot be read"),
        (httpx.Response(200, html="<html>"), Unavailable, "cannot be read"),
        (httpx.Response(500, json={"success": False, "error": "x"}), Unavailable, "500"),
        (
            httpx.Response(429, json={"success": False, "error": "Rate limit exceeded."}),
            Unavailable,
            "slow down",
        ),
    ],
)
def test_a_rate_that_is_none_is_never_used(
    converse: Converse, answer: httpx.Response, meaning: type[ProviderError], words: str
) -> None:
    with pytest.raises(meaning, match=words):
        converse(SOURCE.rate("EUR", "USD", now=NOW), answer)


@pytest.mark.parametrize("pair", [("EUR", "GBP"), ("USD", "USD")])
def test_only_rates_with_the_dollar_are_told(pair: tuple[str, str]) -> None:
    with pytest.raises(Declined, match="between USD and another currency"):
        next(SOURCE.rate(*pair, now=NOW))


def test_a_wrong_url_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError, match=r"rates\.url"):
        CoinPayRateSettings(url="ftp://x")
