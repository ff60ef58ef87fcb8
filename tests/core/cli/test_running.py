"""The commands that run for long, as real processes, talked to over real HTTP."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from bursar import load_config
from bursar.service import Bursar

pytestmark = [pytest.mark.processes, pytest.mark.slow]
PATIENCE = 30


class Running:
    """A command that runs, and what it wrote so far."""

    def __init__(self, process: subprocess.Popen[str], written: Path) -> None:
        self.process, self._written = process, written

    @property
    def output(self) -> str:
        return self._written.read_text(encoding="utf-8")

    def says(self, pattern: str) -> str:
        """Wait until it has written what fits *pattern*, and return the first group."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            if found := re.search(pattern, self.output):
                return found[1] if found.groups() else found[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"it never said {pattern!r}:\n{self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def running(folder: Path, *args: str) -> Iterator[Running]:
    written = folder / "written.txt"
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    with written.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bursar.cli", *args],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        )
    try:
        yield Running(process, written)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


def serve_here(site: Any, port: int) -> None:
    site.write(f'[bursar]\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\n', instead_of="[bursar]\n")


def test_the_server_says_where_it_listens_and_takes_payments(site: Any, unused_port: int) -> None:
    serve_here(site, unused_port)
    url = f"http://127.0.0.1:{unused_port}"

    with running(site.folder, "serve") as server:
        server.says(f"listens on {url}")
        assert f"webhooks of btcpay: {url}/webhooks/btcpay" in server.output
        answer = httpx.post(
            f"{url}/api/orders",
            json={"reference": "1001", "amount": "10.00", "currency": "USD"},
            headers={"Authorization": "Bearer key"},
        )
        order = answer.json()
        page = httpx.get(order["checkout_url"])
        code = server.stop()

    assert answer.status_code == 201
    assert page.status_code == 200
    assert code == 0
    assert server.output.rstrip().endswith("bursar: stopped")
    with Bursar(load_config(site.config, env={})) as bursar:
        assert bursar.find("1001").payment is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_that_is_still_open_does_not_hold_up_the_stop(
    site: Any, unused_port: int, number: signal.Signals
) -> None:
    serve_here(site, unused_port)
    order = site.order("1001")
    site.close()
    path = urlsplit(order.checkout_url).path

    with running(site.folder, "serve", "--log-level", "warning") as server:
        server.says("listens on")
        with httpx.stream("GET", f"http://127.0.0.1:{unused_port}{path}/events", timeout=PATIENCE) as stream:
            lines = stream.iter_lines()
            first = next(lines)
            began = time.monotonic()
            server.process.send_signal(number)
            # The stream is cut; a browser comes back to it by itself.
            with suppress(httpx.RemoteProtocolError):
                list(lines)
        code = server.process.wait(PATIENCE)
        took = time.monotonic() - began

    assert first.startswith("retry")
    assert code == 0
    assert took < 5
    assert "Traceback" not in server.output


def test_a_port_that_is_taken_is_one_clean_line(site: Any, unused_port: int) -> None:
    serve_here(site, unused_port)

    with running(site.folder, "serve") as first:
        first.says("listens on")
        second = subprocess.run(
            [sys.executable, "-m", "bursar.cli", "serve"],
            cwd=site.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    assert second.returncode == 2
    assert len(second.stderr.strip().splitlines()) == 1
    assert f"cannot listen on 127.0.0.1:{unused_port}" in second.stderr
    assert "set host and port under [bursar]" in second.stderr


def test_a_sandbox_runs_alone_and_what_it_prints_is_an_account_that_works(
    tmp_path: Path, unused_port: int
) -> None:
    with running(
        tmp_path,
        "sandbox",
        "btcpay",
        "--port",
        "0",
        "--webhook-url",
        f"http://127.0.0.1:{unused_port}/webhooks/main",
    ) as sandbox:
        url = sandbox.says(r"sandbox at (http://\S+)")
        sandbox.says("webhook_secret = ")
        account = sandbox.output[sandbox.output.index("[accounts.main]") :]
        (tmp_path / "bursar.toml").write_text(
            f'[bursar]\nport = {unused_port}\npublic_url = "http://127.0.0.1:{unused_port}"\n'
            f'api_key = "literal:key"\n{account}',
            encoding="utf-8",
        )
        (tmp_path / "served").mkdir()
        with running(tmp_path / "served", "serve", "--config", str(tmp_path / "bursar.toml")) as server:
            server.says("listens on")
            api = httpx.Client(
                base_url=f"http://127.0.0.1:{unused_port}", headers={"Authorization": "Bearer key"}
            )
            order = api.post(
                "/api/orders", json={"reference": "1", "amount": "10.00", "currency": "USD"}
            ).json()
            invoice = order["payments"][0]["payment_id"]
            for action in ("pay", "confirm"):
                httpx.post(f"{url}/panel", data={"action": action, "id": invoice})
            give_up = time.monotonic() + PATIENCE
            while (status := api.get(f"/api/orders/{order['key']}").json()["status"]) != "paid":
                assert time.monotonic() < give_up, status
                time.sleep(0.05)
            assert server.stop() == 0
        assert httpx.get(f"{url}/panel").status_code == 200
        assert sandbox.stop(signal.SIGINT) == 0


def test_an_unknown_sandbox_is_named_with_those_there_are(tmp_path: Path) -> None:
    with running(tmp_path, "sandbox", "paypal") as command:
        assert command.process.wait(PATIENCE) == 2

    assert "no plugin 'paypal'" in command.output


class Form(HTMLParser):
    """Read the fields of a page's form, as a browser does."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action, self.fields = "", list[tuple[str, str]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "input" and values.get("type") == "hidden" and values.get("name"):
            self.fields.append((values["name"], values.get("value", "")))

    def post(self, browser: httpx.Client, action: str = "", **more: str) -> httpx.Response:
        body = str(httpx.QueryParams([*self.fields, *more.items()]))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": "https://btcpay.example.com",
        }
        return browser.post(action or self.action, content=body, headers=headers)


def test_an_account_is_connected_from_the_consent_page_to_a_configuration_that_works(
    tmp_path: Path, services: Mapping[str, Any], unused_port: int
) -> None:
    service, config = services["btcpay"], tmp_path / "bursar.toml"
    head = f'[bursar]\nport = {unused_port}\npublic_url = "http://127.0.0.1:{unused_port}"\n'
    account = f'[accounts.main]\nprovider = "btcpay"\nurl = "{service.url}"\n'
    config.write_text(head + account, encoding="utf-8")

    with running(tmp_path, "connect", "main") as command, httpx.Client() as browser:
        page = command.says(r"\n(http://\S+/api-keys/authorize\S+)\n")
        consent = Form(browser.get(page).text)
        asked = [(name, value) for name, value in parse_qsl(urlsplit(page).query) if name == "permissions"]
        consent.fields += [pair for pair in asked if pair not in consent.fields]
        granted = consent.post(
            browser,
            f"{service.url}/api-keys/authorize",
            store=service.sandbox.store_id,
            command="Authorize",
        )
        home = Form(granted.text).post(browser)
        code = command.process.wait(PATIENCE)

    assert home.status_code == 200
    assert code == 0, command.output
    secrets = [file.read_text(encoding="utf-8").strip() for file in tmp_path.glob("*.secret")]
    assert len(secrets) == 2
    assert not any(secret in command.output for secret in secrets)
    pasted = command.output[command.output.index("[accounts.main]\nprovider") :]
    config.write_text(head + pasted, encoding="utf-8")
    with running(tmp_path, "doctor") as doctor:
        assert doctor.process.wait(PATIENCE) == 0, doctor.output


def test_the_demo_plays_every_story_to_its_end(tmp_path: Path) -> None:
    began = time.monotonic()
    with running(tmp_path, "demo", "--headless") as demo:
        code = demo.process.wait(120)

    shown = demo.output
    assert code == 0, shown
    found = re.search(r"(\d+) of (\d+) stories at 2 services ended as they should", shown)
    assert found
    assert found[1] == found[2]
    assert int(found[1]) >= 24
    assert "WRONG" not in shown
    assert "\x1b" not in shown
    assert time.monotonic() - began < 90


def test_the_demo_serves_a_page_and_leaves_nothing_behind(tmp_path: Path, unused_port: int) -> None:
    with running(tmp_path, "demo", "--no-browser", "--port", str(unused_port)) as demo:
        config = demo.says(r"configuration: (\S+)\n")
        page = httpx.get(f"http://127.0.0.1:{unused_port}/")
        there = Path(config).exists()
        code = demo.stop(signal.SIGINT)

    assert page.status_code == 200
    assert "Paper boat" in page.text
    assert there
    assert code == 0
    assert not Path(config).parent.exists()
    assert "Traceback" not in demo.output
