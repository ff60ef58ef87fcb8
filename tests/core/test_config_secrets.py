import logging
import string
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bursar.config import Config, read_config
from bursar.errors import BursarError
from bursar.service import Bursar
from bursar.testing.stage import Stage

secrets = st.text(string.ascii_letters + string.digits + "+/=!_-", min_size=16, max_size=60)

TEXT = """
[bursar]
account = "main"
database = "postgresql://bursar:{password}@127.0.0.1/bursar"
api_key = "env:SECRET"
[accounts.main]
provider = "btcpay"
url = "https://btcpay.example"
store_id = "STORE"
api_key = "env:SECRET"
webhook_secret = "env:SECRET"
old_webhook_secrets = ["env:SECRET", "env:SECRET"]
"""

BROKEN = [
    ("postgresql://", "postgres//:"),
    ("api_key = ", "api_key = 3 #"),
    ("env:SECRET", "{secret}"),
    ("env:SECRET", "nev:{secret}"),
    ("env:SECRET", "env:{secret}"),
    ("env:SECRET", "file:{secret}"),
    ("env:SECRET", "literal:{secret} with blanks"),
    ("https://btcpay.example", "https://user:{secret}@btcpay.example"),
    ("btcpay.example", "btcpay.example:{secret}"),
    ('store_id = "STORE"', 'store_id = "STORE'),
    ('store_id = "STORE"', ""),
    ('["env:SECRET"', '[3, "env:SECRET"'),
    ('provider = "btcpay"', 'provider = "coinpay"'),
    (
        'provider = "btcpay"\nurl = "https://btcpay.example"\nstore_id = "STORE"',
        'provider = "coinpay"\nbusiness_id = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"',
    ),
    ('account = "main"', 'account = "other"'),
    (
        "[accounts.main]",
        '[shops.shop]\nadapter = "http"\nurl = "https://x"\nsecret = "env:SECRET"\n[accounts.main]',
    ),
]
# What names a place by itself is shown, for else nobody could mend it.
NAMED = ("nev:", "env:{", "file:{")


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


def refusal(secret: str, text: str) -> str:
    try:
        config_of(secret, text)
    except BursarError as error:
        return f"{error} {error!r}"
    return ""


def config_of(secret: str, text: str = TEXT) -> Config:
    values = {"password": secret, "secret": secret}
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return read_config(text, env={"SECRET": secret})


@settings(max_examples=30)
@given(secret=secrets)
def test_no_secret_is_ever_shown_by_a_configuration(secret: str) -> None:
    config = config_of(secret)

    main = config.accounts["main"]
    for value in (config, config.server, main, main.settings, config.accounts, main.settings.api_key):
        assert secret not in repr(value)
        assert secret not in str(value)
    assert main.settings.api_key.reveal() == secret
    assert secret in config.server.database


@settings(max_examples=60)
@given(secret=secrets, broken=st.sampled_from([case for case in BROKEN if not case[1].startswith(NAMED)]))
def test_no_secret_is_ever_in_an_error_about_the_configuration(secret: str, broken: tuple[str, str]) -> None:
    told = refusal(secret, TEXT.replace(*broken))

    assert secret not in told


@pytest.mark.parametrize("broken", BROKEN)
def test_the_broken_configurations_of_the_property_are_broken_or_read_the_same(
    broken: tuple[str, str],
) -> None:
    assert broken[0] in TEXT

    assert refusal("0123456789abcdef", TEXT.replace(*broken)) or broken[0] in ("postgresql://", "env:SECRET")


class Failing(httpx.BaseTransport):
    """Fail in every way in turn, then let requests through."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner, self.turn = inner, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.turn += 1
        match self.turn % 6:
            case 0:
                raise httpx.ConnectError("refused", request=request)
            case 1:
                raise httpx.ReadTimeout("slow", request=request)
            case 2:
                return httpx.Response(500, text="oops")
            case 3:
                return httpx.Response(403, json={"missingPermission": "x"})
            case _:
                return self.inner.handle_request(request)


@pytest.mark.parametrize("provider", ["btcpay", "coinpay"])
def test_no_secret_is_in_a_log_line_an_error_or_a_repr_while_everything_fails(
    provider: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    more = {"blockchain": "USDC_POL"} if provider == "coinpay" else {}
    with capture_logs() as logs, Stage(provider, tmp_path, settings=more, around=Failing) as stage:
        own = stage.config.accounts["main"].settings
        hidden = [own.api_key.reveal(), own.webhook_secret.reveal()]
        order = stage.order()
        for call in (
            lambda: stage.start(order),
            lambda: stage.start(order),
            lambda: stage.bursar.sync(order.key),
            lambda: stage.bursar.cancel(order.key, who="me"),
            lambda: stage.bursar.refund(order.key, who="me"),
            lambda: stage.bursar.check(),
            lambda: stage.bursar.receive(
                "main", b"{}", {"BTCPay-Sig": "sha256=0", "X-CoinPay-Signature": "t=1,v1=0"}
            ),
            lambda: stage.bursar.order("none"),
        ):
            try:
                told.append(repr(call()))
            except BursarError as error:
                told.append(shown(error))
            stage.wait(300)
        look = stage.look(order)
        everything: list[Any] = [*told, look, look.kept, stage.bursar, stage.bursar.desk, stage.bursar.config]
        everything += [*logs, caplog.text, stage.bursar.history(order.key)]
        everything += stage.bursar.deliveries(order.key)
    lines = "\n".join(map(repr, everything))
    assert logs, "nothing was logged, so nothing was tried"
    for secret in (*hidden, look.kept.dossier.order.token):
        assert secret not in lines


def test_a_bursar_does_not_show_its_secrets(tmp_path: Path) -> None:
    secret = "cp_live_0123456789abcdef0123456789abcdef"
    text = f"""
[bursar]
database = "sqlite:///{(tmp_path / "b.db").as_posix()}"
[accounts.main]
provider = "coinpay"
business_id = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"
api_key = "env:SECRET"
webhook_secret = "env:SECRET"
"""
    with Bursar(read_config(text, env={"SECRET": secret})) as bursar:
        for value in (
            bursar,
            bursar.config,
            bursar.desk,
            bursar.desk.accounts["main"].provider,
            vars(bursar),
        ):
            assert secret not in f"{value!r} {value}"
