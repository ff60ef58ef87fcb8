"""The refusals of the API, one for each shape that the server answers with."""

from collections.abc import Sequence

import attrs

from bursar_btcpay.sandbox.wire import Json, Value

__all__ = [
    "Crash",
    "Problem",
    "forbidden",
    "invalid",
    "not_found",
    "refused",
    "unauthenticated",
    "unreadable",
]


@attrs.frozen
class Problem(Exception):
    """Answer with *status* and *body*. *bare* answers came before the action ran and lack its security headers."""

    status: int
    body: Json
    bare: bool = False
    content_type: str = "application/json; charset=utf-8"

    @property
    def message(self) -> str:
        """What it says to a person."""
        body: Value = self.body
        entries = body if isinstance(body, list) else [body]
        return "; ".join(str(entry.get("message", "")) for entry in entries if isinstance(entry, dict))


class Crash(Exception):
    """Answer 500 with an empty body: the server let an exception escape here."""


def unauthenticated(message: str) -> Problem:
    """Answer 401."""
    return Problem(401, {"code": "unauthenticated", "message": message}, True, "application/json")


def forbidden(permission: str) -> Problem:
    """Answer 403, naming the endpoint's permission, whether the key lacks it or the object is not there."""
    message = (
        f'Insufficient API Permissions. Please use an API key with permission "{permission}". '
        "You can create an API key in your account's settings / Api Keys."
    )
    body = {"missingPermission": permission, "code": "missing-permission", "message": message}
    return Problem(403, body, True, "application/json")


def not_found(code: str, what: str) -> Problem:
    """Answer 404."""
    return Problem(404, {"code": f"{code}-not-found", "message": f"The {what} was not found"})


def refused(code: str, message: str, status: int = 400) -> Problem:
    """Answer 400: right in form, but not possible."""
    return Problem(status, {"code": code, "message": message})


def invalid(*errors: tuple[str, str]) -> Problem:
    """Answer 422: checks of the action, by the .NET names of the members."""
    return Problem(422, _entries(errors))


def unreadable(*errors: tuple[str, str]) -> Problem:
    """Answer 422: the body could not be read, by JSON paths."""
    return Problem(422, _entries(errors), True)


def _entries(errors: Sequence[tuple[str, str]]) -> Json:
    return [{"path": path, "message": message} for path, message in errors]
