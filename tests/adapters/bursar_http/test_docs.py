import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar.adapters import Standpoint
from bursar_http.messages import order_changed
from bursar_http.settings import Settings
from bursar_http.shop import HttpShop

PAGE = (Path(__file__).parents[3] / "docs/adapters/http.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def keys(value: object) -> object:
    match value:
        case dict():
            return {name: keys(member) for name, member in value.items()}
        case [first, *_]:
            return [keys(first)]
        case _:
            return None


def test_every_setting_is_on_the_adapters_page() -> None:
    for field in attrs.fields(Settings):
        assert f"| `{field.name}` |" in PAGE


def test_the_message_on_the_adapters_page_has_the_members_of_a_real_one(standpoint: Standpoint) -> None:
    shown = json.loads(block("json"))

    assert keys(shown) == keys(json.loads(json.dumps(order_changed(standpoint))))


def test_the_example_on_the_adapters_page_takes_a_message_and_refuses_a_forgery(
    make_shop: Callable[..., HttpShop], standpoint: Standpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered: list[Any] = []
    example: dict[str, Any] = {"remember": lambda *told: remembered.append(told)}
    exec(block("python"), example)  # noqa: S102 - the page is ours
    monkeypatch.setenv("BURSAR_SHOP_SECRET", SECRET)
    # The example reads the clock, as a shop would.
    flow = make_shop().converge(standpoint, now=int(time.time()))
    request: httpx.Request = next(flow)
    headers = dict(request.headers)

    assert example["on_bursar"](request.content, headers) == 200
    assert example["on_bursar"](request.content + b" ", headers) == 401
    assert remembered == [("1001 ü", "paid", 7)]
