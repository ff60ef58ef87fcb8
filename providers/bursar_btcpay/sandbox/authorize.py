"""The page where a merchant lets a shop have an API key, and the form post that carries the key there."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from bursar_btcpay.sandbox.permissions import KNOWN, Key
from bursar_btcpay.sandbox.server import Server
from bursar_btcpay.sandbox.templates import is_web_address, page

__all__ = ["Authorize"]

_FIELDS: Final = ("applicationName", "strict", "selectiveStores", "redirect", "applicationIdentifier")


class Authorize:
    """Serve `/api-keys/authorize`. The person in front of it is logged in as the owner of all stores."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def show(self, request: Request) -> Response:
        """Ask the merchant."""
        query = request.query_params
        wanted = _known(query.getlist("permissions"))
        return page(
            "authorize.html",
            application=query.get("applicationName", ""),
            permissions=wanted,
            strict=_flag(query, "strict", default=True),
            stores=list(self._server.stores.values()) if _flag(query, "selectiveStores") else [],
            hidden=[(name, query[name]) for name in _FIELDS if name in query],
            host=urlsplit(query.get("redirect", "")).netloc if is_web_address(query.get("redirect")) else "",
        )

    async def decide(self, request: Request) -> Response:
        """Make the key, or find the one made before, and post it to the shop; on a refusal nothing is sent."""
        form = await request.form()
        if form.get("command") != "Authorize":
            return page("key.html", key=None)
        redirect = str(form.get("redirect") or "")
        redirect = redirect if is_web_address(redirect) else ""
        key = self._grant(form, redirect)
        if not redirect:
            return page("key.html", key=key)
        permissions = sorted(key.permissions, key=lambda permission: permission.partition(":")[0])
        return page("authorized.html", redirect=redirect, key=key, permissions=permissions)

    def _grant(self, form: FormData, redirect: str) -> Key:
        store = str(form.get("store") or "")
        scope = f":{store}" if _flag(form, "selectiveStores") and store in self._server.stores else ""
        permissions = {f"{name}{scope}" for name in _known([str(n) for n in form.getlist("permissions")])}
        identifier = str(form.get("applicationIdentifier") or "") if redirect else ""
        for key in self._server.keys.values():
            same = identifier and (key.identifier, key.redirect) == (identifier, redirect)
            if same and permissions <= set(key.permissions):
                return key
        label = str(form.get("applicationName") or "")
        return self._server.add_key(label, sorted(permissions), identifier=identifier, redirect=redirect)


def _known(names: list[str]) -> list[str]:
    """Return the permissions of *names* that the server knows, once each; it drops the others without a word."""
    return [name for name in dict.fromkeys(names) if name in KNOWN]


def _flag(values: QueryParams | FormData, name: str, *, default: bool = False) -> bool:
    value = values.get(name)
    return default if value is None else str(value).lower() == "true"
