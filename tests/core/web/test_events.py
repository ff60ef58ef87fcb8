import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.applications import Starlette

from bursar.web.buyer import Buyer
from bursar.web.watching import Watcher, version_of

Play = Callable[[Coroutine[Any, Any, Any]], Any]


class Stream:
    """A reader of server-sent events, driven by hand: no server, no clock."""

    def __init__(self, app: Any, path: str) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.gone = asyncio.Event()
        headers = [(b"accept", b"text/event-stream"), (b"host", b"127.0.0.1")]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": headers}
        scope |= {"query_string": b"", "root_path": "", "scheme": "http", "server": ("127.0.0.1", 80)}
        scope |= {"asgi": {"version": "3.0", "spec_version": "2.3"}}
        self.task = asyncio.create_task(app(scope, self._receive, self.sent.put))
        self.asked = False

    async def _receive(self) -> dict[str, Any]:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> dict[str, Any]:
        found: dict[str, Any] = await asyncio.wait_for(self.sent.get(), 10)
        return found


async def opened(home: Any) -> tuple[Any, Any, Watcher, Any]:
    order = await home.bursar.open_order(reference="1001", amount="10.00", currency="USD")
    payment = await home.bursar.start_payment(order.key)
    watcher = Watcher(home.bursar)
    return order, payment, watcher, Starlette(routes=Buyer(home.bursar, watcher).routes())


def events_of(order: Any) -> str:
    return str(order.checkout_url).removeprefix("http://127.0.0.1:8000") + "/events"


def test_a_stream_begins_with_how_it_stands_tells_each_change_and_ends_when_all_is_done(
    house: Any, play: Play
) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment, watcher, app = await opened(home)
            stream = Stream(app, events_of(order))
            assert dict((await stream.next())["headers"])[b"content-type"].startswith(b"text/event-stream")
            first = version_of(await home.bursar.order(order.key))
            assert f"data: {first}\n\n".encode() in (await stream.next())["body"]
            while not watcher.listeners:
                await asyncio.sleep(0)

            for act in (home.sandbox.pay, home.sandbox.confirm):
                act(payment.payment_id)
                await home.deliver()
                await watcher.look()
                now = version_of(await home.bursar.order(order.key))
                assert f"data: {now}\n\n".encode() in (await stream.next())["body"]
            end = await stream.next()
            assert (end["body"], end["more_body"]) == (b"", False)
            await stream.task
            assert watcher.listeners == {}

    play(story())


def test_who_comes_to_a_finished_order_is_told_not_to_come_again(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, payment, _, app = await opened(home)
            home.sandbox.pay(payment.payment_id)
            home.sandbox.confirm(payment.payment_id)
            await home.deliver()
            assert (await Stream(app, events_of(order)).next())["status"] == 204
            # Money that goes back is something to wait for again.
            await home.bursar.refund(order.key, who="desk", amount="4.00")
            stream = Stream(app, events_of(order))
            assert (await stream.next())["status"] == 200
            stream.gone.set()
            await stream.task

    play(story())


def test_a_reader_who_goes_away_is_forgotten(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _, watcher, app = await opened(home)
            streams = [Stream(app, events_of(order)) for _ in range(3)]
            while watcher.listeners.get(order.key) != 3:
                await asyncio.sleep(0)
            for stream in streams:
                stream.gone.set()
                await stream.task
            assert (watcher.listeners, watcher.changed, watcher.versions) == ({}, {}, {})

    play(story())


def test_all_readers_of_one_order_cost_one_look(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order, _, watcher, app = await opened(home)
            streams = [Stream(app, events_of(order)) for _ in range(5)]
            while watcher.listeners.get(order.key) != 5:
                await asyncio.sleep(0)
            looked: list[str] = []
            store = home.bursar.desk.store
            get = store.get

            def counted(key: str) -> Any:
                looked.append(key)
                return get(key)

            store.get = counted
            await watcher.look()
            assert looked == [order.key]
            await watcher.stop()
            for stream in streams:
                await stream.task

    play(story())
