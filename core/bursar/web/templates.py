"""The pages' templates and files, shipped inside the package."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bursar.errors import NotFound

__all__ = ["asset_routes", "asset_url", "page_headers", "render"]

_KINDS: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_ENV: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("bursar.web", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """Lay *values* out in *template*; all text is escaped."""
    return _ENV.get_template(template).render(**values)


def page_headers(script: str = "", nonce: str = "") -> dict[str, str]:
    """Return the headers of a buyer's page; only the origin of *script*, a provider's own, may add scripts and frames to ours."""
    parts = urlsplit(script)
    origin = f" {parts.scheme}://{parts.netloc}" if script else ""
    frames = origin or " 'none'"
    ours = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    policy = (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        f"form-action 'self'; frame-ancestors 'none'; script-src {ours}{origin}; frame-src{frames}"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


@cache
def _asset(name: str) -> tuple[bytes, str]:
    kind = name.rpartition(".")[2]
    found = files("bursar.web").joinpath("static", name)
    if kind not in _KINDS or "/" in name or not found.is_file():
        raise NotFound("there is no such file")
    body = found.read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


def asset_url(name: str) -> str:
    """Return the address of a file; it changes with the file, so that it may be kept for ever."""
    return f"/assets/{_asset(name)[1]}/{name}"


def asset_routes() -> list[Route]:
    """Return the routes of the pages' files."""
    return [Route("/assets/{mark}/{name}", _serve, methods=["GET"])]


async def _serve(request: Request) -> Response:
    body, mark = _asset(request.path_params["name"])
    kind = _KINDS[request.path_params["name"].rpartition(".")[2]]
    lasting = request.path_params["mark"] == mark
    cache_control = "public, max-age=31536000, immutable" if lasting else "no-cache"
    return Response(
        body, media_type=kind, headers={"Cache-Control": cache_control, "X-Content-Type-Options": "nosniff"}
    )
