import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from bursar import plugins
from bursar.errors import ConfigError, PluginBroken
from bursar.rates import FixedRates

HOOK = "from bursar.hookspecs import hookimpl\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, in which distributions can be installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._load.cache_clear()
    yield tmp_path
    plugins._load.cache_clear()
    for name in [name for name in sys.modules if name.startswith("outside_")]:
        del sys.modules[name]


def install(site: Path, name: str, module: str, code: str, *, dist: str = "outside") -> None:
    """Install a distribution that offers *module* as the provider *name*."""
    (site / f"{module}.py").write_text(dedent(code))
    info = site / f"{dist}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[bursar.providers]\n{name} = {module}\n")


def test_the_plugins_that_ship_are_found_like_a_strangers() -> None:
    assert {"btcpay", "coinpay"} <= set(plugins.names(plugins.PROVIDERS))
    assert plugins.provider("btcpay").name == "btcpay"
    assert plugins.adapter("http").name == "http"
    assert plugins.sandbox("coinpay").name == "coinpay"
    assert plugins.rate_source("coinpay").name == "coinpay"
    assert plugins.rate_source("fixed") is FixedRates


def test_a_strangers_provider_is_found_by_its_name(site: Path) -> None:
    code = """
    from bursar.hookspecs import hookimpl

    class Acme:
        name = "acme"

    @hookimpl
    def bursar_register_providers():
        return [Acme]
    """
    install(site, "acme", "outside_acme", code)

    assert plugins.provider("acme").name == "acme"


def test_listing_names_imports_nobody(site: Path) -> None:
    install(site, "acme", "outside_explodes", "raise RuntimeError('imported')")

    assert "acme" in plugins.names(plugins.PROVIDERS)
    assert "outside_explodes" not in sys.modules


def test_a_broken_plugin_is_named_and_spoils_no_other(site: Path) -> None:
    install(site, "acme", "outside_broken", "raise RuntimeError('out of order')")

    with pytest.raises(PluginBroken, match=r"'acme'.*outside_broken.*out of order"):
        plugins.provider("acme")
    assert plugins.provider("coinpay").name == "coinpay"


def test_a_misspelt_hook_is_refused_and_not_overlooked(site: Path) -> None:
    code = f"{HOOK}\n@hookimpl\ndef bursar_register_provider():\n    return []\n"
    install(site, "acme", "outside_misspelt", code)

    with pytest.raises(PluginBroken, match="bursar_register_provider"):
        plugins.provider("acme")


@pytest.mark.parametrize("body", ["raise KeyError('x')", "return 3"])
def test_a_hook_that_fails_is_the_plugins_fault(site: Path, body: str) -> None:
    install(
        site, "acme", "outside_fails", f"{HOOK}\n@hookimpl\ndef bursar_register_providers():\n    {body}\n"
    )

    with pytest.raises(PluginBroken, match="failed in bursar_register_providers"):
        plugins.provider("acme")


def test_a_plugin_that_brings_no_class_of_its_name_says_so(site: Path) -> None:
    install(site, "acme", "outside_empty", "")

    with pytest.raises(ConfigError, match="brings no provider of that name"):
        plugins.provider("acme")


def test_a_name_that_two_distributions_claim_is_refused(site: Path) -> None:
    install(site, "acme", "outside_one", "", dist="one")
    install(site, "acme", "outside_two", "", dist="two")

    with pytest.raises(PluginBroken, match="claimed by outside_one, outside_two"):
        plugins.provider("acme")


def test_a_plugin_that_is_not_installed_is_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no plugin 'btcpayy'.*btcpay.*coinpay"):
        plugins.provider("btcpayy")
