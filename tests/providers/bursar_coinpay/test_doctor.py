from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from bursar.errors import Declined, Unavailable
from bursar.providers import Finding, Level, ListsMethods, Provider
from bursar.secrets import Secret
from bursar_coinpay.provider import CoinPay

Make = Callable[..., CoinPay]
Converse = Callable[..., Any]

BUSINESS = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"


def listed(*codes: str, business: str = BUSINESS, active: bool = True) -> httpx.Response:
    coins = [
        {"symbol": code, "name": code, "is_active": active, "has_wallet": True, "wallet_source": "business"}
        for code in codes
    ]
    return httpx.Response(
        200, json={"success": True, "coins": coins, "business_id": business, "total": len(coins)}
    )


def check(provider: CoinPay, converse: Converse, answer: httpx.Response) -> dict[str, Level]:
    findings: Sequence[Finding] = converse(provider.check(now=0), answer)
    assert all(finding.cure for finding in findings if finding.level is not Level.OK)
    return {f"{finding.subject}: {finding.message}": finding.level for finding in findings}


def test_it_is_a_provider_that_lists_methods(make_provider: Make) -> None:
    assert isinstance(make_provider(), Provider)
    assert isinstance(make_provider(), ListsMethods)


def test_a_good_key_with_its_wallets_is_all_well(make_provider: Make, converse: Converse) -> None:
    found = check(make_provider(), converse, listed("BTC", "USDC_POL"))

    assert found == {"API key: accepted": Level.OK, "wallets: active for BTC, USDC_POL": Level.OK}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(401, json={"success": False, "error": "Invalid API key"}), "refused with 401"),
        (httpx.Response(403, json={"success": False, "error": "no"}), "refused with 403"),
        (httpx.Response(500, json={"success": False, "error": "x"}), "could not be checked"),
        (httpx.Response(200, html="<html>"), "could not be checked"),
        (httpx.Response(200, json={"success": True, "coins": 7}), "no list of coins"),
        (listed("BTC", business="11111111-1111-1111-1111-111111111111"), "belongs to business 1111"),
    ],
)
def test_what_stops_payments_is_an_error_with_a_cure_and_never_an_exception(
    make_provider: Make, converse: Converse, answer: httpx.Response, words: str
) -> None:
    found = check(make_provider(), converse, answer)

    assert any(words in message and level is Level.ERROR for message, level in found.items())


def test_a_business_without_a_wallet_is_an_error(make_provider: Make, converse: Converse) -> None:
    found = check(make_provider(blockchain=""), converse, listed("BTC", active=False))

    assert found["wallets: no coin has an active wallet"] is Level.ERROR


def test_an_offered_coin_without_a_listed_wallet_is_a_warning(
    make_provider: Make, converse: Converse
) -> None:
    found = check(make_provider(blockchains=("SOL", "USDC_POL")), converse, listed("USDC_POL"))

    assert found["wallets: none is listed for SOL"] is Level.WARNING


def test_a_test_key_is_warned_of_because_money_is_real(make_provider: Make, converse: Converse) -> None:
    provider = make_provider(api_key=Secret("cp_test_" + "0" * 32))

    assert check(provider, converse, listed("USDC_POL"))["API key: CoinPay has no test mode: money is real"]


def test_the_coins_with_a_wallet_are_the_methods_the_default_one_first(
    make_provider: Make, converse: Converse
) -> None:
    answer = listed("BTC", "LTC", "SOL", "USDC_POL")

    assert converse(make_provider().list_methods(now=0), answer) == ["USDC_POL", "BTC", "SOL"]


def test_the_offered_coins_are_the_methods_without_asking(make_provider: Make, converse: Converse) -> None:
    provider = make_provider(blockchain="SOL", blockchains=("BTC", "SOL"))

    assert converse(provider.list_methods(now=0)) == ["SOL", "BTC"]


def test_methods_that_cannot_be_read_are_an_error_to_retry(make_provider: Make, converse: Converse) -> None:
    with pytest.raises(Unavailable):
        converse(make_provider().list_methods(now=0), httpx.Response(200, html="<html>"))
    with pytest.raises(Declined):
        converse(make_provider().list_methods(now=0), httpx.Response(401, json={"error": "Invalid API key"}))
