"""Play the matrix, print it, and exit with 1 where a promise was broken."""

import sys

from bursar.testing.faults.matrix import play_matrix


def main() -> int:
    """Print the table, what was broken, and one line in figures."""
    matrix = play_matrix()
    print(matrix.table())
    for one in matrix.broken:
        print(one)
    print(matrix.summary())
    return 1 if matrix.broken else 0


if __name__ == "__main__":
    sys.exit(main())
