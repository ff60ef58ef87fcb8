"""What an operation may ask for while it runs, and the two drivers that carry it: one blocking, one for asyncio.

An operation is written once, as a generator that yields effects and is sent their results; so sync and async callers
run the very same code. Errors are thrown into it where the effect was yielded.
"""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias, TypeVar

import attrs
import httpx

from bursar.errors import PluginBroken
from bursar.flows import Flow, arun, run
from bursar.work import Applied, Kept, Work

__all__ = [
    "AsyncDriver",
    "Carry",
    "Commit",
    "Driver",
    "Effect",
    "Operation",
    "Read",
    "Submits",
    "keep",
    "rehearse",
]

T = TypeVar("T")


@attrs.frozen
class Commit:
    """Do *work* durably; the result is `Applied`."""

    work: Work


@attrs.frozen
class Carry:
    """Carry a plugin's *flow*; the result is what it returns."""

    flow: Flow[Any]


@attrs.frozen
class Read:
    """Ask the store; the result is what *call* returns."""

    call: Callable[[], Any]


Effect: TypeAlias = Commit | Carry | Read
Operation: TypeAlias = Generator[Effect, Any, T]


def keep(work: Work) -> "Operation[Kept]":
    """Do *work* on an order durably, and return the order as it stands then."""
    applied: Applied = yield Commit(work)
    if applied.kept is None:
        raise PluginBroken("the store answered for an order without the order")
    return applied.kept


def rehearse(flow: Flow[Any]) -> None:
    """Take *flow* to its first request and no further; what it refuses until then is raised before anything is kept."""
    try:
        next(flow)
    except StopIteration:
        pass
    finally:
        flow.close()


class Submits(Protocol):
    """Take work for the durable step; the future is done once it is durable."""

    def submit(self, work: Work) -> "Future[Applied]": ...


class Driver:
    """Carry operations, blocking the calling thread. Safe from any thread."""

    def __init__(
        self, writer: Submits, client: httpx.Client, committed: Callable[[], None] = lambda: None
    ) -> None:
        self.writer, self.client, self.committed = writer, client, committed

    def __call__(self, operation: Operation[T]) -> T:
        """Run *operation* to its end and return its result."""
        result, error = None, None
        while True:
            try:
                effect = operation.throw(error) if error is not None else operation.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            try:
                result, error = self._do(effect), None
            except Exception as raised:  # noqa: BLE001 - whatever went wrong is the operation's to judge
                result, error = None, raised

    def _do(self, effect: Effect) -> Any:
        match effect:
            case Commit(work):
                applied = self.writer.submit(work).result()
                self.committed()
                return applied
            case Carry(flow):
                return run(flow, self.client)
            case Read(call):
                return call()


class AsyncDriver:
    """Carry operations on an event loop."""

    def __init__(
        self, writer: Submits, client: httpx.AsyncClient, committed: Callable[[], None] = lambda: None
    ) -> None:
        self.writer, self.client, self.committed = writer, client, committed

    async def __call__(self, operation: Operation[T]) -> T:
        """Run *operation* to its end and return its result."""
        result, error = None, None
        while True:
            try:
                effect = operation.throw(error) if error is not None else operation.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            try:
                result, error = await self._do(effect), None
            except Exception as raised:  # noqa: BLE001 - whatever went wrong is the operation's to judge
                result, error = None, raised

    async def _do(self, effect: Effect) -> Any:
        match effect:
            case Commit(work):
                # Shielded: a caller that goes away must not make a durable change look undone.
                applied = await asyncio.shield(asyncio.wrap_future(self.writer.submit(work)))
                self.committed()
                return applied
            case Carry(flow):
                return await arun(flow, self.client)
            case Read(call):
                return await asyncio.to_thread(call)
