"""Faults put in on purpose: every operation that has an effect, broken at every edge, recovered, and judged.

`python -m bursar.testing.faults` plays the matrix and prints it. A promise that is broken is an exit code of 1.
"""

from bursar.testing.faults.edges import EDGES, Edge
from bursar.testing.faults.matrix import Broken, Cell, Matrix, play_matrix
from bursar.testing.faults.operations import OPERATIONS, Operation

__all__ = ["EDGES", "OPERATIONS", "Broken", "Cell", "Edge", "Matrix", "Operation", "play_matrix"]
