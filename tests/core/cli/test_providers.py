import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result


def test_what_is_installed_is_listed_without_any_configuration(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("providers", "--config", str(tmp_path / "none.toml"))

    assert result.exit_code == 0
    lines = {tuple(line.split()[:2]) for line in result.stdout.splitlines()}
    assert {("provider", "btcpay"), ("provider", "coinpay"), ("adapter", "http")} <= lines
    assert result.stdout.count("not configured") >= 3


def test_the_accounts_and_shops_that_use_each_are_named(run: Callable[..., Result], tmp_path: Path) -> None:
    config = tmp_path / "bursar.toml"
    # Not even a valid account: nothing is imported, so nothing is checked.
    config.write_text(
        '[accounts.one]\nprovider = "btcpay"\n[accounts.two]\nprovider = "btcpay"\n'
        '[shops.main]\nadapter = "http"\n[shops.silent]\n',
        encoding="utf-8",
    )

    found = json.loads(run("providers", "--json", "--config", str(config)).stdout)

    used = {one["name"]: one["used_by"] for one in found}
    assert used["btcpay"] == ["accounts.one", "accounts.two"]
    assert used["coinpay"] == []
    assert used["http"] == ["shops.main"]


def test_a_configuration_that_is_not_toml_is_said_so(run: Callable[..., Result], tmp_path: Path) -> None:
    config = tmp_path / "bursar.toml"
    config.write_text("accounts = [", encoding="utf-8")

    result = run("providers", "--config", str(config))

    assert result.exit_code == 2
    assert "not valid TOML" in result.stderr


def test_strange_tables_do_no_harm(run: Callable[..., Result], tmp_path: Path) -> None:
    config = tmp_path / "bursar.toml"
    config.write_text("accounts = 3\n[shops]\nmain = 1\n", encoding="utf-8")

    assert run("providers", "--config", str(config)).exit_code == 0
