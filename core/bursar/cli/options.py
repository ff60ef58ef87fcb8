"""The options that several commands share."""

import getpass
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

__all__ = ["BURSAR_TOML", "AsJson", "ConfigPath", "Level", "OrderName", "ShopName", "Who", "Why", "someone"]

BURSAR_TOML: Final = Path("bursar.toml")
ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="BURSAR_CONFIG", help="The configuration file.")
]
OrderName = Annotated[
    str, typer.Argument(metavar="ORDER", help="The order's key, or the shop's own reference.")
]
ShopName = Annotated[
    str, typer.Option("--shop", help="The shop whose reference it is, where several have the same.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Who = Annotated[
    str,
    typer.Option(
        "--who", envvar="BURSAR_WHO", help="Who does this; kept with the order. Your login name by default."
    ),
]
Why = Annotated[str, typer.Option("--why", help="Why; kept with the order.")]


class Level(Enum):
    """From how much trouble on something is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def someone(who: str) -> str:
    """Return *who*, or the login name of whoever sits here."""
    if who.strip():
        return who
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may have no name for its user; then the operation asks for one.
        return ""
