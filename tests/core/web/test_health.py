import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from bursar.web import create_app

Play = Callable[[Coroutine[Any, Any, Any]], Any]


async def health(app: Any) -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1"
    ) as client:
        return await client.get("/health")


def test_a_server_whose_courier_works_elsewhere_is_healthy(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            answer = await home.client.get("/health")
            assert answer.status_code == 200
            assert answer.json() == {"healthy": True, "courier": "elsewhere", "late_by": 0}

    play(story())


def test_due_work_that_nobody_does_shows(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            order = await home.bursar.open_order(reference="1", amount="10.00", currency="USD")
            await home.bursar.start_payment(order.key)
            home.now += 100_000
            assert (await home.client.get("/health")).json()["late_by"] > 90_000

    play(story())


def test_a_courier_is_alive_while_the_application_runs_and_missed_when_it_has_stopped(
    house: Any, play: Play
) -> None:
    async def story() -> None:
        async with house() as home:
            app = create_app(home.bursar)
            told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            answers: asyncio.Queue[Any] = asyncio.Queue()
            await told.put({"type": "lifespan.startup"})
            scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
            running = asyncio.create_task(app(scope, told.get, answers.put))
            assert (await answers.get())["type"] == "lifespan.startup.complete"
            assert (await health(app)).json() == {"healthy": True, "courier": "running", "late_by": 0}

            home.bursar.courier.stop()
            for _ in range(1_000):
                answer = await health(app)
                if answer.status_code != 200:
                    break
            assert answer.status_code == 503
            assert answer.json()["courier"] == "stopped"
            await told.put({"type": "lifespan.shutdown"})
            await running

    play(story())


def test_a_database_that_is_away_is_not_healthy(house: Any, play: Play) -> None:
    async def story() -> None:
        async with house() as home:
            with home.bursar.desk.store.database.engine.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE bursar_due RENAME TO gone")
            answer = await home.client.get("/health")
            assert (answer.status_code, answer.json()["healthy"]) == (503, False)

    play(story())
