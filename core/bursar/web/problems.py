"""How an error is told over HTTP: one table, from the error tree to status, kind and whether to try again."""

from typing import Final

import attrs
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bursar import errors
from bursar.web.apologies import apologize, wants_page

__all__ = ["PROBLEMS", "Problem", "problem_of", "tell"]

_log = structlog.get_logger("bursar.web")


@attrs.frozen
class Problem:
    """Say how one kind of error is answered; *retry* is whether the very same request may help later."""

    status: int
    kind: str
    retry: bool


PROBLEMS: Final[tuple[tuple[type[errors.BursarError], Problem], ...]] = (
    (errors.NotFound, Problem(404, "not_found", False)),
    (errors.Refused, Problem(409, "refused", False)),
    (errors.BadInput, Problem(400, "bad_input", False)),
    (errors.Busy, Problem(503, "busy", True)),
    (errors.Declined, Problem(422, "declined", False)),
    (errors.Unavailable, Problem(503, "provider_unavailable", True)),
    (errors.OutcomeUnknown, Problem(504, "outcome_unknown", True)),
    (errors.PluginBroken, Problem(502, "plugin_broken", False)),
    (errors.ConfigError, Problem(500, "misconfigured", False)),
    (errors.BursarError, Problem(500, "internal", False)),
)
"""The first that fits counts; so a kind stands before those it belongs to."""

_OURS: Final = frozenset({"misconfigured", "plugin_broken", "internal"})


def problem_of(error: errors.BursarError) -> Problem:
    """Return how *error* is answered."""
    return next(problem for kind, problem in PROBLEMS if isinstance(error, kind))


def tell(request: Request, error: Exception) -> Response:
    """Answer with *error*: its kind, its message, whether to try again. What is our own fault is told in the log only.

    A buyer's browser gets a page instead.
    """
    if not isinstance(error, errors.BursarError):
        _log.error("request failed", error=repr(error))
        error = errors.BursarError("something went wrong here; it is in the log")
    problem = problem_of(error)
    message = str(error)
    if problem.kind in _OURS:
        _log.error("request failed", kind=problem.kind, error=message)
        if problem.kind == "misconfigured":
            message = "this server's configuration does not allow it; the log says which setting"
    retry_after = str(getattr(error, "retry_after", None) or 5) if problem.retry else ""
    if wants_page(request):
        return apologize(request, problem.status, retry_after=retry_after)
    body = {"error": {"kind": problem.kind, "message": message, "retry": problem.retry}}
    response = JSONResponse(body, problem.status, headers={"Cache-Control": "no-store"})
    if retry_after:
        response.headers["Retry-After"] = retry_after
    return response
