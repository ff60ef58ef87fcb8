import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import structlog
import uvicorn
from typer.testing import CliRunner, Result

from bursar import plugins
from bursar.cli.app import app
from bursar.config import load_config
from bursar.service import Bursar
from bursar.store import open_store
from bursar.testing.stage import account_table
from bursar.views import OrderView


@attrs.define
class Service:
    """A sandbox that is really served, at *url*; its clock is *ahead* of the machine's by so many seconds."""

    sandbox: Any = None
    url: str = ""
    ahead: float = 0

    def clock(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="session")
def services() -> Iterator[Mapping[str, Service]]:
    """Serve both sandboxes over real HTTP, for all tests."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    made: dict[str, Service] = {}
    for name in ("btcpay", "coinpay"):
        listener = socket.create_server(("127.0.0.1", 0))
        service = made[name] = Service(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        service.sandbox = plugins.sandbox(name)(clock=service.clock, url=service.url, seed=7)
        config = uvicorn.Config(
            service.sandbox.app,
            log_level="error",
            ws="none",
            lifespan="off",
            date_header=False,
            server_header=False,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
    yield made
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(10)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the tables once; each test gets a copy."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    open_store(f"sqlite:///{path}", wake=lambda _: None, tell=lambda _: False).close()
    return path


class Site:
    """A configured Bursar in a folder of its own, used by its command line as a person would."""

    def __init__(self, folder: Path, services: Mapping[str, Service]) -> None:
        self.folder, self.services = folder, services
        self.config = folder / "bursar.toml"
        self._bursar: Bursar | None = None
        lines = [
            "[bursar]",
            'database = "sqlite:///bursar.db"',
            'api_key = "literal:key"',
            'account = "btcpay"',
        ]
        for name, service in services.items():
            given = service.sandbox.account(webhook_url=f"http://127.0.0.1:8000/webhooks/{name}")
            if name == "coinpay":
                given |= {"blockchain": "USDC_POL"}
            lines.append(account_table(name, given, name=name))
            # What is left of another test is none of this one's.
            while due := service.sandbox.due():
                for outgoing in due:
                    service.sandbox.answered(outgoing, 200)
            service.ahead = 0
        self.config.write_text("\n".join(lines), encoding="utf-8")

    def __call__(self, *args: str) -> Result:
        """Run a command with this configuration."""
        env = {"BURSAR_CONFIG": str(self.config), "BURSAR_WHO": "Ada", "COLUMNS": "200", "NO_COLOR": "1"}
        return CliRunner(env=env).invoke(app, list(args))

    @property
    def bursar(self) -> Bursar:
        """The server that works on the same database, on the sandboxes' clock."""
        if self._bursar is None:
            clock = self.services["btcpay"].clock
            # Everything here is plain HTTP on loopback; reading certificates would take longer than all the rest.
            transport = httpx.HTTPTransport(verify=False)
            self._bursar = Bursar(load_config(self.config, env={}), clock=clock, transport=transport)
        return self._bursar

    def close(self) -> None:
        if self._bursar is not None:
            self._bursar.close()
            self._bursar = None

    def write(self, text: str, *, instead_of: str = "") -> None:
        """Change the configuration; whatever is opened from now on sees it."""
        self.close()
        old = self.config.read_text(encoding="utf-8")
        new = old.replace(instead_of, text) if instead_of else old + text
        self.config.write_text(new, encoding="utf-8")

    def wait(self, seconds: float) -> None:
        for service in self.services.values():
            service.ahead += seconds

    def order(self, reference: str = "1001", *, amount: str = "10.00", account: str = "") -> OrderView:
        """Open an order and start its payment, as a shop would."""
        order = self.bursar.open_order(reference=reference, amount=amount, currency="USD")
        self.bursar.start_payment(order.key, account=account)
        return self.bursar.order(order.key)

    def paid(self, reference: str = "1001", *, share: str = "1", account: str = "btcpay") -> OrderView:
        """Open an order and have it paid, told by webhooks."""
        order = self.order(reference, account=account)
        assert order.payment is not None
        payment_id = order.payment.payment_id
        if account == "coinpay":
            self.services[account].sandbox.choose_worker(payment_id, "A")
        self.pay(order, share=share)
        return self.bursar.order(order.key)

    def pay(self, order: OrderView, *, share: str = "1") -> None:
        """Have *order* paid, some seconds later, and the server told."""
        assert order.payment is not None
        sandbox = self.services[order.payment.account].sandbox
        self.wait(5)
        sandbox.pay(order.payment.payment_id, share=Decimal(share))
        sandbox.confirm(order.payment.payment_id)
        self.deliver()

    def paid_late(self, reference: str = "1001") -> OrderView:
        """Open an order and have it paid when its time had run out."""
        order = self.order(reference)
        self.wait(20 * 60)
        self.pay(order)
        return order

    def deliver(self) -> None:
        """Carry every delivery that is due, and let the courier ask where something is in doubt."""
        for name, service in self.services.items():
            while due := service.sandbox.due():
                for outgoing in due:
                    answer = self.bursar.receive(name, outgoing.body, dict(outgoing.headers))
                    service.sandbox.answered(outgoing, answer.status)
        self.wait(5)
        self.bursar.run_due()


@pytest.fixture
def site(tmp_path: Path, services: Mapping[str, Service], empty_database: Path) -> Iterator[Site]:
    shutil.copy(empty_database, tmp_path / "bursar.db")
    made = Site(tmp_path, services)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Leave no set-up of the log behind: it is the whole process's."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command without any configuration."""

    def invoke(*args: str, **env: str) -> Result:
        return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", **env}).invoke(app, list(args))

    return invoke


@pytest.fixture
def unused_port() -> int:
    """Name a port at which nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
