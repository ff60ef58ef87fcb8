from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar import paying
from bursar.effects import Operation as Effects
from bursar.errors import Declined
from bursar.orders import Dossier
from bursar.testing.faults import EDGES, OPERATIONS, Cell, Edge, Matrix, Operation, play_matrix
from bursar.testing.faults.edges import Place, Trap
from bursar.testing.faults.matrix import Variation, at_full_speed, play_cell, play_once

PAGE = Path(__file__).parents[2] / "docs/faults.md"


def operation(title: str) -> Operation:
    return next(one for one in OPERATIONS if one.title == title)


def edge(name: str) -> Edge:
    return next(one for one in EDGES if one.name == name)


@pytest.fixture(autouse=True)
def _fast() -> Iterator[None]:
    with at_full_speed():
        yield


@pytest.mark.parametrize("title", [one.title for one in OPERATIONS])
def test_every_operation_does_its_work_where_nothing_breaks(title: str, tmp_path: Path) -> None:
    trap = Trap()

    assert play_once(operation(title), trap, tmp_path) == ()
    assert trap.requests + trap.commits >= 1


@pytest.mark.parametrize(
    ("title", "name", "nth"),
    [
        ("open, btcpay", "500 with effect", 1),
        ("open, btcpay", "redirect", 2),
        ("open, coinpay", "crash after it is kept", 1),
        ("refund, btcpay", "time-out, answer lost", 3),
        ("refund, btcpay", "crash before the answer is kept", 3),
        ("cancel, btcpay", "200 with garbage, without effect", 2),
        ("receive, coinpay", "kept, database's answer lost", 1),
        ("poll, coinpay", "429 without effect", 1),
        ("tell the shop, http", "answer broken off", 1),
    ],
)
def test_a_fault_leaves_one_effect_no_loose_end_and_exact_money(title: str, name: str, nth: int) -> None:
    cell = play_cell(operation(title), edge(name), variations=[Variation(2)], nth=[nth])

    assert cell.runs == 1
    assert cell.broken == ()


def unknown_is_taken_for_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake that makes a second payment: to take an unknown outcome for a refusal."""

    def find(*_: object) -> Effects[None]:
        raise Declined("taken for refused")
        yield

    monkeypatch.setattr(paying, "_find", find)
    monkeypatch.setattr(paying, "_open_payment", lambda *_: None)


def intent_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake that sends a refund twice: to send it before it is durable that it is being sent."""

    def forgetful(dossier: Dossier, number: int, *, at: int) -> Dossier:
        return dossier

    monkeypatch.setattr("bursar.refundsending.refund_sent", forgetful)


def lookup_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake that loses a payment: to leave an unknown outcome as it is."""
    monkeypatch.setattr("bursar.agenda._SENDING_FOR", 10**9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "title", "name"),
    [
        (unknown_is_taken_for_refused, "open, btcpay", "time-out, answer lost"),
        (intent_is_not_kept, "refund, btcpay", "time-out, answer lost"),
        (lookup_is_forgotten, "open, btcpay", "crash before the answer is kept"),
        (lookup_is_forgotten, "refund, btcpay", "crash before the answer is kept"),
    ],
)
def test_the_matrix_notices_a_mistake_that_would_cost_money(
    mistake: Callable[[pytest.MonkeyPatch], None], title: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = operation(title)
    last = 3 if one.name == "refund" else 1
    assert play_cell(one, edge(name), variations=[Variation(webhooks=False)], nth=[last]).broken == ()

    mistake(monkeypatch)

    assert play_cell(one, edge(name), variations=[Variation(webhooks=False)], nth=[last]).broken != ()


def test_a_broken_promise_is_counted_and_shown() -> None:
    one, other = operation("open, btcpay"), edge("redirect")
    played = play_cell(one, other, variations=[Variation()], nth=[7])
    matrix = Matrix((played, Cell(one, edge("500 with effect"), 4), Cell(one, edge("database busy"), 0)))

    assert [str(broken) for broken in matrix.broken] == [
        "open, btcpay: redirect at 7, once: the fault was never met"
    ]
    assert "| redirect | **1 of 1 broken** |" in matrix.table()
    assert "| 500 with effect | 4 held |" in matrix.table()
    assert "| database busy | – |" in matrix.table()
    assert matrix.summary().endswith("5 runs at each request and commit; 4 held, 1 broken")


def test_the_page_has_a_row_for_every_edge_and_a_column_for_every_operation() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert f"| edge | {' | '.join(one.title for one in OPERATIONS)} |" in page
    for one in EDGES:
        assert f"\n| {one.name} | " in page


def test_every_edge_says_how_it_breaks() -> None:
    for one in EDGES:
        breaks: Any = one.carry if one.place is Place.WIRE else one.commit
        assert callable(breaks)


@pytest.mark.slow
def test_no_fault_at_any_edge_breaks_a_promise_and_the_page_shows_the_table() -> None:
    matrix = play_matrix()

    assert list(map(str, matrix.broken)) == []
    page = PAGE.read_text(encoding="utf-8")
    assert matrix.table() in page
    assert matrix.summary() in page
