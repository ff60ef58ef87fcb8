from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from bursar.errors import ConfigError
from bursar.secrets import Secret
from bursar_btcpay.connect import SUBSCRIBED
from bursar_btcpay.settings import Settings, is_private, read_method

GOOD: dict[str, Any] = {
    "url": "https://btcpay.example/pay/",
    "api_key": Secret("0123456789abcdef"),
    "store_id": "StoreOne",
}


def test_the_path_under_which_a_server_lives_is_kept() -> None:
    assert Settings(**GOOD).url == "https://btcpay.example/pay"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:23000",
        "http://127.0.0.1",
        "http://[::1]:80",
        "http://10.1.2.3",
        "http://btcpayserver",
        "http://x.onion",
        "http://pay.local",
    ],
)
def test_plain_http_is_accepted_where_no_certificate_is_to_be_had(url: str) -> None:
    assert Settings(url=url).url == url


def test_plain_http_to_a_public_host_needs_a_deliberate_word() -> None:
    with pytest.raises(ConfigError, match="allow_http"):
        Settings(url="http://btcpay.example")

    assert Settings(url="http://btcpay.example", allow_http=True).allow_http


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"url": ""}, "url"),
        ({"url": "btcpay.example"}, "url"),
        ({"url": "ftp://btcpay.example"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://btcpay.example:port"}, "url"),
        ({"url": "https://btc pay.example"}, "url"),
        ({"url": "https://btcpay.example/?a=b"}, "query"),
        ({"url": "https://btcpay.example/#a"}, "fragment"),
        ({"url": "https://me:secret@btcpay.example"}, "password"),
        ({"public_url": "javascript:alert(1)"}, "public_url"),
        ({"webhook_url": "/relative"}, "webhook_url"),
        ({"api_key": Secret("with space")}, "api_key"),
        ({"api_key": Secret("line\nend")}, "api_key"),
        ({"api_key": Secret("")}, "api_key is missing"),
        ({"store_id": ""}, "store_id is missing"),
        ({"store_id": "../other"}, "store_id"),
        ({"old_webhook_secrets": (Secret(""),)}, "old_webhook_secrets"),
        ({"speed_policy": "Fast"}, "HighSpeed"),
        ({"show": "popup"}, "redirect, modal"),
        ({"refund_variant": "All"}, "RateThen"),
        ({"payment_methods": ("BTC CHAIN",)}, "BTC-CHAIN"),
        ({"refund_methods": ("?",)}, "refund_methods"),
        ({"window": 0}, "window"),
        ({"monitoring": -1}, "monitoring"),
        ({"tolerance": Decimal(100)}, "tolerance"),
        ({"tolerance": Decimal("NaN")}, "tolerance"),
        ({"language": "english!"}, "language"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as wrong:
        Settings(**{**GOOD, **changed})

    assert "0123456789abcdef" not in str(wrong.value)
    assert "secret@" not in str(wrong.value)


def test_an_account_that_is_not_connected_yet_needs_no_more_than_its_url() -> None:
    assert not Settings(url="https://btcpay.example").connected


def test_no_secret_shows_in_the_repr() -> None:
    settings = Settings(**GOOD, webhook_secret=Secret("hush"), old_webhook_secrets=(Secret("older"),))

    assert not any(secret in repr(settings) for secret in ("0123456789abcdef", "hush", "older"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BTC", "BTC-CHAIN"),
        ("BTC-OnChain", "BTC-CHAIN"),
        ("BTC_BitcoinLike", "BTC-CHAIN"),
        ("BTC-LightningNetwork", "BTC-LN"),
        ("BTC_LightningLike", "BTC-LN"),
        ("BTC_OffChain", "BTC-LN"),
        ("BTC-LNURLPAY", "BTC-LNURL"),
        ("btc-chain", "BTC-CHAIN"),
        ("XMR-CHAIN", "XMR-CHAIN"),
    ],
)
def test_a_method_of_any_version_is_read_as_the_newest_writes_it(old: str, new: str) -> None:
    assert read_method(old) == new
    assert Settings(**GOOD, payment_methods=(old, new)).payment_methods == (new,)


def test_a_public_host_is_not_private() -> None:
    assert not is_private("btcpay.example")
    assert not is_private("8.8.8.8")


def test_the_page_for_merchants_names_every_setting_and_every_event() -> None:
    page = (Path(__file__).parents[3] / "docs" / "providers" / "btcpay.md").read_text(encoding="utf-8")
    names = [field.name for field in attrs.fields(Settings)] + list(SUBSCRIBED)

    assert [name for name in names if f"`{name}`" not in page] == []
