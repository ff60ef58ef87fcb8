from pathlib import Path

import pytest

from bursar.testing.faults import OPERATIONS, Edge, Operation
from bursar.testing.faults.edges import Place
from bursar.testing.faults.killing import kill_everywhere, kill_once
from bursar.testing.faults.victim import ACTS, KILLS

pytestmark = [pytest.mark.processes, pytest.mark.slow]
KILLABLE = [operation for operation in OPERATIONS if operation.name in ACTS]
# Telling the shop commits nothing of its own: the visit is given back, and what was told before that is told again.
PLACES = [
    pytest.param(operation, edge, id=f"{operation.title}: {edge.name}")
    for operation in KILLABLE
    for edge in KILLS
    if not (operation.provider == "http" and edge.place is Place.COMMIT)
]


@pytest.mark.parametrize(("operation", "edge"), PLACES)
def test_a_process_that_is_killed_leaves_one_effect_no_loose_end_and_exact_money(
    operation: Operation, edge: Edge, tmp_path: Path
) -> None:
    cell = kill_everywhere(operation, edge, tmp_path)

    assert cell.runs >= 1
    assert list(map(str, cell.broken)) == []


def test_a_process_that_lives_on_is_noticed(tmp_path: Path) -> None:
    assert kill_once(KILLABLE[0], KILLS[0], 99, tmp_path) == ("the process was not killed, but ended with 0",)
