"""Refunds asked for by parallel processes, and by one that is killed meanwhile: never more goes back than was received."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bursar import Bursar, load_config
from bursar.errors import Refused
from bursar.plugins import sandbox
from bursar.testing.faults.killing import served
from bursar.testing.stage import account_table

pytestmark = [pytest.mark.processes, pytest.mark.slow]
CLERKS = 8
CLERK = """
import sys
from bursar import Bursar, load_config
from bursar.errors import Refused
path, key, amount, who = sys.argv[1:]
with Bursar(load_config(path, env={})) as bursar:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        bursar.refund(key, amount=amount, who=who)
    except Refused as error:
        print("refused", error, flush=True)
    else:
        print("made", flush=True)
"""


class Shop:
    """One order of 10.00, paid, in a database that many processes share; its service is served over HTTP."""

    def __init__(self, folder: Path, fake: Any) -> None:
        self.fake = fake
        account = self.fake.account(webhook_url="http://127.0.0.1:9/webhooks/main")
        self.path = folder / "bursar.toml"
        text = f'[bursar]\ndatabase = "sqlite:///bursar.db"\naccount = "main"\n{account_table("btcpay", account)}'
        self.path.write_text(text, encoding="utf-8")
        with self.bursar() as bursar:
            order = bursar.open_order(reference="1001", amount="10.00", currency="USD")
            invoice = bursar.start_payment(order.key).payment_id
            assert invoice is not None
            self.fake.pay(invoice)
            self.fake.confirm(invoice)
            while due := self.fake.due():
                for outgoing in due:
                    answer = bursar.receive("main", outgoing.body, dict(outgoing.headers))
                    self.fake.answered(outgoing, answer.status)
            bursar.sync(order.key)
            self.key = order.key

    def bursar(self, **more: Any) -> Bursar:
        return Bursar(load_config(self.path, env={}), **more)

    def clerk(self, number: int, amount: str) -> "subprocess.Popen[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
        command = [sys.executable, "-c", CLERK, str(self.path), self.key, amount, f"clerk {number}"]
        started = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        return started

    def offered(self) -> list[Decimal]:
        """What the service was really asked to give back."""
        return [pull.offer.amount for pull in self.fake.server.refunds.pulls.values()]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    # The service has to know its address, which is known only once it is served.
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await fake.app(scope, receive, send)

    with served(app) as address:
        fake: Any = sandbox("btcpay")(clock=time.time, url=f"http://{address}")
        yield Shop(tmp_path, fake)


def begin(clerks: list["subprocess.Popen[str]"]) -> None:
    for clerk in clerks:
        assert clerk.stdin
        clerk.stdin.write("now\n")
        clerk.stdin.flush()


def test_parallel_processes_never_refund_more_than_was_received(shop: Shop) -> None:
    clerks = [shop.clerk(number, "3.00") for number in range(CLERKS)]

    begin(clerks)
    said = [clerk.communicate(timeout=60)[0] for clerk in clerks]

    assert sorted(line.split()[0] for line in said) == ["made"] * 3 + ["refused"] * 5
    assert shop.offered() == [Decimal("3.00")] * 3
    with shop.bursar() as bursar:
        assert len(bursar.order(shop.key).refunds) == 3


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15])
def test_a_process_killed_while_others_refund_costs_nothing_and_loses_nothing(
    shop: Shop, after: float
) -> None:
    clerks = [shop.clerk(number, "3.00") for number in range(CLERKS)]

    begin(clerks)
    threading.Event().wait(after)
    for clerk in clerks[::2]:
        clerk.send_signal(signal.SIGKILL)
    for clerk in clerks:
        clerk.communicate(timeout=60)

    # Whatever was under way is brought to its end by the courier, once its outcome can be known.
    later = 0.0
    with shop.bursar(clock=lambda: time.time() + later) as bursar:
        for _ in range(6):
            later += 60
            bursar.run_due()
        order = bursar.order(shop.key)
        kept = [refund for refund in order.refunds if refund.status.value != "failed"]
        assert all(refund.status.value == "waiting_for_buyer" for refund in kept)
        assert sorted(shop.offered()) == sorted(refund.amount.major for refund in kept)
        assert sum(shop.offered()) <= Decimal(10)
        with pytest.raises(Refused):
            bursar.refund(shop.key, amount=str(Decimal("10.01") - sum(shop.offered())), who="desk")
