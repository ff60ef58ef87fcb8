"""Be killed: run one operation in a process of its own, which kills itself (SIGKILL) at the edge that it is told.

`python -m bursar.testing.faults.victim CONFIG OPERATION EDGE NTH HOST CLOCK`; `bursar.testing.faults.killing` starts it.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from bursar.config import load_config
from bursar.service import Bursar
from bursar.testing.faults.edges import BreakingDriver, BreakingTransport, Edge, Place, Send, Trap

__all__ = ["ACTS", "KILLS", "main"]


def _die() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _before_request(request: httpx.Request, send: Send) -> httpx.Response:
    answer: httpx.Response = _die()
    return answer


def _after_answer(request: httpx.Request, send: Send) -> httpx.Response:
    send().read()
    answer: httpx.Response = _die()
    return answer


def _before_commit(keep: Callable[[], Any]) -> Any:
    return _die()


def _after_commit(keep: Callable[[], Any]) -> Any:
    keep()
    return _die()


KILLS: Final = (
    Edge("killed before it is kept", Place.COMMIT, commit=_before_commit),
    Edge("killed after it is kept", Place.COMMIT, commit=_after_commit),
    Edge("killed before the request leaves", Place.WIRE, _before_request),
    Edge("killed before the answer is kept", Place.WIRE, _after_answer),
)


def _cancel(bursar: Bursar, key: str) -> None:
    bursar.cancel(key, who="clerk")
    bursar.run_due()


ACTS: Final[Mapping[str, Callable[[Bursar, str], object]]] = {
    "open": lambda bursar, key: bursar.start_payment(key),
    "refund": lambda bursar, key: bursar.refund(key, who="clerk", operation="return-1"),
    "cancel": _cancel,
    "poll": lambda bursar, _: bursar.run_due(),
    "tell the shop": lambda bursar, _: bursar.run_due(),
}
"""The same calls that `bursar.testing.faults.operations` makes, by the operation's name."""


def main(arguments: list[str]) -> int:
    """Run until the edge; return 0 where it was never met."""
    path, name, edge, nth, host, clock = arguments
    kill = next(one for one in KILLS if one.name == edge)
    trap = Trap(kill, host=host, nth=int(nth), armed=True)
    bursar = Bursar(
        load_config(path, env={}),
        clock=lambda: float(clock),
        transport=BreakingTransport(httpx.HTTPTransport(), trap),
    )
    driver = BreakingDriver(bursar.writer, bursar.client)
    driver.trap = trap
    bursar.driver, bursar.courier.driver = driver, driver
    ACTS[name](bursar, bursar.find("1001").key)
    bursar.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
