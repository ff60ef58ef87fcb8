from collections.abc import Callable
from typing import Any

import pytest

from bursar.errors import ConfigError
from bursar.secrets import Secret
from bursar_coinpay.provider import CoinPay
from bursar_coinpay.settings import CoinPaySettings

Make = Callable[..., CoinPaySettings]


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("api_key", Secret("sk_live_0123456789abcdef0123456789abcdef"), "not a CoinPay API key"),
        ("api_key", Secret("cp_live_0123456789abcdef0123456789abcde"), "40 characters"),
        ("api_key", Secret("cp_live_0123456789abcdef0123456789abcdeg"), "not a CoinPay API key"),
        ("business_id", "biz_123", "'biz_123' is not a business id"),
        ("webhook_secret", Secret(""), "webhook_secret: empty"),
        ("webhook_secret", Secret("whsecret_1\n"), "webhook_secret: has blanks"),
        ("old_webhook_secrets", (Secret("whsecret_1"), Secret("")), "old_webhook_secrets: empty"),
        ("blockchain", "LTC", "blockchain: CoinPay has no blockchain 'LTC'"),
        ("blockchains", ("BTC", "MATIC"), "blockchains: CoinPay has no blockchain 'MATIC'"),
        ("blockchains", ("BTC",), "USDC_POL is not among blockchains"),
        ("url", "coinpayportal.com/api", "not a web address"),
        ("url", "https://user:pw@coinpayportal.com/api", "take them out"),
        ("url", "http://coinpayportal.com/api", "unencrypted"),
        ("url", "http://127.0.0.1:8000/api", "set allow_http = true"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong_and_the_cure(
    make_settings: Make, setting: str, value: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_settings(**{setting: value})

    assert complaint in str(caught.value)
    assert setting.removeprefix("old_") in str(caught.value) or setting == "api_key"


def test_no_complaint_and_no_repr_shows_a_secret(make_settings: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        make_settings(api_key=Secret("cp_live_hunter2"))

    assert "hunter2" not in str(caught.value)
    assert "0123456789abcdef" not in repr(make_settings())
    assert "5a5a" not in repr(make_settings())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "coinpay", "10.0.0.7", "a.localhost", "shop.test"]
)
def test_plain_http_is_for_machines_of_ones_own_and_must_be_allowed(make_settings: Make, host: str) -> None:
    assert make_settings(url=f"http://{host}:8000/api", allow_http=True)


def test_plain_http_is_never_allowed_to_a_public_host(make_settings: Make) -> None:
    with pytest.raises(ConfigError, match="unencrypted"):
        make_settings(url="http://coinpayportal.com/api", allow_http=True)


def test_codes_are_read_in_either_case(make_settings: Make) -> None:
    settings = make_settings(blockchain="btc", blockchains=("btc", "usdc_sol"))

    assert (settings.blockchain, settings.blockchains) == ("BTC", ("BTC", "USDC_SOL"))


def test_the_current_secret_is_tried_before_the_old_ones(make_settings: Make) -> None:
    provider = CoinPay(make_settings(webhook_secret=Secret("new"), old_webhook_secrets=(Secret("old"),)))

    assert list(provider.secrets()) == [b"new", b"old"]
