"""Opening: which databases can serve, how their connections are set up, and what is said of one that cannot."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bursar.errors import ConfigError
from bursar.store import Store, open_store

if TYPE_CHECKING:
    from tests.core.store.conftest import Till


def opened(url: str) -> Store:
    return open_store(url, wake=lambda _: None, tell=lambda _: False)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_that_would_keep_nothing_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is a file"):
        opened(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("orders.db", "not one; write sqlite:///path"),
        ("", "not one; write sqlite:///path"),
        ("mysql://me:hunter2@host/name", "begins with 'mysql'"),
        ("postgresql+asyncpg://me:hunter2@host/name", "begins with 'postgresql\\+asyncpg'"),
        (
            "postgresql://me:hunter2@127.0.0.1:1/name?connect_timeout=1",
            "me:\\*\\*\\*@127.0.0.1:1/name.* cannot be used",
        ),
        ("://me:hunter2@host", "not one; write sqlite:///path"),
    ],
)
def test_a_url_that_cannot_serve_is_named_with_its_cure_and_without_its_password(
    url: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        opened(url)

    assert "hunter2" not in str(raised.value)
    # Nor is it in what Python prints above the error.
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        opened(f"sqlite:///{tmp_path / 'nowhere' / 'orders.db'}")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    path.write_bytes(b"this is not a database, and long enough to be seen as none " * 20)

    with pytest.raises(ConfigError, match="file is not a database"):
        opened(f"sqlite:///{path}")


def test_every_connection_commits_durably(till: "Till") -> None:
    database = till.store.database
    with database.engine.connect() as connection:
        if database.on_postgres:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        else:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_server_that_does_not_wait_for_its_disk_is_made_to(till: "Till") -> None:
    with till.store.database.engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.commit()

    till.reopen()

    with till.store.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
