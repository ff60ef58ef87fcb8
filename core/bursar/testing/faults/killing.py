"""`kill -9` of a real process at every edge of every operation; then the same recovery and the same judgement as in the matrix."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn

from bursar.testing.faults.edges import Edge, Trap
from bursar.testing.faults.matrix import Broken, Cell, Variation, at_full_speed, length
from bursar.testing.faults.operations import Operation, broken_promises
from bursar.testing.faults.scene import Scene, ShopServer

__all__ = ["kill_everywhere", "kill_once"]

_PATIENCE: Final = 60


def kill_everywhere(operation: Operation, edge: Edge, folder: Path) -> Cell:
    """Kill a process at *edge*, at each request or commit of *operation* in turn."""
    runs, broken = 0, list[Broken]()
    for nth in range(1, length(operation, edge.place) + 1):
        place = folder / f"{runs}"
        place.mkdir()
        runs += 1
        broken += [
            Broken(operation.title, edge.name, nth, Variation(), p)
            for p in kill_once(operation, edge, nth, place)
        ]
    return Cell(operation, edge, runs, tuple(broken))


def kill_once(operation: Operation, edge: Edge, nth: int, folder: Path) -> tuple[str, ...]:
    """Kill a process in the midst of *operation*, recover in another, and return the promises that do not hold."""
    tells_shop = operation.provider == "http"
    with at_full_speed():
        scene = Scene("btcpay" if tells_shop else operation.provider, folder, Trap())
        try:
            operation.prepare(scene)
            with served(scene.sandbox.app) as service, served(_shop_app(scene.shop)) as shop:
                config = folder / "victim.toml"
                text = scene.text.replace("http://service", f"http://{service}").replace(
                    "http://shop/", f"http://{shop}/"
                )
                config.write_text(text, encoding="utf-8")
                ended = _run(config, operation, edge, nth, shop if tells_shop else service, scene.now)
            if ended != -signal.SIGKILL:
                return (f"the process was not killed, but ended with {ended}",)
            operation.go_on(scene)
            operation.finish(scene)
            scene.wait(3_600)
            return tuple(broken_promises(scene, operation))
        finally:
            scene.close()


def _run(config: Path, operation: Operation, edge: Edge, nth: int, host: str, now: float) -> int:
    words = [str(config), operation.name, edge.name, str(nth), host, str(now)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    process = subprocess.run(
        [sys.executable, "-m", "bursar.testing.faults.victim", *words],
        env=environment,
        timeout=_PATIENCE,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return process.returncode


class _Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: the server is a guest in this process."""
        yield


@contextmanager
def served(app: Any) -> Generator[str]:
    """Serve *app* on a free port of this machine, in a thread; yield `host:port`."""
    listener = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {"log_config": None, "lifespan": "off", "ws": "none"}
    server = _Quiet(uvicorn.Config(app, date_header=False, server_header=False, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def _shop_app(shop: ShopServer) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        answer = shop.answer(
            httpx.Request("POST", "http://shop/bursar", headers=headers, content=bytes(body))
        )
        await send({"type": "http.response.start", "status": answer.status_code, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app
