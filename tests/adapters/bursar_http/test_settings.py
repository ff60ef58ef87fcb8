from typing import Any

import pytest

from bursar.errors import ConfigError
from bursar.secrets import Secret
from bursar_http.settings import Settings

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "ftp://shop.example",
        "https://",
        "https://shop.example:port/",
        "https://shop.example/a b",
        "https://user:pass@shop.example/",
        "https://shop.example/#part",
        "https://[::1/",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="url"):
        Settings(url=url, secret=SECRET)


@pytest.mark.parametrize(
    ("url", "allow_http", "good"),
    [
        ("https://shop.example/bursar", False, True),
        ("http://shop.example/bursar", False, False),
        ("http://shop.example/bursar", True, False),
        ("http://8.8.8.8/bursar", True, False),
        ("http://127.0.0.1:8080/bursar", False, False),
        ("http://127.0.0.1:8080/bursar", True, True),
        ("http://[::1]:8080/bursar", True, True),
        ("http://10.0.0.7/bursar", True, True),
        ("http://shop:8000/bursar", True, True),
        ("http://shop.lan/bursar", True, True),
    ],
)
def test_plain_http_is_for_a_private_network_and_only_where_allowed(
    url: str, allow_http: bool, good: bool
) -> None:
    if good:
        assert Settings(url=url, secret=SECRET, allow_http=allow_http).url == url
    else:
        with pytest.raises(ConfigError, match=r"use https.*allow_http = true"):
            Settings(url=url, secret=SECRET, allow_http=allow_http)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_?", "whsec_c2hvcnQ=", "whsec_" + "QUJD" * 22])
def test_a_secret_that_could_be_guessed_or_is_none_is_refused_without_being_shown(secret: str) -> None:
    for settings in ({"secret": Secret(secret)}, {"secret": SECRET, "old_secrets": (Secret(secret),)}):
        with pytest.raises(ConfigError) as raised:
            Settings(url="https://shop.example", **settings)

        assert "openssl rand" in str(raised.value)
        assert len(secret) < 8 or secret not in str(raised.value)


@pytest.mark.parametrize("timeout", [0, -1, 121])
def test_a_time_limit_is_between_one_second_and_two_minutes(timeout: int) -> None:
    with pytest.raises(ConfigError, match="timeout"):
        Settings(url="https://shop.example", secret=SECRET, timeout=timeout)


def test_settings_do_not_show_their_secrets() -> None:
    values: dict[str, Any] = {"secret": SECRET, "old_secrets": (SECRET,)}

    assert "MfKQ" not in repr(Settings(url="https://shop.example", **values))
