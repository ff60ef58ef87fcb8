"""The command line: `bursar …`. Nothing but the command that is asked for is loaded."""

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the process with its exit code (see `docs/cli.md`)."""
    from bursar.cli.app import app

    app()
