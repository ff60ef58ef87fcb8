"""Build requests for one store, and read answers: the result, or the error that says whether anything can have happened."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote

import attrs
import httpx
import msgspec

from bursar.errors import BadInput, ConfigError, Declined, OutcomeUnknown, ProviderError, Unavailable
from bursar_btcpay.settings import Settings
from bursar_btcpay.wire import Document, Unreadable, read_document, read_documents, read_json

__all__ = ["Client", "answered_at", "error_code", "failure", "missing_permission", "result", "results"]

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_READS: Final = frozenset({"GET", "HEAD"})
# BTCPay reads some numbers (a tolerance) only as JSON numbers, and they have to stay exact.
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@attrs.frozen
class Client:
    """Make the requests of one account. The API key goes into the header and nowhere else."""

    settings: Settings

    def store(
        self, method: str, *path: str, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> httpx.Request:
        """Make a request below `/api/v1/stores/{store}`."""
        if not self.settings.connected:
            raise ConfigError(
                f"the BTCPay account at {self.settings.url} has no api_key and store_id yet: set them, or connect it"
            )
        return self.api(method, "stores", self.settings.store_id, *path, params=params, body=body)

    def api(
        self,
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        anonymous: bool = False,
        key: str = "",
    ) -> httpx.Request:
        """Make a request below `/api/v1`; *key* is another API key than the account's own."""
        for segment in path:
            if not _SEGMENT.fullmatch(segment):
                raise BadInput(f"{segment[:80]!r} cannot be an id at BTCPay")
        headers = {"Accept": "application/json"}
        if not anonymous:
            headers["Authorization"] = f"token {key or self.settings.api_key.reveal()}"
        content = None
        if body is not None:
            content = _ENCODER.encode(body)
            headers["Content-Type"] = "application/json"
        url = f"{self.settings.url}/api/v1/{'/'.join(quote(segment, safe='') for segment in path)}"
        return httpx.Request(method, url, params=params, headers=headers, content=content)


def answered_at(response: httpx.Response, now: int) -> int:
    """Return the server's clock at its answer, in Unix seconds; *now* where it does not say."""
    try:
        return int(parsedate_to_datetime(response.headers.get("date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return now


def result(request: httpx.Request, response: httpx.Response) -> Document:
    """Return the object of a good answer; raise what any other answer means."""
    _check(request, response)
    try:
        return read_document(response.content, "the answer")
    except Unreadable as error:
        raise _unreadable(request, response, error) from None


def results(request: httpx.Request, response: httpx.Response) -> list[Document]:
    """Return the objects of a good answer that is an array; raise what any other answer means."""
    _check(request, response)
    try:
        return read_documents(response.content, "the answer")
    except Unreadable as error:
        raise _unreadable(request, response, error) from None


def _check(request: httpx.Request, response: httpx.Response) -> None:
    if not response.is_success:
        raise failure(request, response)


def _unreadable(request: httpx.Request, response: httpx.Response, error: Unreadable) -> ProviderError:
    message = f"{_where(request)} answered {response.status_code}, but {error}; is this a BTCPay Server?"
    kind = Unavailable if request.method in _READS else OutcomeUnknown
    return kind(message, status=response.status_code)


def failure(request: httpx.Request, response: httpx.Response) -> ProviderError:
    """Return what an answer that is no success means: Declined, Unavailable or OutcomeUnknown."""
    status, where = response.status_code, _where(request)
    words = _words(response)
    said = f"{where} answered {status}" + (f": {words}" if words else "")
    if status == 429:
        return Unavailable(f"{said} (too many requests)", status=status, retry_after=_retry_after(response))
    if status >= 500 or status == 408:
        if request.method in _READS:
            return Unavailable(said, status=status, retry_after=_retry_after(response))
        return OutcomeUnknown(
            f"{said}; it may have taken effect", status=status, retry_after=_retry_after(response)
        )
    if status == 401:
        return Declined(f"{said}; the api_key is unknown there or was revoked: make a new one", status=status)
    if status == 403:
        permission = missing_permission(response)
        if permission:
            return Declined(
                f"{where} answered 403: the API key lacks {permission} on this store, or what was asked for "
                "does not exist in it",
                status=status,
            )
        return Declined(f"{said}; something in front of BTCPay refused it (a firewall?)", status=status)
    if status == 404 and not words:
        return Declined(
            f"{where} answered 404 without a word; is url the address of a BTCPay Server?", status=status
        )
    return Declined(said, status=status)


def missing_permission(response: httpx.Response) -> str:
    """Return the permission that a 403 names; empty where it names none."""
    return _member(response, "missingPermission")


def error_code(response: httpx.Response) -> str:
    """Return the code that an error names; empty where it names none."""
    return _member(response, "code")


def _member(response: httpx.Response, name: str) -> str:
    try:
        return read_document(response.content, "the answer").maybe_text(name) or ""
    except Unreadable:
        return ""


def _where(request: httpx.Request) -> str:
    return f"BTCPay ({request.method} {request.url.host}{request.url.path})"


def _words(response: httpx.Response) -> str:
    """Return what the server says went wrong, by shape: an array is of validations, an object has code and message."""
    try:
        value = read_json(response.content)
        if isinstance(value, list):
            errors = read_documents(response.content, "errors")
            found = [f"{e.maybe_text('path') or 'request'}: {e.maybe_text('message') or '?'}" for e in errors]
            # Its answer to what it cannot read has a second entry that says nothing.
            telling = [f for f in found if f != "request: The request field is required."] or found
            return _short("; ".join(telling))
        error = read_document(response.content, "error")
        code, message = error.maybe_text("code") or "", error.maybe_text("message", "title") or ""
        return _short(f"{code}: {message}".strip(": "))
    except Unreadable:
        return ""


def _short(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:400]


def _retry_after(response: httpx.Response) -> int | None:
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,7}", text):
        return int(text)
    try:
        until = int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, until - answered_at(response, until))
