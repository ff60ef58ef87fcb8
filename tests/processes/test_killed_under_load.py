"""`kill -9` of a real `bursar serve` under webhook load: what was answered 2xx is in the database, with its effect, once."""

import hashlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from bursar import Bursar, load_config
from bursar.plugins import sandbox
from bursar.testing.stage import Bridge, account_table

pytestmark = [pytest.mark.processes, pytest.mark.slow]
ORDERS = 40
SENDERS = 8


@attrs.define
class Sent:
    """One delivery that the server answered 2xx."""

    order: str
    event: str
    digest: bytes


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def configure(folder: Path, port: int) -> tuple[Path, Any, list[tuple[str, str]]]:
    """Write a configuration, open orders with a payment each, and return the sandbox and the orders' ids."""
    fake: Any = sandbox("btcpay")(clock=time.time, url="http://127.0.0.1:9")
    account = fake.account(webhook_url=f"http://127.0.0.1:{port}/webhooks/main")
    path = folder / "bursar.toml"
    path.write_text(
        f'[bursar]\ndatabase = "sqlite:///bursar.db"\naccount = "main"\nport = {port}\n{account_table("btcpay", account)}',
        encoding="utf-8",
    )
    made: list[tuple[str, str]] = []
    with Bursar(load_config(path, env={}), transport=Bridge(fake.app)) as bursar:
        for number in range(ORDERS):
            order = bursar.open_order(reference=str(number), amount="10.00", currency="USD")
            payment = bursar.start_payment(order.key)
            assert payment.payment_id is not None
            made.append((order.key, payment.payment_id))
    return path, fake, made


def deliveries(fake: Any, made: list[tuple[str, str]]) -> list[tuple[str, Any]]:
    """Let every buyer pay and every payment be confirmed; return all that the service has to say, with the order's key."""
    for _, invoice in made:
        fake.pay(invoice)
        fake.confirm(invoice)
    orders = {invoice: key for key, invoice in made}
    found: list[tuple[str, Any]] = []
    while due := fake.due():
        for outgoing in due:
            found.append((orders[outgoing.payment_id], outgoing))
            fake.answered(outgoing, 200)
    return found


def serve(path: Path, port: int) -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    command = [sys.executable, "-m", "bursar.cli", "serve", "--config", str(path), "--log-level", "error"]
    server = subprocess.Popen(command, cwd=path.parent, env=environment, stderr=subprocess.PIPE)
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return server
        except OSError:
            assert server.poll() is None, server.communicate()[1].decode()
            threading.Event().wait(0.1)
    raise AssertionError("the server did not start")


def load(
    port: int,
    share: list[tuple[str, Any]],
    answered: list[Sent],
    stop: threading.Event,
    begun: threading.Event | None = None,
) -> None:
    """Send *share*, each twice, and note what was answered 2xx, until the server is gone; *begun* is set at the first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for key, outgoing in [*share, *share]:
        if stop.is_set():
            return
        try:
            connection.request("POST", "/webhooks/main", body=outgoing.body, headers=dict(outgoing.headers))
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return
        if 200 <= answer.status < 300:
            digest = hashlib.sha256(b"main\0" + outgoing.body).digest()
            answered.append(Sent(key, outgoing.event, digest))
            if begun is not None:
                begun.set()


@pytest.fixture
def servers() -> Iterator[list["subprocess.Popen[bytes]"]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for server in running:
        if server.poll() is None:
            server.kill()
        server.communicate()


@pytest.mark.parametrize("after", [0.15, 0.4, 0.8])
def test_every_delivery_answered_2xx_is_kept_with_its_effect_once(
    tmp_path: Path, servers: list["subprocess.Popen[bytes]"], after: float
) -> None:
    port = free_port()
    path, fake, made = configure(tmp_path, port)
    waiting = deliveries(fake, made)
    server = serve(path, port)
    servers.append(server)
    answered: list[Sent] = []
    stop, begun = threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=load, args=(port, waiting[number::SENDERS], answered, stop, begun))
        for number in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    # A slow machine takes a while to answer at all; the kill falls after that, amid the load.
    assert begun.wait(30), "nothing was answered"
    stop.wait(after)
    server.send_signal(signal.SIGKILL)
    server.wait(10)
    stop.set()
    for thread in threads:
        thread.join(20)

    kept = sqlite3.connect(tmp_path / "bursar.db")
    rows = kept.execute("select order_key, digest from bursar_deliveries").fetchall()
    assert len(rows) == len(set(rows)), "a delivery is kept twice"
    missing = [sent for sent in answered if (sent.order, sent.digest) not in set(rows)]
    assert not missing, f"{len(missing)} of {len(answered)} answered deliveries are not in the database"
    kept.close()
    with Bursar(load_config(path, env={}), transport=Bridge(fake.app)) as bursar:
        settled = {sent.order for sent in answered if sent.event == "InvoiceSettled"}
        for key in settled:
            assert bursar.order(key).status.value == "paid"
        for key, _ in made:
            history = bursar.history(key)
            assert [change.number for change in history] == list(range(1, len(history) + 1))
            became = [change.after.value for change in history if change.before is not change.after]
            assert became.count("paid") <= 1

        # What was not answered comes again, as the service would send it; then all is as if nothing had happened.
        for _, outgoing in waiting:
            assert bursar.receive("main", outgoing.body, dict(outgoing.headers)).status == 200
        for key, _ in made:
            order = bursar.order(key)
            assert order.status.value == "paid"
            assert (
                json.dumps(order.document(merchant=True)["received"])
                == '{"amount": "10.00", "currency": "USD"}'
            )


def test_the_courier_goes_on_after_a_kill(tmp_path: Path, servers: list["subprocess.Popen[bytes]"]) -> None:
    port = free_port()
    path, fake, made = configure(tmp_path, port)
    waiting = deliveries(fake, made)
    server = serve(path, port)
    servers.append(server)
    answered: list[Sent] = []
    load(port, waiting[: len(waiting) // 2], answered, threading.Event())
    server.send_signal(signal.SIGKILL)
    server.wait(10)

    again = serve(path, port)
    servers.append(again)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/health")
    health = json.loads(connection.getresponse().read())
    assert health["healthy"] is True
    again.send_signal(signal.SIGTERM)
    assert again.wait(20) in (0, -signal.SIGTERM)
