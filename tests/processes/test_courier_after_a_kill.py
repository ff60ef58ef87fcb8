"""`kill -9` of a real `bursar serve` while its courier tells a shop: the next server tells the rest, and no shop hears less."""

import http.client
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

import pytest

import bursar_http
from bursar import Bursar, load_config
from bursar.plugins import sandbox
from bursar.testing.faults.killing import served
from bursar.testing.faults.scene import SHOP_SECRET, write_config
from bursar.testing.stage import Bridge

pytestmark = [pytest.mark.processes, pytest.mark.slow]
ORDERS = 30


class Shop:
    """A shop's server, slow enough to be caught in the midst of being told."""

    def __init__(self) -> None:
        self.heard: dict[str, tuple[int, str]] = {}
        self.messages: list[tuple[str, int, str]] = []
        self.news = threading.Condition()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        message = bursar_http.verify(body, headers, SHOP_SECRET, now=int(time.time()))
        reference, number = message["order"]["reference"], message["number"]
        with self.news:
            self.messages.append((reference, number, headers["webhook-id"]))
            if number > self.heard.get(reference, (0, ""))[0]:
                self.heard[reference] = (number, message["order"]["status"])
            self.news.notify_all()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def paid(self) -> int:
        return sum(1 for _, status in self.heard.values() if status == "paid")

    def wait_for(self, count: int) -> bool:
        with self.news:
            return self.news.wait_for(lambda: self.paid() >= count, timeout=40)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    running: list[subprocess.Popen[bytes]] = []

    def serve(port: int) -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
        command = [
            sys.executable,
            "-m",
            "bursar.cli",
            "serve",
            "--config",
            "bursar.toml",
            "--log-level",
            "error",
        ]
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL))
        for _ in range(300):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                connection.getresponse().read()
            except OSError:
                assert running[-1].poll() is None, "the server did not start"
                threading.Event().wait(0.1)
            else:
                return running[-1]
        pytest.fail("the server did not start")

    yield serve
    for one in running:
        one.kill()
        one.wait()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_the_killed_courier_had_left_the_next_one_does(tmp_path: Path, start: Any, share: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    fake: Any = sandbox("btcpay")(clock=time.time, url="http://127.0.0.1:9")
    settings = fake.account(webhook_url=f"http://127.0.0.1:{port}/webhooks/main")
    shop = Shop()
    with served(shop) as address:
        text = write_config(tmp_path / "bursar.db", "btcpay", settings, f"http://{address}/")
        path = tmp_path / "bursar.toml"
        path.write_text(text.replace("[bursar]\n", f"[bursar]\nport = {port}\n", 1), encoding="utf-8")
        with Bursar(load_config(path, env={}), transport=Bridge(fake.app)) as bursar:
            for number in range(ORDERS):
                order = bursar.open_order(reference=str(number), amount="10.00", currency="USD")
                payment = bursar.start_payment(order.key)
                fake.pay(payment.payment_id)
                fake.confirm(payment.payment_id)
            while due := fake.due():
                for outgoing in due:
                    answer = bursar.receive("main", outgoing.body, dict(outgoing.headers))
                    fake.answered(outgoing, answer.status)
        assert shop.heard == {}

        first = start(port)
        assert shop.wait_for(max(1, int(ORDERS * share)))
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        told = shop.paid()
        # What the dead courier held comes free when its lease ends, five minutes later; the test does not wait for that.
        _end_leases(tmp_path / "bursar.db")
        start(port)

        assert shop.wait_for(ORDERS), f"{shop.paid()} of {ORDERS}, of which {told} before the kill"
    with Bursar(load_config(path, env={}), transport=Bridge(fake.app)) as bursar:
        for number in range(ORDERS):
            order = bursar.find(str(number))
            assert shop.heard[str(number)] == (order.number, "paid")
    for reference, number, name in shop.messages:
        same = {other for of, at, other in shop.messages if (of, at) == (reference, number)}
        assert same == {name}, "a repetition came under another id"


def _end_leases(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("update bursar_due set lease_until = 0")
    connection.commit()
    connection.close()
