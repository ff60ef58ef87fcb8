import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from bursar.cli.carrying import Carrier, post
from bursar.cli.demo.clock import Clock
from bursar.cli.demo.road import Road
from bursar.testing.sandboxes import Outgoing


class Hook:
    """A webhook URL that remembers what came."""

    def __init__(self, *answers: int) -> None:
        self.came = list[str]()
        self.answers = list(answers)
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.came.append(request.content.decode())
        return httpx.Response(self.answers.pop(0) if self.answers else 200)


def outgoing(body: str) -> Outgoing:
    headers = (("Content-Type", "application/json"), ("Content-Length", "3"))
    return Outgoing(body, "http://server.example/hook", headers, body.encode(), event=body)


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_a_sound_road_carries_each_once_and_tells_the_answer() -> None:
    async def story() -> None:
        hook = Hook(200, 503)
        road = Road(hook.client)

        assert [await road(outgoing("a")), await road(outgoing("b"))] == [200, 503]
        assert hook.came == ["a", "b"]
        assert (road.carried, road.doubled, road.lost) == (2, 0, 0)

    in_loop(story)


def test_copies_arrive_and_the_first_answer_counts() -> None:
    async def story() -> None:
        hook = Hook(503, 200, 200)
        road = Road(hook.client)
        road.copies = 3

        assert await road(outgoing("a")) == 503
        assert hook.came == ["a", "a", "a"]
        assert road.doubled == 2

    in_loop(story)


def test_what_is_lost_never_arrives_and_its_sender_does_not_know() -> None:
    async def story() -> None:
        hook = Hook()
        road = Road(hook.client)
        road.loses = True

        assert await road(outgoing("a")) == 200
        road.mend()
        await road(outgoing("b"))
        assert hook.came == ["b"]
        assert (road.lost, road.last_lost) == (1, "a")

    in_loop(story)


def test_what_was_held_arrives_backwards() -> None:
    async def story() -> None:
        hook = Hook()
        road = Road(hook.client)
        road.holds = True
        for name in "abc":
            assert await road(outgoing(name)) == 200
        assert hook.came == []

        assert await road.release() == 3
        await road(outgoing("d"))
        assert hook.came == ["c", "b", "a", "d"]

    in_loop(story)


def test_no_answer_is_no_status() -> None:
    async def story() -> None:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("nobody there")

        async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
            assert await post(client, outgoing("a")) is None

    in_loop(story)


def test_a_sandboxs_deliveries_are_carried_in_order_and_each_is_answered() -> None:
    class Sandbox:
        def __init__(self) -> None:
            self.waiting = [outgoing("a"), outgoing("b")]
            self.told = list[tuple[str, int | None]]()

        def due(self) -> list[Outgoing]:
            waiting, self.waiting = self.waiting, []
            return waiting

        def answered(self, one: Outgoing, status: int | None) -> None:
            self.told.append((one.id, status))

    async def story() -> None:
        hook, sandbox = Hook(200, 500), Sandbox()
        carrier = Carrier(sandbox, Road(hook.client))  # type: ignore[arg-type]

        assert await carrier.carry_due() == 2
        assert await carrier.carry_due() == 0
        assert sandbox.told == [("a", 200), ("b", 500)]

    in_loop(story)


def test_the_clock_runs_with_real_time_and_leaps_forward_only() -> None:
    real = [100.0]
    clock = Clock(lambda: real[0])

    clock.let_pass(20 * 60)
    real[0] += 1

    assert clock() == 1301.0
    with pytest.raises(ValueError, match="does not go back"):
        clock.let_pass(-1)
