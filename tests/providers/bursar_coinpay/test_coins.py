from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import BadInput
from bursar.money import Money
from bursar_coinpay.coins import ASSETS, COINS, find_coin

CODES = [
    "BTC",
    "BCH",
    "ETH",
    "POL",
    "SOL",
    "DOGE",
    "XRP",
    "ADA",
    "BNB",
    "USDT",
    "USDT_ETH",
    "USDT_POL",
    "USDT_SOL",
    "USDC",
    "USDC_ETH",
    "USDC_POL",
    "USDC_SOL",
    "USDC_BASE",
]


def test_every_code_of_the_service_is_known_and_moves_a_listed_asset() -> None:
    assert sorted(COINS) == sorted(CODES)
    assert {coin.asset for coin in COINS.values()} == set(ASSETS)
    assert all(coin.asset.code == code.split("_")[0] for code, coin in COINS.items())


@pytest.mark.parametrize(
    ("code", "address", "amount", "link"),
    [
        ("BTC", "bc1qxyz", "0.00081234", "bitcoin:bc1qxyz?amount=0.00081234"),
        ("BCH", "bitcoincash:qxyz", "1.5", "bitcoincash:qxyz?amount=1.5"),
        ("DOGE", "Dxyz", "400", "dogecoin:Dxyz?amount=400"),
        ("XRP", "rxyz", "90.909091", "ripple:rxyz?amount=90.909091"),
        ("ADA", "addr1xyz", "12", "web+cardano:addr1xyz?amount=12"),
        ("SOL", "So1xyz", "0.333333333", "solana:So1xyz?amount=0.333333333"),
        (
            "USDC_SOL",
            "So1xyz",
            "50.000001",
            "solana:So1xyz?amount=50.000001&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
        ),
        ("ETH", "0xab", "0.017663333333333333", "ethereum:0xab@1?value=17663333333333333"),
        ("POL", "0xab", "125", "ethereum:0xab@137?value=125000000000000000000"),
        ("BNB", "0xab", "0.1", "ethereum:0xab@56?value=100000000000000000"),
        (
            "USDC_POL",
            "0xab",
            "49.995001",
            "ethereum:0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359@137/transfer?address=0xab&uint256=49995001",
        ),
        (
            "USDC_BASE",
            "0xab",
            "1",
            "ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@8453/transfer?address=0xab&uint256=1000000",
        ),
        (
            "USDT",
            "0xab",
            "1",
            "ethereum:0xdAC17F958D2ee523a2206206994597C13D831ec7@1/transfer?address=0xab&uint256=1000000",
        ),
    ],
)
def test_a_link_asks_a_wallet_for_exactly_the_amount(code: str, address: str, amount: str, link: str) -> None:
    coin = find_coin(code)

    assert coin.link(address, Money.of(amount, coin.asset)) == link


@settings(deadline=None)
@given(code=st.sampled_from(CODES), minor=st.integers(1, 10**24))
def test_a_link_never_rounds(code: str, minor: int) -> None:
    coin = find_coin(code)
    amount = Money(minor, coin.asset)

    query = parse_qs(urlsplit(coin.link("addr", amount)).query)

    exact = query.get("value") or query.get("uint256")
    if exact:
        assert int(exact[0]) == minor
    else:
        assert Money.of(Decimal(query["amount"][0]), coin.asset) == amount


@pytest.mark.parametrize("code", CODES)
def test_an_address_cannot_smuggle_anything_into_a_link(code: str) -> None:
    coin = find_coin(code)

    link = coin.link("addr?amount=0.01&x=y#z", Money(1, coin.asset))

    assert link.count("?") == 1
    assert "#" not in link


def test_bare_dollar_coins_are_the_tokens_on_ethereum() -> None:
    one = Money(1_000_000, find_coin("USDC").asset)

    assert find_coin("USDC").link("0xab", one) == find_coin("USDC_ETH").link("0xab", one)
    assert find_coin("USDT").link("0xab", one) == find_coin("USDT_ETH").link("0xab", one)


def test_an_unknown_code_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"'LTC'.*BTC"):
        find_coin("LTC")
