import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from bursar import load_config, plugins
from bursar.cli.init import write_config
from bursar.errors import ConfigError

ENV = {"MAIN_API_KEY": "cp_live_" + "0" * 32, "MAIN_WEBHOOK_SECRET": "whsecret_x"}
FILLED_IN = {
    "btcpay": ('url = ""', 'url = "https://btcpay.example.com"'),
    "coinpay": ('business_id = ""', 'business_id = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"'),
}


@pytest.mark.parametrize("provider", plugins.names(plugins.PROVIDERS))
def test_what_is_written_is_a_configuration_once_it_is_filled_in(
    run: Callable[..., Result], tmp_path: Path, provider: str
) -> None:
    config = tmp_path / "bursar.toml"

    result = run("init", provider, "--config", str(config))

    assert result.exit_code == 0, result.output
    text = config.read_text(encoding="utf-8")
    blank, filled = FILLED_IN[provider]
    with pytest.raises(ConfigError, match=blank.split()[0]):
        load_config(config, env=ENV)
    config.write_text(text.replace(blank, filled), encoding="utf-8")
    loaded = load_config(config, env=ENV)
    assert loaded.accounts["main"].provider == provider
    assert loaded.default_account() == "main"
    assert len(loaded.server.api_key.reveal()) >= 40


@pytest.mark.parametrize("provider", plugins.names(plugins.PROVIDERS))
def test_every_setting_stands_there_and_every_comment_is_valid_when_uncommented(provider: str) -> None:
    import attrs

    text = write_config(plugins.provider(provider))
    lines = [
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in text.splitlines()
    ]
    lines = [line.removeprefix("# ") if line.startswith("# [") else line for line in lines]
    tables = tomllib.loads("\n".join(line for line in lines if not line.startswith("# ")))

    names = {field.name for field in attrs.fields(plugins.provider(provider).Settings)}
    assert names | {"provider", "policy"} == set(tables["accounts"]["main"])
    assert tables["shops"]["shop"]["adapter"] == "http"
    assert not any(isinstance(value, float) for value in tables["accounts"]["main"].values())


def test_the_api_key_is_fresh_and_nobody_else_can_read_it(run: Callable[..., Result], tmp_path: Path) -> None:
    keys: set[str] = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        result = run("init", "btcpay", "--config", str(folder / "bursar.toml"))
        key = folder / "bursar-api.key"
        keys.add(key.read_text(encoding="utf-8"))
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.read_text(encoding="utf-8").strip() not in result.output

    assert len(keys) == 2


def test_nothing_is_overwritten(run: Callable[..., Result], tmp_path: Path) -> None:
    config = tmp_path / "bursar.toml"
    config.write_text("precious", encoding="utf-8")

    result = run("init", "btcpay", "--config", str(config))

    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert config.read_text(encoding="utf-8") == "precious"


def test_a_provider_that_is_not_installed_is_named_with_those_that_are(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("init", "btcpayy", "--config", str(tmp_path / "bursar.toml"))

    assert result.exit_code == 2
    assert "no plugin 'btcpayy'" in result.stderr
    assert "btcpay, coinpay" in result.stderr
    assert not (tmp_path / "bursar.toml").exists()


def test_a_folder_that_does_not_exist_is_said_so(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("init", "btcpay", "--config", str(tmp_path / "no" / "bursar.toml"))

    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
