import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import jsonschema
import pytest

from bursar import AsyncBursar, read_config
from bursar.plugins import sandbox
from bursar.testing.stage import account_table
from bursar.web import create_app
from bursar.web.openapi import document

KEY = "key-of-the-shop"
DESCRIBED = document("http://127.0.0.1:8000")


def described(method: str, path: str, status: int) -> dict[str, Any]:
    """Return the schema that the API's description has for an answer."""
    for template, operations in DESCRIBED["paths"].items():
        wanted = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(wanted, path.partition("?")[0]) and method.lower() in operations:
            answers = operations[method.lower()]["responses"]
            found: dict[str, Any] = answers.get(str(status)) or answers["default"]
            assert found is not answers["default"] or status >= 400, (
                f"{method} {path}: {status} is not described"
            )
            schema: dict[str, Any] = found["content"]["application/json"]["schema"]
            return schema
    return {"$ref": "#/components/schemas/Error"}


@attrs.define
class House:
    """A whole Bursar behind its ASGI application, beside a sandbox, on one clock."""

    bursar: AsyncBursar
    app: Any
    client: httpx.AsyncClient
    sandbox: Any
    now: float

    async def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Call the API with its key. Whatever it answers must be as its description says."""
        headers = {"Authorization": f"Bearer {KEY}"} | more.pop("headers", {})
        answer = await self.client.request(method, path, headers=headers, **more)
        schema = described(method, path, answer.status_code) | {"components": DESCRIBED["components"]}
        jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
        return answer

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
