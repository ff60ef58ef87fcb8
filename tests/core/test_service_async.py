import asyncio
import inspect
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar import plugins
from bursar.config import read_config
from bursar.desk import Desk
from bursar.errors import BursarError
from bursar.service import AsyncBursar, Bursar
from bursar.testing.stage import Bridge, account_table

NOW = 1_790_000_000
Call = tuple[str, dict[str, Any]]


def public(cls: type[Any]) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(cls, inspect.isroutine)
    return {name: inspect.signature(method) for name, method in found if not name.startswith("_")}


def test_the_asynchronous_face_has_the_same_methods_with_the_same_arguments() -> None:
    blocking, waiting = public(Bursar), public(AsyncBursar)

    assert blocking.keys() == waiting.keys()
    for name, signature in blocking.items():
        assert list(signature.parameters.values()) == list(waiting[name].parameters.values()), name


def numbered(desk: Desk) -> Desk:
    """Give orders keys that are the same at every playing."""
    keys = count(1)
    return attrs.evolve(desk, new_key=lambda: f"key-{next(keys)}", new_token=lambda: "token")


class Play:
    """Play one story on either face and write down all that it answers."""

    def __init__(self, provider: str, folder: Path) -> None:
        self.now, self.provider = float(NOW), provider
        self.sandbox: Any = plugins.sandbox(provider)(clock=lambda: self.now, url="http://service")
        settings = self.sandbox.account(webhook_url="http://pay/webhooks/main")
        settings |= {"blockchain": "USDC_POL"} if provider == "coinpay" else {}
        text = f'[bursar]\ndatabase = "sqlite:///{(folder / "b.db").as_posix()}"\n'
        self.config = read_config(text + account_table(provider, settings), env={})
        self.told: list[str] = []

    def story(self) -> Any:
        """Yield calls, be sent what they answered (or the error), and play the sandbox in between."""
        order = yield "open_order", {"reference": "1", "amount": "20.00", "currency": "USD"}
        yield "open_order", {"reference": "1", "amount": "21.00", "currency": "USD"}
        key = order.key
        yield "fulfil", {"order_key": key, "who": "me"}
        payment = yield "start_payment", {"order_key": key}
        yield "start_payment", {"order_key": key}
        self.sandbox.pay(payment.payment_id)
        yield "sync", {"order_key": key}
        self.sandbox.confirm(payment.payment_id)
        while due := self.sandbox.due():
            for outgoing in due:
                headers = dict(outgoing.headers)
                answer = yield "receive", {"account": "main", "body": outgoing.body, "headers": headers}
                self.sandbox.answered(outgoing, answer.status)
        yield "receive", {"account": "main", "body": b"{}", "headers": {}}
        self.now += 120
        yield "run_due", {}
        yield "fulfil", {"order_key": key, "who": "me", "why": "sent"}
        yield "refund", {"order_key": key, "amount": "5.00", "who": "me", "operation": "r1"}
        yield "refund", {"order_key": key, "amount": "15.01", "who": "me", "operation": "r2"}
        yield "record_refund", {"order_key": key, "number": 1, "transaction": "0x1", "who": "me"}
        yield "withdraw_refund", {"order_key": key, "number": 1, "who": "me"}
        yield "accept", {"order_key": key, "who": "me"}
        yield "cancel", {"order_key": key, "who": "me"}
        yield "resolve", {"order_key": key, "review": "tie:1:", "who": "me"}
        yield "adopt", {"order_key": key, "account": "main", "payment_id": payment.payment_id}
        for name in ("order", "history", "deliveries"):
            yield name, {"order_key": key}
        yield "find", {"reference": "1"}
        yield "find", {"reference": "2"}
        for name in ("orders", "parked", "check", "run_due"):
            yield name, {}

    def write(self, call: Call, answer: Any) -> None:
        if call[0] == "deliveries":
            # Those of one second are in the order of their bytes, which hold an id drawn at random.
            answer = sorted(answer, key=lambda delivery: delivery.event)
        if hasattr(answer, "document"):
            answer = answer.document(merchant=True)
        self.told.append(f"{call[0]}: {attrs.asdict(answer) if attrs.has(type(answer)) else answer}")

    def blocking(self) -> list[str]:
        with Bursar(self.config, clock=lambda: self.now, transport=Bridge(self.sandbox.app)) as bursar:
            bursar.desk = numbered(bursar.desk)
            self._play(lambda name, arguments: getattr(bursar, name)(**arguments))
        return self.told

    def waiting(self) -> list[str]:
        async def scene() -> None:
            transport = httpx.ASGITransport(app=self.sandbox.app)
            async with AsyncBursar(self.config, clock=lambda: self.now, transport=transport) as bursar:
                bursar.desk = numbered(bursar.desk)
                story, answer = self.story(), None
                while True:
                    try:
                        call = story.send(answer)
                    except StopIteration:
                        return
                    try:
                        answer = await getattr(bursar, call[0])(**call[1])
                    except BursarError as error:
                        answer = error
                    self.write(call, answer)

        asyncio.run(scene())
        return self.told

    def _play(self, carry: Callable[[str, dict[str, Any]], Any]) -> None:
        story, answer = self.story(), None
        while True:
            try:
                call = story.send(answer)
            except StopIteration:
                return
            try:
                answer = carry(*call)
            except BursarError as error:
                answer = error
            self.write(call, answer)


@pytest.mark.parametrize("provider", ["btcpay", "coinpay"])
def test_both_faces_answer_the_same_story_in_the_same_words(provider: str, tmp_path: Path) -> None:
    ends: list[list[str]] = []
    for face in ("blocking", "waiting"):
        folder = tmp_path / face
        folder.mkdir()
        ends.append(getattr(Play(provider, folder), face)())

    assert len(ends[0]) >= 28
    assert ends[0] == ends[1]
