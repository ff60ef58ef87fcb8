"""Carry a plugin's conversation: it yields requests and is sent responses; only core touches the network.

A plugin never sees a failed send. Core alone says what one means: a connection that was never made had no effect
(`Unavailable`, safe to try again), anything later may have had one (`OutcomeUnknown`), unless the request only reads.
"""

import ssl
from collections.abc import Generator
from contextlib import aclosing, closing, suppress
from functools import cache
from typing import Final, Generic, Self, TypeAlias, TypeVar

import httpx
import stamina

from bursar.errors import Declined, OutcomeUnknown, PluginBroken, ProviderError, Unavailable

__all__ = [
    "LIMITS",
    "MAX_ANSWER",
    "TIMEOUT",
    "Flow",
    "arun",
    "make_async_client",
    "make_client",
    "meaning",
    "run",
]

T = TypeVar("T")
Flow: TypeAlias = Generator[httpx.Request, httpx.Response, T]

MAX_ANSWER: Final = 4 * 1024 * 1024
MAX_REQUESTS: Final = 50
TIMEOUT: Final = httpx.Timeout(connect=10.0, read=30.0, write=10.0, pool=5.0)
LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)
_NOT_REACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NEVER_LEFT: Final = (*_NOT_REACHED, httpx.UnsupportedProtocol)
_tried_again: Final = stamina.retry(on=_NOT_REACHED, attempts=3, timeout=10.0)
_FAILED: Final = (httpx.TransportError, httpx.StreamError, httpx.DecodingError)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_TRANSFER: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@cache
def _trusted() -> ssl.SSLContext:
    # Reading the certificates takes a while; they are the same for every client.
    return httpx.create_ssl_context(trust_env=False)


def make_client(transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Make core's client: time-outs, no redirects, certificates verified, no proxy taken from the environment."""
    return httpx.Client(
        timeout=TIMEOUT,
        limits=LIMITS,
        follow_redirects=False,
        trust_env=False,
        transport=transport,
        verify=_trusted(),
    )


def make_async_client(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Make core's asynchronous client, set up as `make_client` does."""
    return httpx.AsyncClient(
        timeout=TIMEOUT,
        limits=LIMITS,
        follow_redirects=False,
        trust_env=False,
        transport=transport,
        verify=_trusted(),
    )


def run(flow: Flow[T], client: httpx.Client) -> T:
    """Carry *flow* over *client* and return its result.

    Raises `Unavailable` where nothing can have happened, `OutcomeUnknown` where something may have, and whatever the
    flow itself raises. A request that never left is tried again a few times.
    """
    with _Conversation(flow) as conversation:
        conversation.begin()
        while not conversation.over:
            try:
                response = _send(client, conversation.request)
                with closing(response):
                    for piece in response.iter_bytes():
                        conversation.hear(piece)
            except _FAILED as error:
                raise conversation.failed(error) from error
            conversation.answer(response)
        return conversation.result


async def arun(flow: Flow[T], client: httpx.AsyncClient) -> T:
    """Carry *flow* over *client* as `run` does, without blocking."""
    with _Conversation(flow) as conversation:
        conversation.begin()
        while not conversation.over:
            try:
                response = await _asend(client, conversation.request)
                async with aclosing(response):
                    async for piece in response.aiter_bytes():
                        conversation.hear(piece)
            except _FAILED as error:
                raise conversation.failed(error) from error
            conversation.answer(response)
        return conversation.result


def meaning(request: httpx.Request, error: Exception) -> ProviderError:
    """Say what a failed send means for the caller."""
    where = f"{request.method} {request.url.host}{request.url.path}"
    what = type(error).__name__
    if isinstance(error, _NEVER_LEFT):
        return Unavailable(f"{where} was never reached ({what}); nothing happened there")
    if request.method in _READS:
        return Unavailable(f"{where} gave no answer ({what}); it only reads, so it is safe to ask again")
    return OutcomeUnknown(f"{where} gave no answer ({what}); it may have taken effect")


@_tried_again
def _send(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    return client.send(request, stream=True)


@_tried_again
async def _asend(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    return await client.send(request, stream=True)


class _Conversation(Generic[T]):
    """Hold a flow's next request, the answer as far as it was heard, and the result once it is over.

    *wrote* is true once a request that does not only read was answered: from then on no failure can mean that nothing
    happened.
    """

    request: httpx.Request
    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self.flow, self.over, self.body, self.count = flow, False, bytearray(), 0
        self.wrote = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What a plugin raises while it is closed must not hide what became of its request.
        with suppress(Exception):
            self.flow.close()

    def begin(self) -> None:
        if not isinstance(self.flow, Generator):
            raise PluginBroken(
                f"an operation returns a generator of requests, not {type(self.flow).__name__}"
            )
        self._step(None)

    def hear(self, piece: bytes) -> None:
        self.body += piece
        if len(self.body) > MAX_ANSWER:
            raise self.failed(_TooLong(f"more than {MAX_ANSWER} bytes"))

    def failed(self, error: Exception) -> ProviderError:
        meant = meaning(self.request, error)
        if self.wrote and not isinstance(meant, OutcomeUnknown):
            return OutcomeUnknown(f"{meant}; but what was sent before may have taken effect")
        return meant

    def answer(self, response: httpx.Response) -> None:
        if response.is_redirect:
            kind = OutcomeUnknown if self.wrote else Declined
            raise kind(
                f"{self.request.method} {self.request.url.host} answered with a redirect to "
                f"{response.headers.get('location', '')[:200]!r}; set the base URL to the final address",
                status=response.status_code,
            )
        headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in _OF_TRANSFER]
        self._step(
            httpx.Response(
                response.status_code, headers=headers, content=bytes(self.body), request=self.request
            )
        )

    def _step(self, response: httpx.Response | None) -> None:
        if response is not None and self.request.method not in _READS:
            self.wrote = True
        try:
            request = next(self.flow) if response is None else self.flow.send(response)
        except StopIteration as done:
            self.over, self.result = True, done.value
            return
        self.count += 1
        if not isinstance(request, httpx.Request):
            raise PluginBroken(f"a flow yields httpx.Request, not {type(request).__name__}")
        if self.count > MAX_REQUESTS:
            raise PluginBroken(f"a flow asked for more than {MAX_REQUESTS} requests")
        self.request, self.body = request, bytearray()


class _TooLong(Exception):
    pass
