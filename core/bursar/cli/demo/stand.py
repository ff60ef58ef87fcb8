"""The whole stand: two sandboxes, the server and the shop, each at an address of its own, on one clock and one event loop."""

import asyncio
import secrets
import socket
from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from bursar import plugins
from bursar.cli.carrying import Carrier
from bursar.cli.demo.clock import Clock
from bursar.cli.demo.road import Road
from bursar.cli.demo.shop import Choice, Shop
from bursar.cli.demo.till import Till
from bursar.cli.hosting import Served, address_of, listen, make_server
from bursar.config import load_config
from bursar.errors import ConfigError, PluginBroken
from bursar.flows import make_async_client
from bursar.service import AsyncBursar
from bursar.testing.stage import account_table
from bursar.web import create_app

__all__ = ["SERVICES", "Stand", "open_stand"]

SERVICES: Final = ("btcpay", "coinpay")
"""The plugins whose sandboxes are played, in the order in which the shop offers them."""

_HOST: Final = "127.0.0.1"
_USUAL_PORT: Final = 8080
_PAUSE: Final = 0.05


@attrs.frozen
class Stand:
    """Hold what is there to be played with. *urls* are those of the services, the server (`bursar`) and the `shop`."""

    clock: Clock
    urls: dict[str, str]
    sandboxes: dict[str, Any]
    roads: dict[str, Road]
    bursar: AsyncBursar
    shop: Shop
    client: httpx.AsyncClient
    config: Path

    def let_pass(self, seconds: float) -> None:
        """Let *seconds* pass for all of them at once, and wake whoever waits for that time."""
        self.clock.let_pass(seconds)
        self.bursar.courier.nudge()


@asynccontextmanager
async def open_stand(folder: Path, *, port: int | None, account: str) -> AsyncGenerator[Stand, None]:
    """Set everything up in *folder*, with the shop at *port* (None: the usual one if it is free), and take it all down at the end.

    *account* is the one that new payments use. It is everything that a real set-up has: a configuration file, a
    database, signed webhooks in, signed messages out, all over HTTP.
    """
    clock = Clock()
    listeners = {"shop": _shop_listener(port)}
    listeners |= {name: listen(_HOST, 0, cure="free a port") for name in (*SERVICES, "bursar")}
    urls = {name: address_of(listener) for name, listener in listeners.items()}
    sandboxes: dict[str, Any] = {
        name: plugins.sandbox(name)(clock=clock, url=urls[name], seed=secrets.randbits(32))
        for name in SERVICES
    }
    api_key, secret = secrets.token_urlsafe(24), "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    path = folder / "bursar.toml"
    path.write_text(_config(urls, sandboxes, account, api_key, secret), encoding="utf-8")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(make_async_client())
        bursar = AsyncBursar(load_config(path, env={}), clock=clock)
        app = create_app(bursar)

        def let_pass(seconds: float) -> None:
            stand.let_pass(seconds)

        shop = Shop(
            Till(client, url=urls["bursar"], api_key=api_key, secret=secret, clock=clock),
            clock=clock,
            choices=[Choice(name, sandboxes[name].title, f"{urls[name]}/panel") for name in SERVICES],
            default=account,
            let_pass=let_pass,
            config=str(path),
        )
        roads = {name: Road(client) for name in SERVICES}
        stand = Stand(clock, urls, sandboxes, roads, bursar, shop, client, path)
        applications = {name: sandboxes[name].app for name in SERVICES} | {"shop": shop.app, "bursar": app}
        servers = [
            make_server(applications[name], Served, bare=name != "bursar", grace=2) for name in listeners
        ]
        await stack.enter_async_context(_serving(servers, list(listeners.values())))
        for name in SERVICES:
            carrier = Carrier(sandboxes[name], roads[name], pause=_PAUSE)
            await stack.enter_async_context(_running(carrier))
        yield stand


def _shop_listener(port: int | None) -> socket.socket:
    cure = "choose another --port, or 0 for a free one"
    if port is not None:
        return listen(_HOST, port, cure=cure)
    try:
        return listen(_HOST, _USUAL_PORT, cure=cure)
    except ConfigError:
        return listen(_HOST, 0, cure=cure)


@asynccontextmanager
async def _serving(servers: Sequence[Any], listeners: Sequence[socket.socket]) -> AsyncGenerator[None, None]:
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    try:
        while not all(server.started for server in servers):
            if any(task.done() for task in tasks):
                raise PluginBroken("a server of the demo could not start; its log says why")
            await asyncio.sleep(0.01)
        yield
    finally:
        # The last one is Bursar: it talks to all the others until it stops, so it stops first.
        servers[-1].should_exit = True
        await tasks[-1]
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


@asynccontextmanager
async def _running(carrier: Carrier) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(carrier.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _config(urls: dict[str, str], sandboxes: dict[str, Any], account: str, api_key: str, secret: str) -> str:
    """Write the configuration as a person would, with the sandboxes' secrets in clear."""
    lines = [
        "[bursar]",
        'database = "sqlite:///bursar.db"',
        f'public_url = "{urls["bursar"]}"',
        f'api_key = "literal:{api_key}"',
        f'account = "{account}"      # new payments are made here: this one line chooses the provider',
        "",
    ]
    for name, played in sandboxes.items():
        settings = played.account(webhook_url=f"{urls['bursar']}/webhooks/{name}")
        lines.append(account_table(name, settings | _OF_THEIR_OWN.get(name, {}), name=name))
    lines += [
        "[shops.shop]",
        'adapter = "http"',
        f'url = "{urls["shop"]}/bursar"',
        f'secret = "literal:{secret}"',
        "allow_http = true",
        "",
        "[rates]                     # for orders in a currency that a service does not bill in",
        'source = "coinpay"',
        f'url = "{urls["coinpay"]}/api"',
        "allow_http = true",
    ]
    return "\n".join(lines) + "\n"


_OF_THEIR_OWN: Final = {"coinpay": {"blockchain": "USDC_POL"}}
"""A payment at CoinPay is for one coin; where the buyer names none, it is this one."""
