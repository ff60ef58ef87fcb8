"""What a buyer's browser shows where there is no checkout page to show: in words, and never as JSON."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bursar.web.templates import asset_url, page_headers, render

__all__ = ["apologize", "wants_page"]

_GONE: Final = (
    "There is no such page",
    "The address may be cut off at its end. Please open the link that the shop gave you again.",
)
_REFUSED: Final = (
    "That could not be understood",
    "Please go back to the page before, load it again, and choose one of the ways to pay that it shows.",
)
_AWAY: Final = (
    "One moment, please",
    "We cannot look at your order just now. Nothing is lost: this page tries again by itself in a few seconds.",
)


def wants_page(request: Request) -> bool:
    """Tell whether a person is looking: a browser, at an address of the buyer's."""
    return request.url.path.startswith("/pay/") and "text/html" in request.headers.get("accept", "")


def apologize(request: Request, status: int, *, retry_after: str = "") -> Response:
    """Answer a browser with *status*; what is our own trouble is tried again by the page itself."""
    ours = status >= 500
    title, text = _AWAY if ours else _GONE if status in (404, 405) else _REFUSED
    html = render(
        "apology.html",
        title=title,
        text=text,
        tone="warn" if ours else "bad",
        refresh=ours and request.method == "GET",
        css=asset_url("checkout.css"),
    )
    headers = page_headers()
    if retry_after:
        headers["Retry-After"] = retry_after
    return HTMLResponse(html, status, headers=headers)
