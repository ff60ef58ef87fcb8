"""The pages' templates, escaped by default."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

__all__ = ["is_web_address", "page"]

_PAGES: Final = Environment(
    loader=PackageLoader("bursar_btcpay.sandbox", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    name: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Answer with the page *name*, filled with *values*."""
    return HTMLResponse(_PAGES.get_template(name).render(**values), status, headers)


def is_web_address(text: str | None) -> bool:
    """Tell whether *text* may stand in a link or a form: absolute, http or https."""
    try:
        parts = urlsplit(text or "")
    except ValueError:
        return False
    return parts.scheme.lower() in {"http", "https"} and bool(parts.netloc)
