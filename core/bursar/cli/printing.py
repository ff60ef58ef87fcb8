"""How the command line writes: plain where nobody looks, and never what a stranger's text would do to a terminal."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "grid", "heading", "moment", "plain", "print_json", "table"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_WIDE: Final = 140


def plain(text: str) -> str:
    """Return *text* on one line, without what could steer a terminal."""
    return _CONTROL.sub(" ", text)


def console() -> "Console":
    """Return where people read. Into a file or pipe it writes wide lines without colour."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDE
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width)


def heading(text: str) -> Any:
    """Return a section's title."""
    from rich.text import Text

    return Text(f"\n{text}", style="bold")


def grid(rows: Mapping[str, str]) -> "Table":
    """Return labels with their values; empty values are left out."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for label, value in rows.items():
        if value:
            made.add_row(label, plain(value))
    return made


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """Return a table that cuts nothing off."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*(plain(cell) for cell in row))
    return made


def moment(at: int | None) -> str:
    """Return Unix seconds as people read them, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "–"


def print_json(document: Any) -> None:
    """Print *document* for a program. Amounts are text already, so no number in it is inexact."""
    print(json.dumps(document, ensure_ascii=False, indent=2))
