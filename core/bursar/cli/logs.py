"""Where log lines go: to the error output, as text for a person and as JSON for a machine."""

import logging
import sys
from typing import Any

import structlog

from bursar.cli.options import Level

__all__ = ["set_up_logs"]


def set_up_logs(level: Level) -> None:
    """Log from *level* on, to standard error, so that standard output holds answers only."""
    number = logging.getLevelNamesMapping()[level.name]
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
    for name in ("uvicorn", "httpx", "alembic"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _to_stderr(*_: Any) -> structlog.PrintLogger:
    # Looked up at every line: whoever replaces the stream gets what is written from then on.
    return structlog.PrintLogger(sys.stderr)
