"""Opening a database brings it to the newest schema, once, whoever comes at the same moment."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from bursar.errors import ConfigError
from bursar.store import Store, open_store, schema
from bursar.store.engine import make_engine


def opened(url: str) -> Store:
    return open_store(url, wake=lambda _: None, tell=lambda _: False)


def version(store: Store) -> list[tuple[str]]:
    with store.database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT version_num FROM bursar_version")]


def test_the_migrations_make_exactly_the_tables_that_the_code_works_with(url: str) -> None:
    store = opened(url)
    with store.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": "bursar_version"}
        )
        assert compare_metadata(context, schema.metadata) == []
        made = inspect(connection)
        for table in schema.metadata.sorted_tables:
            assert made.get_pk_constraint(table.name)["constrained_columns"] == [
                column.name for column in table.primary_key.columns
            ]
    store.close()


def test_a_file_is_strict_and_keeps_short_rows_in_the_order_of_their_key(tmp_path: Path) -> None:
    store = opened(f"sqlite:///{tmp_path / 'orders.db'}")
    with store.database.engine.connect() as connection:
        made = {
            name: sql
            for name, sql in connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
            )
            if name in schema.metadata.tables
        }
    store.close()

    assert len(made) == len(schema.metadata.tables) == 10
    for name, sql in made.items():
        options = sql.rpartition(")")[2]
        assert "STRICT" in options, name
        assert ("WITHOUT ROWID" in options) is (name not in {"bursar_deliveries", "bursar_parked"}), name


def test_opening_again_changes_nothing(url: str) -> None:
    first = opened(url)
    before = version(first)
    second = opened(url)

    assert version(second) == before
    assert len(before) == 1
    first.close()
    second.close()


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    store = opened(url)
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE bursar_version SET version_num = '9999'")
    store.close()

    with pytest.raises(ConfigError, match="newer version"):
        opened(url)


def test_many_that_open_an_empty_database_at_once_all_succeed(url: str) -> None:
    together = Barrier(6)

    def start(_: int) -> list[tuple[str]]:
        together.wait()
        store = opened(url)
        try:
            return version(store)
        finally:
            store.close()

    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(start, range(6)))

    assert versions == [versions[0]] * 6


@pytest.mark.slow
@pytest.mark.processes
def test_many_processes_that_open_an_empty_database_at_once_all_succeed(url: str) -> None:
    code = (
        "import sys; from bursar.store import open_store;"
        "sys.stdin.readline();"
        "open_store(sys.argv[1], wake=lambda d: None, tell=lambda s: False).close(); print('open')"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["open"] * 4


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    engine = make_engine(f"sqlite:///{path}")
    with engine.execution_options(writes=True).begin() as connection:
        # The last table that the first migration makes.
        connection.exec_driver_sql("CREATE TABLE bursar_parked (mine TEXT)")

    with pytest.raises(ConfigError, match="bursar_parked already exists"):
        opened(f"sqlite:///{path}")

    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["bursar_parked"]
    engine.dispose()
