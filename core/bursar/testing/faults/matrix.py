"""The matrix: every operation, broken at every edge, at each of its requests and commits, once and several times in a row."""

import logging
import shutil
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import attrs
import stamina
import structlog

from bursar.testing.faults.edges import EDGES, Edge, Place, Trap
from bursar.testing.faults.operations import OPERATIONS, Operation, broken_promises
from bursar.testing.faults.scene import Scene

__all__ = [
    "VARIATIONS",
    "Broken",
    "Cell",
    "Matrix",
    "at_full_speed",
    "length",
    "play_cell",
    "play_matrix",
    "play_once",
]


@attrs.frozen
class Variation:
    """Say how often in a row the same thing breaks, and whether webhooks arrive from then on or are all lost."""

    times: int = 1
    webhooks: bool = True

    def __str__(self) -> str:
        often = "once" if self.times == 1 else f"{self.times} times"
        return often if self.webhooks else f"{often}, no webhooks"


VARIATIONS: Final = (Variation(), Variation(webhooks=False), Variation(3, webhooks=False))


@attrs.frozen
class Broken:
    """Report a broken promise: where, and which."""

    operation: str
    edge: str
    nth: int
    variation: Variation
    promise: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.edge} at {self.nth}, {self.variation}: {self.promise}"


@attrs.frozen
class Cell:
    """Hold what came of one operation at one edge: how many runs, and what was broken."""

    operation: Operation
    edge: Edge
    runs: int
    broken: tuple[Broken, ...] = ()

    def __str__(self) -> str:
        if not self.runs:
            return "–"
        failed = len({(one.nth, one.variation) for one in self.broken})
        return f"**{failed} of {self.runs} broken**" if failed else f"{self.runs} held"


@attrs.frozen
class Matrix:
    """Hold all cells."""

    cells: tuple[Cell, ...]

    @property
    def runs(self) -> int:
        return sum(cell.runs for cell in self.cells)

    @property
    def broken(self) -> tuple[Broken, ...]:
        return tuple(one for cell in self.cells for one in cell.broken)

    def table(self) -> str:
        """Write the matrix in Markdown."""
        operations = list(dict.fromkeys(cell.operation.title for cell in self.cells))
        edges = list(dict.fromkeys(cell.edge.name for cell in self.cells))
        by_place = {(cell.edge.name, cell.operation.title): str(cell) for cell in self.cells}
        lines = [f"| edge | {' | '.join(operations)} |", f"|---|{'---|' * len(operations)}"]
        lines += [
            f"| {edge} | {' | '.join(by_place[edge, title] for title in operations)} |" for edge in edges
        ]
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """Say in one line what came of it."""
        operations = len({cell.operation.title for cell in self.cells})
        edges = len({cell.edge.name for cell in self.cells})
        runs = {(b.operation, b.edge, b.nth, b.variation) for b in self.broken}
        return (
            f"faults: {operations} operations, {edges} edges, {self.runs} runs at each request and commit; "
            f"{self.runs - len(runs)} held, {len(runs)} broken"
        )


def play_once(operation: Operation, trap: Trap, folder: Path, *, webhooks: bool = True) -> tuple[str, ...]:
    """Play *operation* broken by *trap*, recover, and return the promises that do not hold."""
    scene = _scene(operation, folder, trap)
    try:
        operation.prepare(scene)
        trap.arm()
        operation.act(scene)
        scene.lose_webhooks = scene.lose_webhooks or not webhooks
        operation.go_on(scene)
        trap.armed = False
        operation.finish(scene)
        scene.wait(3_600)
        return tuple(broken_promises(scene, operation))
    finally:
        scene.close()


def play_cell(
    operation: Operation, edge: Edge, *, variations: Sequence[Variation] = VARIATIONS, nth: Sequence[int] = ()
) -> Cell:
    """Play *operation* with *edge* at each of its requests or commits, or at the *nth* alone."""
    if operation.provider == "http" and edge.final:
        return Cell(operation, edge, 0)
    runs, broken = 0, list[Broken]()
    for number in nth or range(1, length(operation, edge.place) + 1):
        for variation in variations:
            if operation.hears and not variation.webhooks:
                continue
            with _folder() as folder:
                trap = Trap(edge, nth=number, times=variation.times)
                promises = play_once(operation, trap, folder, webhooks=variation.webhooks)
            if not trap.hits:
                promises = (*promises, "the fault was never met")
            runs += 1
            broken += [Broken(operation.title, edge.name, number, variation, promise) for promise in promises]
    return Cell(operation, edge, runs, tuple(broken))


def play_matrix(operations: Sequence[Operation] = OPERATIONS, edges: Sequence[Edge] = EDGES) -> Matrix:
    """Play all of it, on every processor."""
    places = [(operation, edge) for operation in operations for edge in edges]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        names = [(operation.title, edge.name) for operation, edge in places]
        played = list(pool.map(_play_named, names, chunksize=4))
    cells = (Cell(o, e, runs, broken) for (o, e), (runs, broken) in zip(places, played, strict=True))
    return Matrix(tuple(cells))


def _play_named(place: tuple[str, str]) -> tuple[int, tuple[Broken, ...]]:
    operation = next(one for one in OPERATIONS if one.title == place[0])
    with at_full_speed():
        cell = play_cell(operation, next(one for one in EDGES if one.name == place[1]))
    return cell.runs, cell.broken


def length(operation: Operation, place: Place) -> int:
    """Count the requests or commits of one whole operation that nothing disturbs."""
    known = _lengths.get((operation.title, place))
    if known is None:
        trap = Trap()
        with _folder() as folder:
            scene = _scene(operation, folder, trap)
            try:
                operation.prepare(scene)
                trap.arm()
                operation.act(scene)
            finally:
                scene.close()
        _lengths[operation.title, Place.WIRE] = trap.requests
        _lengths[operation.title, Place.COMMIT] = trap.commits
        known = _lengths[operation.title, place]
    return known


def _scene(operation: Operation, folder: Path, trap: Trap) -> Scene:
    tells_shop = operation.provider == "http"
    trap.host = "shop" if tells_shop else "service"
    return Scene("btcpay" if tells_shop else operation.provider, folder, trap)


_lengths: dict[tuple[str, Place], int] = {}


@contextmanager
def _folder() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bursar-faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def at_full_speed() -> Generator[None]:
    """Try nothing again by itself, which would wait, and say nothing about what fails on purpose."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with stamina.set_testing(True, attempts=1):
            yield
    finally:
        structlog.configure(**before)
