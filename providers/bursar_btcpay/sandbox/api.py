"""The way of a request through the Greenfield API: route, key, store, permission, action, answer.

The order matters as it does on the server: an unknown route or method is told before the key is asked for, and
permission is checked before the body is read or the object looked at. An unknown object is a missing permission.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import attrs
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bursar_btcpay.sandbox.bodies import Body, read_body
from bursar_btcpay.sandbox.invoices import Invoice
from bursar_btcpay.sandbox.permissions import Key, may
from bursar_btcpay.sandbox.problems import Crash, Problem, forbidden, unauthenticated
from bursar_btcpay.sandbox.refunds import Payout, PullPayment
from bursar_btcpay.sandbox.server import Server, Store
from bursar_btcpay.sandbox.wire import Json, write_json

__all__ = ["EMPTY", "Api", "Call", "Raw", "Route", "both"]

_JSON: Final = "application/json; charset=utf-8"
_SECURITY: Final = (
    ("Content-Security-Policy", "script-src 'self'"),
    ("Referrer-Policy", "same-origin"),
    ("X-XSS-Protection", "1; mode=block"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


@attrs.frozen
class Raw:
    """Answer with these bytes as JSON, without a charset."""

    body: bytes


EMPTY: Final = Raw(b"")
"""Answer 200 with neither a body nor a content type."""


@attrs.define
class Call:
    """One request on its way to an action. *url* is what links in the answer begin with."""

    server: Server
    method: str
    path: Mapping[str, str]
    query: QueryParams
    url: str
    raw: bytes = attrs.field(repr=False)
    content_type: str | None = None
    authorization: str | None = attrs.field(default=None, repr=False)
    key: Key | None = None
    policy: str = ""

    def body(self, model: str) -> Body:
        """Read the body as JSON for the .NET type *model*."""
        return read_body(self.raw, self.content_type, model)

    @property
    def store(self) -> Store:
        return self.server.stores[self.path["store"]]

    @property
    def invoice(self) -> Invoice:
        return self.server.invoices[self.path["invoice"]]

    @property
    def payout(self) -> Payout:
        return self.server.refunds.payouts[self.path["payout"]]

    @property
    def pull(self) -> PullPayment:
        return self.server.refunds.pulls[self.path["pull"]]

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read a truth value of the query."""
        value = self.query.get(name)
        return default if value is None else value.lower() == "true"

    def require(self, policy: str, store: str) -> None:
        """Refuse unless the key may do what *policy* names at *store* as well."""
        if self.key is None or not may(self.key, policy, store):
            raise forbidden(policy)


Action: TypeAlias = Callable[[Call], Json]


@attrs.frozen
class Route:
    """Answer *method* on *path* (below `/api/v1`) by *action*. *policy*: None for anyone, "" for any valid key."""

    method: str
    path: str
    action: Action
    policy: str | None = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


def both(method: str, path: str, action: Action, policy: str) -> list[Route]:
    """Route an object's *path* both ways: below its store, and alone."""
    return [Route(method, f"/stores/{{store}}{path}", action, policy), Route(method, path, action, policy)]


class Api:
    """Answer everything below `/api/v1` as an ASGI application."""

    def __init__(self, server: Server, routes: Sequence[Route]) -> None:
        self._server = server
        self._routes = [(route.pattern, route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        raw = await request.body()
        self._server.catch_up()
        await self._answer(request, raw)(scope, receive, send)

    def _answer(self, request: Request, raw: bytes) -> Response:
        path = request.path_params["rest"].rstrip("/")
        found = [
            (match, route) for pattern, route in self._routes if (match := pattern.fullmatch(f"/{path}"))
        ]
        if not found:
            return self._respond(404, b"")
        chosen = next((pair for pair in found if pair[1].method == request.method), None)
        if chosen is None:
            allowed = ", ".join(sorted({route.method for _, route in found}))
            return self._respond(405, b"", more=(("Allow", allowed),))
        match, route = chosen
        call = Call(
            server=self._server,
            method=request.method,
            path=match.groupdict(),
            query=request.query_params,
            url=link_base(self._server, request),
            raw=raw,
            content_type=request.headers.get("content-type"),
            authorization=request.headers.get("authorization"),
            policy=route.policy or "",
        )
        try:
            if route.policy is not None:
                self._authorize(call, route.policy)
            answer = route.action(call)
        except Problem as problem:
            body = write_json(problem.body)
            return self._respond(problem.status, body, problem.content_type, bare=problem.bare)
        except Crash:
            return self._respond(500, b"", bare=True)
        if isinstance(answer, Raw):
            return self._respond(200, answer.body, "application/json" if answer.body else "")
        return self._respond(200, write_json(answer), _JSON)

    def _authorize(self, call: Call, policy: str) -> None:
        call.key = _read_key(self._server, call.authorization)
        if not policy:
            return
        store = _store_of(self._server, call.path)
        named = call.path.get("store")
        if store is None and named is None and not call.path:
            if not may(call.key, policy, None):
                raise forbidden(policy)
            return
        if store not in self._server.stores or (named is not None and named != store):
            raise forbidden(policy)
        if not may(call.key, policy, store):
            raise forbidden(policy)
        call.path = {**call.path, "store": store}

    def _respond(
        self,
        status: int,
        body: bytes,
        content_type: str = "",
        *,
        bare: bool = False,
        more: Sequence[tuple[str, str]] = (),
    ) -> Response:
        headers = [("Content-Length", str(len(body)))]
        if content_type:
            headers.append(("Content-Type", content_type))
        headers += [("Date", date_header(self._server)), ("Server", "Kestrel"), *more]
        headers += [] if bare else _SECURITY
        response = Response(body, status)
        response.raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        return response


def date_header(server: Server) -> str:
    """Return the `Date` of an answer made now: refreshed once a second, so up to two seconds behind, never ahead."""
    return formatdate(math.floor(server.now() - server.ids.phase), usegmt=True)


def link_base(server: Server, request: Request) -> str:
    """Return what links begin with: the host that the request named, trusted, and the path the server lives under."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}{urlsplit(server.url).path}"


def _read_key(server: Server, authorization: str | None) -> Key:
    if not authorization:
        raise unauthenticated("Authentication is required for accessing this endpoint")
    scheme, _, secret = authorization.strip().partition(" ")
    if scheme.lower() == "basic":
        raise unauthenticated("Failed")
    key = server.keys.get(secret.strip()) if scheme.lower() in {"token", "bearer"} else None
    if key is None:
        raise unauthenticated("ApiKey authentication failed: Unknown API Key")
    return key


def _store_of(server: Server, path: Mapping[str, str]) -> str | None:
    """Return the store that the objects in *path* belong to; None where there is no such object or store."""
    if "invoice" in path:
        invoice = server.invoices.get(path["invoice"])
        return None if invoice is None else invoice.store
    if "webhook" in path:
        return _store_of_webhook(server, path["webhook"])
    if "payout" in path:
        payout = server.refunds.payouts.get(path["payout"])
        return None if payout is None else payout.store
    if "pull" in path:
        pull = server.refunds.pulls.get(path["pull"])
        return None if pull is None else pull.store
    return path.get("store")


def _store_of_webhook(server: Server, id: str) -> str | None:
    webhook = server.post.webhooks.get(id)
    if webhook is not None:
        return webhook.store
    store, asked = server.gone.get(id, (None, 0.0))
    # The server caches id -> store for ten minutes after the last use.
    if store is None or asked + 600 < server.now():
        server.gone.pop(id, None)
        return None
    server.gone[id] = (store, server.now())
    return store
