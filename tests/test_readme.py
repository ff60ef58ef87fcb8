import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bursar import read_config
from bursar.plugins import sandbox

README = Path(__file__).parents[1] / "README.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def served() -> Iterator[Callable[[Any], str]]:
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(make: Any) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(make(url), log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return url

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


def test_the_configuration_in_the_readme_is_valid() -> None:
    secrets = {"BTCPAY_API_KEY": "0" * 40, "BTCPAY_WEBHOOK_SECRET": "secret"}

    config = read_config(block("toml"), env=secrets)

    assert config.accounts["main"].provider == "btcpay"


def test_the_example_in_the_readme_takes_a_payment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    served: Callable[[Any], str],
) -> None:
    made: list[Any] = []

    def make(url: str) -> Any:
        made.append(sandbox("btcpay")(clock=time.time, url=url))
        return made[0].app

    served(make)
    shop = made[0]
    account = shop.account(webhook_url="https://pay.example.com/webhooks/main")
    lines = [f'{key} = "{value}"' for key, value in account.items()]
    secret = re.compile(r'^(api_key|webhook_secret) = "')
    lines = [secret.sub(r'\1 = "literal:', line) for line in lines]
    config = ["[bursar]", 'account = "main"', "[accounts.main]", 'provider = "btcpay"', *lines]
    (tmp_path / "bursar.toml").write_text("\n".join(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    example: dict[str, Any] = {}

    exec(block("python"), example)  # noqa: S102 - the README is ours
    assert "the order is awaiting_payment" in capsys.readouterr().out
    invoice = example["payment"].payment_id
    shop.pay(invoice)
    shop.confirm(invoice)
    while due := shop.due():
        for outgoing in due:
            shop.answered(outgoing, example["webhook"]("main", outgoing.body, dict(outgoing.headers)))

    assert example["bursar"].order(example["order"].key).status.value == "paid"
    example["bursar"].close()
