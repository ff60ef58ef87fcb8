"""What a command says when it fails: one line with whose fault it is, and an exit code that a script can act on."""

import sys
from enum import IntEnum
from typing import Any, Final

import typer
from typer.core import TyperGroup

from bursar import errors
from bursar.cli.printing import plain

__all__ = ["Commands", "ExitCode", "explain"]


class ExitCode(IntEnum):
    """Tell a script what to do next."""

    OK = 0
    FAILED = 1
    """Refused, or failed for good: the same command again cannot help."""
    USAGE = 2
    """The command line or the configuration is wrong: mend it first."""
    TEMPORARY = 75
    """Nothing happened: the same command later may work (EX_TEMPFAIL of sysexits.h)."""


_MEANINGS: Final[tuple[tuple[type[errors.BursarError], ExitCode, str, str], ...]] = (
    (errors.ConfigError, ExitCode.USAGE, "configuration", ""),
    (errors.NotFound, ExitCode.USAGE, "not found", ""),
    (errors.Refused, ExitCode.FAILED, "refused", ""),
    (errors.BadInput, ExitCode.USAGE, "input", ""),
    (errors.BadSignature, ExitCode.FAILED, "not genuine", ""),
    (errors.BadDelivery, ExitCode.FAILED, "unreadable, the service's fault", ""),
    (errors.PluginBroken, ExitCode.FAILED, "a plugin is broken", "tell its author"),
    (errors.Busy, ExitCode.TEMPORARY, "busy", "try again"),
    (errors.Declined, ExitCode.FAILED, "the service said no", ""),
    (errors.Unavailable, ExitCode.TEMPORARY, "the service is not there", "try again later"),
    (
        errors.OutcomeUnknown,
        ExitCode.FAILED,
        "outcome unknown",
        "do not repeat it: it is looked up by itself, see `bursar order show`",
    ),
    (errors.ProviderError, ExitCode.FAILED, "the service failed", ""),
)


def explain(error: errors.BursarError) -> tuple[ExitCode, str]:
    """Return the exit code for *error*, and the one line that says whose fault it is, what was wrong, and the cure."""
    for kind, code, whose, cure in _MEANINGS:
        if isinstance(error, kind):
            message = plain(str(error)).strip()
            return code, f"bursar: {whose}: {message}" + (f"; {cure}" if cure else "")
    return ExitCode.FAILED, f"bursar: {plain(str(error))}"


class Commands(TyperGroup):
    """The root of the command line. What Bursar raises on purpose is said in one line; anything else is a bug and shows itself."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except errors.BursarError as error:
            code, line = explain(error)
            print(line, file=sys.stderr)
            raise typer.Exit(code) from None
