import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar import AsyncBursar, read_config
from bursar.plugins import sandbox
from bursar.testing.stage import account_table
from bursar.web import create_app

KEY = "key-of-the-shop"


@attrs.define
class House:
    """A whole Bursar behind its ASGI application, beside a sandbox, on one clock."""

    bursar: AsyncBursar
    app: Any
    client: httpx.AsyncClient
    sandbox: Any
    now: float

    async def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(method, path, headers={"Authorization": f"Bearer {KEY}"}, **more)

    async def deliver(self) -> None:
        while due := self.sandbox.due():
            for outgoing in due:
                answer = await self.client.post(
                    "/webhooks/main", content=outgoing.body, headers=dict(outgoing.headers)
                )
                self.sandbox.answered(outgoing, answer.status_code)


Build = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def house(tmp_path: Path) -> Build:
    @asynccontextmanager
    async def build(
        provider: str = "btcpay", *, settings: dict[str, str] | None = None, server: str = "", more: str = ""
    ) -> AsyncIterator[House]:
        made: list[House] = []

        def clock() -> float:
            return made[0].now if made else 1_790_000_000.0

        fake: Any = sandbox(provider)(clock=clock, url="http://127.0.0.1:9")
        given = fake.account(webhook_url="http://127.0.0.1:8000/webhooks/main") | (settings or {})
        text = (
            f'[bursar]\ndatabase = "sqlite:///{(tmp_path / "bursar.db").as_posix()}"\naccount = "main"\n'
            f'api_key = "literal:{KEY}"\n{server}\n{account_table(provider, given)}{more}'
        )
        bursar = AsyncBursar(
            read_config(text, env={}), clock=clock, transport=httpx.ASGITransport(app=fake.app)
        )
        app = create_app(bursar, run_courier=False)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            made.append(House(bursar, app, client, fake, 1_790_000_000.0))
            try:
                yield made[0]
            finally:
                await bursar.close()

    return build


@pytest.fixture
def play() -> Callable[[Any], Any]:
    def run(story: Any) -> Any:
        return asyncio.run(story)

    return run
