from collections.abc import Callable
from decimal import Decimal
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from bursar import plugins
from bursar.config import Config, load_config, read_config
from bursar.errors import ConfigError, PluginBroken
from bursar.secrets import Secret

BTCPAY = """
[bursar]
account = "main"
[accounts.main]
provider = "btcpay"
url = "https://btcpay.example"
store_id = "STORE"
api_key = "env:KEY"
webhook_secret = "env:HOOK"
"""
ENV = {"KEY": "0123456789", "HOOK": "hook-secret"}


def read(text: str, **env: str) -> Config:
    return read_config(text, env={**ENV, **env})


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "shop.secret").write_text(f"whsec_{'QUJD' * 10}\n", encoding="utf-8")
    text = """
[bursar]
account = "main"
port = 9000
give_away = ["description"]
api_key = "env:API"
[accounts.main]
provider = "btcpay"
url = "https://btcpay.example"
store_id = "STORE"
api_key = "env:KEY"
webhook_secret = "env:HOOK"
old_webhook_secrets = ["env:HOOK", "literal:older"]
payment_methods = ["BTC-CHAIN"]
tolerance = "1.5"
window = 20
[accounts.main.policy]
late = "accept"
late_grace = 60
tolerance = "0.50 EUR"
accept_marked_by_hand = false
[accounts.dollars]
provider = "coinpay"
business_id = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"
api_key = "literal:cp_live_0123456789abcdef0123456789abcdef"
webhook_secret = "env:HOOK"
blockchain = "usdc_pol"
[shops.shop]
adapter = "http"
url = "https://shop.example"
secret = "file:shop.secret"
[shops.counter]
[rates]
source = "fixed"
table = {"EUR/USD" = "1.08"}
"""
    file = tmp_path / "bursar.toml"
    file.write_text(text, encoding="utf-8")

    config = load_config(file, env={**ENV, "API": "merchant"})

    main = config.accounts["main"]
    assert (config.server.port, config.server.api_key.reveal()) == (9000, "merchant")
    assert config.server.give_away == ("description",)
    assert (main.settings.window, main.settings.tolerance) == (20, Decimal("1.5"))
    assert [secret.reveal() for secret in main.settings.old_webhook_secrets] == ["hook-secret", "older"]
    assert dict(main.policy) == {
        "late": "accept",
        "late_grace": "60",
        "tolerance": "0.50 EUR",
        "accept_marked_by_hand": "false",
    }
    assert config.accounts["dollars"].settings.blockchain == "USDC_POL"
    assert config.shops["shop"].settings.secret == Secret("whsec_" + "QUJD" * 10)
    assert config.shops["counter"].adapter == ""
    assert config.rates is not None
    assert config.rates.settings.table == {"EUR/USD": "1.08"}


WRONG: dict[str, tuple[str, list[str]]] = {
    "no toml": ("[bursar]\nport = \n", ["bursar.toml:2: not valid TOML"]),
    "unknown section": ("[bursar]\n[shop.main]\n", ["no section", "accounts, bursar, rates, shops"]),
    "section that is no table": ("bursar = 3\n", ["bursar.toml:1: bursar must be a table: [bursar]"]),
    "rates that are no table": ("rates = 3\n", ["bursar.toml:1: rates must be a table: [rates]"]),
    "accounts that are no tables": ("accounts = 1\n", ["bursar.toml:1: accounts must be tables"]),
    "account that is no table": ("[accounts]\nmain = 1\n", ["bursar.toml:2: accounts.main must be a table"]),
    "account with a bad name": ("[accounts.Main]\n", ["bursar.toml:1: accounts.Main is no name"]),
    "names that read alike in the environment": (
        '[accounts.a-b]\nprovider = "x"\n[accounts.a_b]\n',
        ["bursar.toml:3: accounts.a_b and a-b would have the same environment variables"],
    ),
    "unknown setting": ("[bursar]\n\nprot = 1\n", ["bursar.toml:3: bursar.prot is not a setting", "port"]),
    "no provider": (
        "[accounts.main]\nurl = 'x'\n",
        ["bursar.toml:1: accounts.main.provider is missing; installed: btcpay, coinpay"],
    ),
    "provider that is no text": (
        "[accounts.main]\nprovider = 3\n",
        ["bursar.toml:2: accounts.main.provider must be"],
    ),
    "unknown provider": (
        "[accounts.main]\nprovider = 'btcpayy'\n",
        ["bursar.toml:2: accounts.main.provider", "no plugin 'btcpayy'", "installed: btcpay, coinpay"],
    ),
    "unknown adapter": (
        "[shops.shop]\nadapter = 'woo'\n",
        ["bursar.toml:2: shops.shop.adapter", "no plugin 'woo'", "installed: http"],
    ),
    "adapter that is no text": (
        "[shops.shop]\nadapter = 1\n",
        ["bursar.toml:2: shops.shop.adapter must be text"],
    ),
    "shop with settings and no adapter": (
        "[shops.shop]\nadaptor = 'http'\n",
        ["bursar.toml:2: shops.shop.adaptor is set, but no adapter is"],
    ),
    "unknown rate source": (
        "[rates]\nsource = 'ecb'\n",
        ["bursar.toml:2: rates.source", "no plugin 'ecb'"],
    ),
    "provider without rates": (
        "[rates]\nsource = 'btcpay'\n",
        ["bursar.toml:2: rates.source", "brings no rate source"],
    ),
    "no rate source": ("[rates]\n", ["bursar.toml:1: rates.source is missing; use fixed"]),
    "rate of nothing": (
        "[rates]\nsource = 'fixed'\ntable = 'EUR/USD'\n",
        ["bursar.toml:3: rates.table does not fit: it must be a table"],
    ),
    "rate as a float": (
        "[rates]\nsource = 'fixed'\n[rates.table]\n'EUR/USD' = 1.08\n",
        ["bursar.toml:3: rates.table does not fit: it must be text in quotes"],
    ),
    "missing setting": (
        BTCPAY.replace('url = "https://btcpay.example"\n', ""),
        ["bursar.toml:4: accounts.main.url is missing; set it there or as BURSAR_ACCOUNTS_MAIN_URL"],
    ),
    "secret in clear": (
        BTCPAY.replace("env:KEY", "0123456789"),
        ["bursar.toml:8: accounts.main.api_key is a secret: write env:NAME or file:PATH"],
    ),
    "secret that is no text": (
        BTCPAY.replace('"env:KEY"', "123"),
        ["bursar.toml:8: accounts.main.api_key is a secret"],
    ),
    "secret that is not set": (
        BTCPAY.replace("env:KEY", "env:NOKEY"),
        ["bursar.toml:8: accounts.main.api_key refers to the environment variable NOKEY, which is not set"],
    ),
    "secret that is empty": (
        BTCPAY.replace("env:KEY", "env:EMPTY"),
        ["bursar.toml:8: accounts.main.api_key refers to the environment variable EMPTY, which is empty"],
    ),
    "secret in a file that is not there": (
        BTCPAY.replace("env:KEY", "file:/no/such/file"),
        ["bursar.toml:8: accounts.main.api_key refers to the file /no/such/file", "No such file"],
    ),
    "secret in a file with an impossible name": (
        BTCPAY.replace("env:KEY", "file:a\\u0000b"),
        ["bursar.toml:8: accounts.main.api_key refers to the file"],
    ),
    "list of secrets with one in clear": (
        BTCPAY + 'old_webhook_secrets = ["env:HOOK", "clear"]\n',
        ["bursar.toml:10: accounts.main.old_webhook_secrets is a secret"],
    ),
    "text for a number": (
        '[bursar]\nport = "http"\n',
        ["bursar.toml:2: bursar.port does not fit: it must be a whole number"],
    ),
    "number for a text": (
        "[bursar]\nhost = 3\n",
        ["bursar.toml:2: bursar.host does not fit: it must be text"],
    ),
    "truth for a number": ("[bursar]\nport = true\n", ["bursar.toml:2: bursar.port does not fit"]),
    "number for a truth": (
        BTCPAY + "allow_http = 1\n",
        ["bursar.toml:10: accounts.main.allow_http does not fit"],
    ),
    "number for a list": (
        "[bursar]\ngive_away = 3\n",
        ["bursar.toml:2: bursar.give_away does not fit: it must be a list"],
    ),
    "wrong thing in a list": (
        "[bursar]\ngive_away = [3]\n",
        ["bursar.toml:2: bursar.give_away does not fit: it must be text"],
    ),
    "float": (
        BTCPAY + "tolerance = 1.5\n",
        ["bursar.toml:10: accounts.main.tolerance is a decimal number; put it in quotes"],
    ),
    "decimal that is none": (
        BTCPAY + 'tolerance = "1e3"\n',
        ["bursar.toml:10: accounts.main.tolerance does not fit", "not a plain decimal number"],
    ),
    "value out of range": (
        "[bursar]\n\nport = 70000\n",
        ["bursar.toml:3: bursar.port is wrong: port is 0 to 65535"],
    ),
    "body that is too small": ("[bursar]\nmax_body = 1\n", ["bursar.toml:2: bursar.max_body is wrong"]),
    "public url that is none": (
        "[bursar]\npublic_url = 'pay.example.com'\n",
        ["bursar.toml:2: bursar.public_url is wrong", "such as https://pay.example.com"],
    ),
    "detail that no order has": (
        "[bursar]\ngive_away = ['email']\n",
        ["bursar.toml:2: bursar.give_away is wrong", "description, order_key, shop"],
    ),
    "what the plugin refuses": (
        BTCPAY.replace("https://btcpay.example", "http://btcpay.example"),
        ["bursar.toml:6: accounts.main.url is wrong", "use https"],
    ),
    "account that is not there": (
        BTCPAY.replace('account = "main"', 'account = "mian"'),
        ["bursar.toml:3: bursar.account names 'mian', which is not under [accounts]; there are: main"],
    ),
    "policy that is no table": (
        BTCPAY + "policy = 3\n",
        ["bursar.toml:10: accounts.main.policy must be a table"],
    ),
    "unknown policy": (
        BTCPAY + "[accounts.main.policy]\nlat = 'accept'\n",
        ["bursar.toml:11: accounts.main.policy.lat", "not a setting of a policy", "late_grace"],
    ),
    "policy with a wrong word": (
        BTCPAY + "[accounts.main.policy]\nlate = 'take'\n",
        ["bursar.toml:11: accounts.main.policy.late", "choose review, accept, refund"],
    ),
    "policy with a float": (
        BTCPAY + "[accounts.main.policy]\ntolerance_percent = 0.5\n",
        ["bursar.toml:11: accounts.main.policy.tolerance_percent is a decimal number; put it in quotes"],
    ),
    "policy out of range": (
        BTCPAY + "[accounts.main.policy]\ntolerance_percent = 101\n",
        ["bursar.toml:11: accounts.main.policy.tolerance_percent", "from 0 to 100"],
    ),
    "policy in an unknown currency": (
        BTCPAY + "[accounts.main.policy]\ntolerance = '1 XYZ'\n",
        ["bursar.toml:11: accounts.main.policy.tolerance", "'XYZ' is not a currency"],
    ),
    "policy in one line": (
        BTCPAY + "policy = {late = 'take'}\n",
        ["bursar.toml:10: accounts.main.policy.late", "choose review"],
    ),
    "policy by dotted keys": (
        BTCPAY + "policy.surplus = 'credit'\npolicy.late = 'take'\n",
        ["bursar.toml:11: accounts.main.policy.late", "choose review"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_names_file_line_key_and_cure(case: str) -> None:
    text, parts = WRONG[case]

    with pytest.raises(ConfigError) as raised:
        read(text, EMPTY="")

    for part in parts:
        assert part in str(raised.value)


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml does not exist; make one"):
        load_config(tmp_path / "missing.toml", env={})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[bursar]\nhost = '\xff'"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bursar.toml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"bursar\.toml cannot be read"):
        load_config(file, env={})


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "bursar.toml"
    file.write_bytes(b"\xef\xbb\xbf[bursar]\nport = 81\n")

    assert load_config(file, env={}).server.port == 81


def test_the_environment_wins_over_the_file() -> None:
    config = read(
        BTCPAY,
        BURSAR_PORT="9001",
        BURSAR_DATABASE="postgresql://db/pay",
        BURSAR_GIVE_AWAY="description, shop",
        BURSAR_ACCOUNTS_MAIN_URL="https://other.example",
        BURSAR_ACCOUNTS_MAIN_WINDOW="30",
        BURSAR_ACCOUNTS_MAIN_LAZY_METHODS="true",
        BURSAR_ACCOUNTS_MAIN_TOLERANCE="2.5",
        BURSAR_ACCOUNTS_MAIN_API_KEY="env:KEY",
        BURSAR_ACCOUNTS_MAIN_OLD_WEBHOOK_SECRETS="env:HOOK,literal:older",
    )

    main = config.accounts["main"].settings
    assert (config.server.port, config.server.database) == (9001, "postgresql://db/pay")
    assert config.server.give_away == ("description", "shop")
    assert (main.url, main.window, main.lazy_methods) == ("https://other.example", 30, True)
    assert main.tolerance == Decimal("2.5")
    assert [secret.reveal() for secret in main.old_webhook_secrets] == ["hook-secret", "older"]


def test_the_environment_can_change_the_provider_itself() -> None:
    text = '[accounts.main]\nprovider = "btcpay"\n'
    coinpay = {
        "BURSAR_ACCOUNTS_MAIN_PROVIDER": "coinpay",
        "BURSAR_ACCOUNTS_MAIN_BUSINESS_ID": "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11",
        "BURSAR_ACCOUNTS_MAIN_API_KEY": "literal:cp_live_0123456789abcdef0123456789abcdef",
        "BURSAR_ACCOUNTS_MAIN_WEBHOOK_SECRET": "env:HOOK",
    }

    assert read(text, **coinpay).accounts["main"].provider == "coinpay"


def test_what_the_environment_overrides_in_the_file_need_not_be_right() -> None:
    text = BTCPAY.replace("env:KEY", "env:NOT_SET_HERE")

    assert read(text, BURSAR_ACCOUNTS_MAIN_API_KEY="env:KEY").accounts["main"].settings.api_key.reveal()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BURSAR_PORT", "http"),
        ("BURSAR_PORT", "70000"),
        ("BURSAR_ACCOUNTS_MAIN_URL", "http://btcpay.example"),
    ],
)
def test_an_error_in_the_environment_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"from {variable}"):
        read(BTCPAY, **{variable: value})


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("sqlite:///bursar.db", "sqlite:///{base}/bursar.db"),
        ("sqlite:///data/../bursar.db", "sqlite:///{base}/bursar.db"),
        ("sqlite+pysqlite:///bursar.db", "sqlite+pysqlite:///{base}/bursar.db"),
        ("sqlite:////var/lib/bursar.db", "sqlite:////var/lib/bursar.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://user@host/name", "postgresql://user@host/name"),
        ("postgresql:///name", "postgresql:///name"),
    ],
)
def test_a_relative_database_file_stands_beside_the_configuration(
    tmp_path: Path, database: str, expected: str
) -> None:
    file = tmp_path / "bursar.toml"
    file.write_text(f"[bursar]\ndatabase = '{database}'\n", encoding="utf-8")

    assert load_config(file, env={}).server.database == expected.format(base=tmp_path.resolve())


def test_the_only_account_is_the_default_and_of_two_one_must_be_named() -> None:
    one = read(BTCPAY.replace('account = "main"\n', ""))
    two = read(BTCPAY.replace('account = "main"\n', "") + BTCPAY.replace("accounts.main", "accounts.b")[27:])

    assert one.default_account() == "main"
    with pytest.raises(ConfigError, match=r"account = … under \[bursar\] \(b, main\)"):
        two.default_account()
    with pytest.raises(ConfigError, match="none is configured"):
        read("").default_account()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**points: str | tuple[str, ...]) -> None:
        found = EntryPoints(
            EntryPoint(name, value, plugins.PROVIDERS)
            for name, values in points.items()
            for value in ((values,) if isinstance(values, str) else values)
        )
        monkeypatch.setattr(plugins, "entry_points", lambda group: found.select(group=group))
        plugins._load.cache_clear()

    return install


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            ("bursar_btcpay", "stranger_btcpay"),
            ["claimed by bursar_btcpay, stranger_btcpay", "uninstall all but one"],
        ),
        (("no_such_module",), ["cannot be loaded", "no_such_module"]),
        (("bursar.money:Money.parse",), ["brings no provider"]),
    ],
)
def test_a_broken_plugin_is_named_where_it_is_configured(
    installed: Callable[..., None], values: tuple[str, ...], words: list[str]
) -> None:
    installed(btcpay=values)

    with pytest.raises((PluginBroken, ConfigError)) as raised:
        read(BTCPAY)

    for word in ("bursar.toml:5: accounts.main.provider", *words):
        assert word in str(raised.value)


def test_the_same_plugin_found_twice_is_one(installed: Callable[..., None]) -> None:
    installed(btcpay=("bursar_btcpay", "bursar_btcpay"))

    assert read(BTCPAY).accounts["main"].provider == "btcpay"


@pytest.fixture(autouse=True)
def _plugins_are_loaded_afresh() -> Any:
    yield
    plugins._load.cache_clear()
