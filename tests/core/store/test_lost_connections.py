"""When the database goes away: before the commit nothing was taken and it is done again; during it, the server is asked."""

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, event

from bursar.errors import Busy, OutcomeUnknown
from bursar.facts import Word
from bursar.lifecycle import OrderStatus
from bursar.work import OnOrder

if TYPE_CHECKING:
    from tests.core.store.conftest import Till

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.parametrize("url", ["postgres"], indirect=True),
]


def cut(till: "Till", connection: Connection | None = None) -> None:
    """End the server's side of *connection*, or of every connection to the database."""
    own: Any = connection.connection.dbapi_connection if connection else None
    with psycopg.connect(till.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid = coalesce(%s, pid)",
            (own.info.backend_pid if own else None,),
        )


def test_connections_that_went_away_while_idle_are_made_again(till: "Till") -> None:
    key = till.paid_order()
    cut(till)

    (answer,) = till.do(till.says("p1", Word.SETTLED, 200))
    cut(till)

    assert answer.kept == till.kept(key)
    assert till.status(key) is OrderStatus.PAID


def test_a_connection_lost_within_the_step_is_done_again_once_and_for_all(till: "Till") -> None:
    key = till.paid_order()
    times: list[int] = []

    def change(dossier: Any) -> Any:
        times.append(1)
        if len(times) == 1:
            cut(till)
        return till.opening(key, "p2", at=200).change(dossier)

    (answer,) = till.do(OnOrder(key, change, 200, "opened"))

    assert len(times) >= 2
    assert answer.kept is not None
    assert [p.payment_id for p in answer.kept.dossier.payments] == ["p1", "p2"]
    till.reopen()
    assert till.kept(key) == answer.kept


def test_a_connection_lost_before_the_commit_arrives_is_known_to_have_kept_nothing_and_done_again(
    till: "Till",
) -> None:
    key = till.paid_order()
    cuts: list[Connection] = []

    def before(connection: Connection) -> None:
        if not cuts:
            cuts.append(connection)
            cut(till, connection)

    event.listen(till.store.database.engine, "commit", before)
    (answer,) = till.do(till.opening(key, "p2", at=200))

    assert cuts
    assert answer.kept is not None
    assert len(answer.kept.dossier.payments) == 2
    till.reopen()
    assert till.kept(key) == answer.kept


def commit_then_lose(till: "Till") -> list[int]:
    """Let the server commit, and lose its answer: the connection ends once the commit has been carried out."""
    dialect: Any = till.store.database.engine.dialect
    original, lost = dialect.do_commit, list[int]()

    def do_commit(connection: Any) -> None:
        original(connection)
        if not lost:
            lost.append(1)
            pid = connection.driver_connection.info.backend_pid
            with psycopg.connect(till.url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            # What the driver says when the server is gone.
            connection.cursor().execute("SELECT 1")

    dialect.do_commit = do_commit
    return lost


def test_a_commit_whose_answer_is_lost_is_looked_up_and_not_done_twice(till: "Till") -> None:
    key = till.paid_order()
    lost = commit_then_lose(till)

    (answer,) = till.do(till.opening(key, "p2", at=200))

    assert lost
    assert answer.kept is not None
    assert [p.payment_id for p in answer.kept.dossier.payments] == ["p1", "p2"]
    till.reopen()
    assert till.kept(key) == answer.kept


def test_a_commit_that_cannot_be_looked_up_is_told_as_unknown_never_as_not_taken(
    till: "Till", monkeypatch: pytest.MonkeyPatch
) -> None:
    key = till.paid_order()
    commit_then_lose(till)

    def unreachable(_: object) -> None:
        raise sqlalchemy.exc.OperationalError("connect", {}, psycopg.OperationalError("no route to host"))

    database = till.store.database
    monkeypatch.setattr(database._reading, "connect", lambda: unreachable(None))

    with pytest.raises(OutcomeUnknown):
        till.store.step([till.opening(key, "p2", at=200)])


def test_a_server_that_stays_away_takes_nothing_and_says_so(till: "Till") -> None:
    name = till.url.partition("@/")[2].partition("?")[0]
    cut(till)
    server = till.url.replace(f"@/{name}?", "@/postgres?")
    with psycopg.connect(server, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} RENAME TO {name}_away".encode())

    with pytest.raises(Busy):
        till.store.step([till.new("A-1")])
    with pytest.raises(Busy):
        till.store.get("any")

    with psycopg.connect(server, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name}_away RENAME TO {name}".encode())
    assert till.do(till.new("A-1"))[0].fresh
