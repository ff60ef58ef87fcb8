import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from bursar import errors
from bursar.web.problems import PROBLEMS, problem_of, tell

# Written out once more on purpose: what callers rely on changes here too, or not at all.
ROWS: list[tuple[Exception, int, str, str | None]] = [
    (errors.BadInput("x"), 400, "bad_input", None),
    (errors.CurrencyMismatch("x"), 400, "bad_input", None),
    (errors.NotFound("x"), 404, "not_found", None),
    (errors.Refused("x"), 409, "refused", None),
    (errors.Declined("x"), 422, "declined", None),
    (errors.ConfigError("x"), 500, "misconfigured", None),
    (errors.BadSignature("x"), 500, "internal", None),
    (errors.BursarError("x"), 500, "internal", None),
    (ZeroDivisionError("x"), 500, "internal", None),
    (errors.PluginBroken("x"), 502, "plugin_broken", None),
    (errors.Busy("x"), 503, "busy", "5"),
    (errors.Unavailable("x"), 503, "provider_unavailable", "5"),
    (errors.Unavailable("x", retry_after=70), 503, "provider_unavailable", "70"),
    (errors.OutcomeUnknown("x"), 504, "outcome_unknown", "5"),
]


def request(path: str, accept: str = "application/json", method: str = "GET") -> Request:
    headers = [(b"accept", accept.encode()), (b"host", b"127.0.0.1")]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": headers}
    return Request(
        scope | {"query_string": b"", "root_path": "", "scheme": "http", "server": ("127.0.0.1", 80)}
    )


@pytest.mark.parametrize(("error", "status", "kind", "retry_after"), ROWS)
def test_each_error_has_its_status_its_kind_and_says_whether_to_try_again(
    error: Exception, status: int, kind: str, retry_after: str | None
) -> None:
    answer = tell(request("/api/orders"), error)

    told = json.loads(bytes(answer.body))["error"]
    assert (answer.status_code, told["kind"], told["retry"]) == (status, kind, retry_after is not None)
    assert answer.headers.get("retry-after") == retry_after


def test_every_error_of_the_tree_has_a_row() -> None:
    shown = {type(error) for error, *_ in ROWS}
    for error in (getattr(errors, name) for name in errors.__all__):
        assert error in shown or problem_of(error("x")) == problem_of(error.__mro__[1]("x"))


def test_what_is_wrong_with_the_server_is_told_in_its_log_only() -> None:
    secret = "file:/etc/bursar/key"
    for error in (errors.ConfigError(secret), ValueError(secret)):
        assert secret.encode() not in bytes(tell(request("/api/orders"), error).body)


def test_a_buyer_s_browser_gets_a_page_and_a_program_gets_json() -> None:
    browser = tell(request("/pay/x.y", "text/html,*/*"), errors.Busy("x"))
    program = tell(request("/pay/x.y/status"), errors.Busy("x"))
    posted = tell(request("/pay/x.y/start", "text/html", "POST"), errors.Busy("x"))

    assert browser.headers["content-type"].startswith("text/html")
    assert b"tries again by itself" in bytes(browser.body)
    assert b'http-equiv="refresh"' in bytes(browser.body)
    assert b"http-equiv" not in bytes(posted.body)
    assert program.headers["content-type"] == "application/json"


def test_the_page_about_http_lists_every_kind_of_error_as_it_is_answered() -> None:
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")

    for _, problem in PROBLEMS:
        assert f"| {problem.status} | `{problem.kind}` | {'yes' if problem.retry else 'no'} |" in page
