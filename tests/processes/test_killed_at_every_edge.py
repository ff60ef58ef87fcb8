from pathlib import Path

import pytest

from bursar.testing.faults import OPERATIONS
from bursar.testing.faults.killing import kill_everywhere, kill_once
from bursar.testing.faults.victim import ACTS, KILLS

pytestmark = [pytest.mark.processes, pytest.mark.slow]
KILLABLE = [operation for operation in OPERATIONS if operation.name in ACTS]


@pytest.mark.parametrize("edge", KILLS, ids=lambda edge: edge.name)
@pytest.mark.parametrize("operation", KILLABLE, ids=lambda operation: operation.title)
def test_a_process_that_is_killed_leaves_one_effect_no_loose_end_and_exact_money(
    operation: object, edge: object, tmp_path: Path
) -> None:
    cell = kill_everywhere(operation, edge, tmp_path)  # type: ignore[arg-type]

    assert list(map(str, cell.broken)) == []


def test_a_process_that_lives_on_is_noticed(tmp_path: Path) -> None:
    assert kill_once(KILLABLE[0], KILLS[0], 99, tmp_path) == ("the process was not killed, but ended with 0",)
