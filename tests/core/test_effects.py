import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from bursar.effects import AsyncDriver, Carry, Commit, Driver, Operation, Read, keep, rehearse
from bursar.errors import Busy, PluginBroken, Unavailable
from bursar.flows import Flow, make_async_client, make_client
from bursar.work import Applied, OnOrder, Work

WORK = OnOrder("key", lambda dossier: dossier, 0, "nothing")


class Desk:
    """Take work and answer it at once, as *answer* says."""

    def __init__(self, answer: Applied | Exception | None = None) -> None:
        self.answer = Applied(None) if answer is None else answer
        self.done: list[Work] = []
        self.committed = 0

    def submit(self, work: Work) -> "Future[Applied]":
        self.done.append(work)
        future = Future[Applied]()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        else:
            future.set_result(self.answer)
        return future

    def note(self) -> None:
        self.committed += 1


Run = Callable[[Operation[Any]], Any]


@pytest.fixture(params=["blocking", "asyncio"])
def driver(request: pytest.FixtureRequest) -> Callable[..., Run]:
    def make(
        desk: Desk, answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200)
    ) -> Run:
        transport = httpx.MockTransport(answer)
        if request.param == "blocking":
            return Driver(desk, make_client(transport), desk.note)
        carry = AsyncDriver(desk, make_async_client(transport), desk.note)
        return lambda operation: asyncio.run(carry(operation))

    return make


Make = Callable[..., Run]


def ask() -> Flow[int]:
    response = yield httpx.Request("GET", "https://service.example/")
    return response.status_code


def everything() -> Operation[list[Any]]:
    return [(yield Read(lambda: 7)), (yield Commit(WORK)), (yield Carry(ask()))]


def test_both_drivers_carry_the_same_operation_to_the_same_end(driver: Make) -> None:
    desk = Desk()

    assert driver(desk)(everything()) == [7, Applied(None), 200]
    assert desk.done == [WORK]
    assert desk.committed == 1


def test_an_error_is_thrown_in_where_its_effect_was_asked_for_and_can_be_handled(driver: Make) -> None:
    def careful() -> Operation[str]:
        try:
            yield Commit(WORK)
        except Busy as error:
            said = str(error)
        more: str = yield Read(lambda: ", and went on")
        return said + more

    assert driver(Desk(Busy("full")))(careful()) == "full, and went on"


def test_an_error_that_is_not_handled_reaches_the_caller(driver: Make) -> None:
    desk = Desk(Busy("full"))

    with pytest.raises(Busy):
        driver(desk)(everything())
    assert desk.committed == 0

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(Unavailable):
        driver(Desk(), refuse)(everything())


def test_an_error_of_a_reading_reaches_the_caller(driver: Make) -> None:
    def broken() -> Any:
        raise LookupError("gone")

    def reading() -> Operation[Any]:
        return (yield Read(broken))

    with pytest.raises(LookupError):
        driver(Desk())(reading())


def test_an_answer_about_an_order_has_the_order(driver: Make) -> None:
    with pytest.raises(PluginBroken, match="without the order"):
        driver(Desk())(keep(WORK))


def test_a_caller_that_goes_away_does_not_stop_what_was_submitted() -> None:
    class Slow(Desk):
        def submit(self, work: Work) -> "Future[Applied]":
            self.done.append(work)
            self.future = Future[Applied]()
            self.future.set_running_or_notify_cancel()
            return self.future

    async def scene() -> tuple[bool, bool]:
        desk = Slow()
        async with make_async_client(httpx.MockTransport(lambda _: httpx.Response(200))) as client:
            task = asyncio.create_task(AsyncDriver(desk, client)(everything()))
            while not desk.done:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            desk.future.set_result(Applied(None))
            await asyncio.sleep(0)
        return task.cancelled(), desk.future.cancelled()

    assert asyncio.run(scene()) == (True, False)


def test_a_rehearsal_sends_nothing_and_raises_what_the_flow_refuses_before_its_first_request() -> None:
    steps: list[str] = []

    def flow(*, good: bool) -> Generator[httpx.Request, httpx.Response, None]:
        steps.append("begun")
        if not good:
            raise LookupError("no such coin")
        try:
            yield httpx.Request("GET", "https://service.example/")
            steps.append("answered")
        finally:
            steps.append("closed")

    def silent() -> Generator[httpx.Request, httpx.Response, None]:
        yield from ()

    rehearse(flow(good=True))
    rehearse(silent())
    with pytest.raises(LookupError):
        rehearse(flow(good=False))
    assert steps == ["begun", "closed", "begun"]
