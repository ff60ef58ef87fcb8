import re
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import attrs
import pytest

from bursar import plugins
from bursar.config import ServerConfig, read_config
from bursar.policies import _READERS
from bursar.policy import Policy
from bursar.secrets import Secret

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
KINDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    Secret: "secret",
    Decimal: "decimal number as text",
}


def rows(heading: str) -> list[tuple[str, str, str]]:
    """Return the rows of the table below a heading."""
    _, found, after = PAGE.partition(f"\n{heading}\n")
    assert found, f"the page has no heading {heading}"
    section = re.split(r"\n#+ ", after)[0]
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section, re.MULTILINE)


def sections() -> Iterator[tuple[str, type[Any]]]:
    for name in plugins.names(plugins.PROVIDERS):
        yield f'### `provider = "{name}"`', plugins.provider(name).Settings
    for name in plugins.names(plugins.ADAPTERS):
        yield f'### `adapter = "{name}"`', plugins.adapter(name).Settings
    for name in ("fixed", "coinpay"):
        yield f'### `source = "{name}"`', plugins.rate_source(name).Settings


def default(value: object) -> str:
    match value:
        case attrs.NOTHING:
            return "required"
        case bool():
            return f"`{str(value).lower()}`"
        case Enum():
            return f"`{value.value}`"
        case int() | Decimal() | str() if value != "":
            return f"`{value}`"
        case _:
            return "none"


def kind(of: Any) -> str:
    inner = [arg for arg in get_args(of) if arg not in (type(None), ...)]
    match get_origin(of):
        case None:
            return KINDS[of]
        case origin if origin is tuple:
            return f"list of {KINDS[inner[0]]}s"
        case origin if issubclass(origin, dict) or origin.__name__ == "Mapping":
            return f"table of {KINDS[inner[1]]}s"
        case _:
            return KINDS[inner[0]]


@pytest.mark.parametrize(
    ("heading", "cls"), [pytest.param(*section, id=section[0]) for section in sections()]
)
def test_every_setting_of_a_plugin_is_in_the_reference_with_its_kind_and_default(
    heading: str, cls: type[Any]
) -> None:
    fields = attrs.fields(attrs.resolve_types(cls))

    assert rows(heading) == [(f.name, default(f.default), kind(f.type)) for f in fields]


@pytest.mark.parametrize(
    ("heading", "cls"), [("## `[bursar]`", ServerConfig), ("## `[accounts.NAME.policy]`", Policy)]
)
def test_every_setting_of_core_is_in_the_reference_with_its_default(heading: str, cls: type[Any]) -> None:
    documented = [(name, at_first) for name, at_first, _ in rows(heading)]

    assert documented == [(f.name, default(f.default)) for f in attrs.fields(cls)]


def test_every_setting_of_a_policy_can_be_configured() -> None:
    assert list(_READERS) == [field.name for field in attrs.fields(Policy)]


def test_every_link_of_the_reference_to_a_plugins_page_names_a_page() -> None:
    for link in re.findall(r"\]\(((?:providers|adapters)/[\w.]+)\)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / link).is_file()


def test_the_example_of_the_reference_is_valid(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found
    (tmp_path / "btcpay").write_text("hook-secret", encoding="utf-8")
    text = found.group(1).replace("/run/secrets/btcpay", (tmp_path / "btcpay").as_posix())
    env = {
        "BURSAR_KEY": "merchant",
        "BTCPAY_API_KEY": "0123456789",
        "COINPAY_API_KEY": "cp_live_0123456789abcdef0123456789abcdef",
        "COINPAY_WEBHOOK_SECRET": "hook",
        "BURSAR_SHOP_SECRET": "whsec_" + "QUJD" * 10,
    }

    config = read_config(text, env=env)

    assert sorted(config.accounts) == ["dollars", "main"]
    assert config.default_account() == "main"
