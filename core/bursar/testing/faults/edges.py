"""The edges at which something breaks: on the wire, or between us and the database.

`Trap` is put into both ways out of a process, the HTTP transport and the driver of operations. Armed, it lets so many
requests or commits pass, then breaks the next ones in the way that its edge says.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import attrs
import httpx

from bursar.effects import Commit, Driver, Effect
from bursar.errors import Busy, OutcomeUnknown

__all__ = ["EDGES", "BreakingDriver", "BreakingTransport", "Crash", "Edge", "Place", "Send", "Trap"]


class Crash(BaseException):
    """Stand for the death of the process: nothing after it runs, and only what was durable is left."""


class Place(Enum):
    """Say which way out of the process an edge breaks."""

    WIRE = "request"
    COMMIT = "commit"


Send = Callable[[], httpx.Response]


@attrs.frozen
class Edge:
    """Name one way to break.

    On the wire *carry* has the request and a way to let it arrive; at a commit *commit* has one. *final*: it looks like a
    shop's 2xx, which is a shop's word that it knows, and there is nothing to check it against.
    """

    name: str
    place: Place
    carry: Callable[[httpx.Request, Send], httpx.Response] = attrs.field(default=None, repr=False)
    commit: Callable[[Callable[[], Any]], Any] = attrs.field(default=None, repr=False)
    final: bool = False


def _raises(
    kind: type[httpx.TransportError], *, arrives: bool
) -> Callable[[httpx.Request, Send], httpx.Response]:
    def carry(request: httpx.Request, send: Send) -> httpx.Response:
        if arrives:
            send()
        raise kind("put in on purpose", request=request)

    return carry


def _answers(
    status: int, *, arrives: bool, text: str = "", headers: dict[str, str] | None = None
) -> Callable[[httpx.Request, Send], httpx.Response]:
    def carry(request: httpx.Request, send: Send) -> httpx.Response:
        if arrives:
            send()
        return httpx.Response(status, text=text, headers=headers, request=request)

    return carry


def _dies(*, arrives: bool) -> Callable[[httpx.Request, Send], httpx.Response]:
    def carry(request: httpx.Request, send: Send) -> httpx.Response:
        if arrives:
            send()
        raise Crash

    return carry


def _breaks_off(request: httpx.Request, send: Send) -> httpx.Response:
    """Let the answer begin and the connection break in its middle."""

    class Torn(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield b'{"id": "'
            raise httpx.RemoteProtocolError("put in on purpose", request=request)

    answer = send()
    return httpx.Response(answer.status_code, headers={"content-type": "application/json"}, stream=Torn())


def _crash_before(_: Callable[[], Any]) -> Any:
    raise Crash


def _crash_after(keep: Callable[[], Any]) -> Any:
    keep()
    raise Crash


def _busy(_: Callable[[], Any]) -> Any:
    raise Busy("put in on purpose: nothing was taken")


def _answer_lost(keep: Callable[[], Any]) -> Any:
    keep()
    raise OutcomeUnknown("put in on purpose: it was kept, and the answer of the database was lost")


_HTML: Final = "<html><body>A gateway's page</body></html>"

EDGES: Final = (
    Edge("crash before it is kept", Place.COMMIT, commit=_crash_before),
    Edge("crash after it is kept", Place.COMMIT, commit=_crash_after),
    Edge("database busy", Place.COMMIT, commit=_busy),
    Edge("kept, database's answer lost", Place.COMMIT, commit=_answer_lost),
    Edge("crash before the request leaves", Place.WIRE, _dies(arrives=False)),
    Edge("crash before the answer is kept", Place.WIRE, _dies(arrives=True)),
    Edge("never connected", Place.WIRE, _raises(httpx.ConnectError, arrives=False)),
    Edge("time-out, request lost", Place.WIRE, _raises(httpx.WriteTimeout, arrives=False)),
    Edge("time-out, answer lost", Place.WIRE, _raises(httpx.ReadTimeout, arrives=True)),
    Edge("connection reset, answer lost", Place.WIRE, _raises(httpx.ReadError, arrives=True)),
    Edge("answer broken off", Place.WIRE, _breaks_off),
    Edge("500 with effect", Place.WIRE, _answers(500, arrives=True)),
    Edge("500 without effect", Place.WIRE, _answers(500, arrives=False)),
    Edge("502 with a page, with effect", Place.WIRE, _answers(502, arrives=True, text=_HTML)),
    Edge("503 without effect", Place.WIRE, _answers(503, arrives=False, headers={"Retry-After": "30"})),
    Edge("429 without effect", Place.WIRE, _answers(429, arrives=False, headers={"Retry-After": "30"})),
    Edge("200 with garbage, with effect", Place.WIRE, _answers(200, arrives=True, text=_HTML), final=True),
    Edge(
        "200 with garbage, without effect", Place.WIRE, _answers(200, arrives=False, text=_HTML), final=True
    ),
    Edge(
        "redirect", Place.WIRE, _answers(302, arrives=False, headers={"Location": "https://elsewhere.test/"})
    ),
)


@attrs.define
class Trap:
    """Break *edge* at the *nth* request to *host* or commit after it is armed, and at those that follow, *times* in all."""

    edge: Edge | None = None
    host: str = "service"
    nth: int = 1
    times: int = 1
    armed: bool = False
    requests: int = 0
    commits: int = 0
    hits: int = 0

    def arm(self) -> None:
        self.armed, self.requests, self.commits, self.hits = True, 0, 0, 0

    def springs(self, place: Place) -> Edge | None:
        """Count one request or commit; return the edge if this one is to be broken."""
        if not self.armed:
            return None
        if place is Place.WIRE:
            self.requests += 1
        else:
            self.commits += 1
        number = self.requests if place is Place.WIRE else self.commits
        if self.edge is None or self.edge.place is not place or number < self.nth or self.hits >= self.times:
            return None
        self.hits += 1
        return self.edge


class BreakingTransport(httpx.BaseTransport):
    """Carry requests by *inner*, broken as *trap* says."""

    def __init__(self, inner: httpx.BaseTransport, trap: Trap) -> None:
        self.inner, self.trap = inner, trap

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        edge = self.trap.springs(Place.WIRE) if self._concerns(request) else None
        if edge is None:
            return self.inner.handle_request(request)
        return edge.carry(request, lambda: self.inner.handle_request(request))

    def _concerns(self, request: httpx.Request) -> bool:
        return request.url.netloc.decode("ascii", "replace") == self.trap.host


class BreakingDriver(Driver):
    """Carry operations, with commits broken as *trap* says."""

    trap: Trap

    def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Commit):
            edge = self.trap.springs(Place.COMMIT)
            if edge is not None:
                return edge.commit(lambda: super(BreakingDriver, self)._do(effect))
        return super()._do(effect)
