"""Group commit: one thread hands whatever waits to the durable step, so that deliveries of one moment share a commit."""

from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeAlias

from bursar.errors import Busy
from bursar.work import Applied, Dossiers, Work

__all__ = ["Writer"]

_Waiting: TypeAlias = tuple[Work, "Future[Applied]"]


class Writer:
    """Collect work from any thread and do it in batches of up to *batch*, adding no delay of its own.

    While one batch commits, the next one gathers. At most *queue* pieces of work wait; more are refused with `Busy`.
    """

    def __init__(self, store: Dossiers, *, batch: int = 64, queue: int = 1024) -> None:
        self._store, self._batch, self._room = store, batch, queue
        self._waiting = SimpleQueue[_Waiting | None]()
        self._lock, self._closed = Lock(), False
        self._thread = Thread(target=self._run, name="bursar-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> "Future[Applied]":
        """Hand in *work*; the future is done once it is durable, or has failed. Raises `Busy` where nothing was taken."""
        future = Future[Applied]()
        with self._lock:
            if self._closed:
                raise Busy("the writer is closing; nothing was taken")
            if self._waiting.qsize() >= self._room:
                raise Busy(f"{self._room} pieces of work wait already; nothing was taken")
            self._waiting.put((work, future))
        return future

    def close(self) -> None:
        """Do what waits, then stop. Safe to call again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            members: list[_Waiting] = []
            taken = self._waiting.get()
            while taken is not None:
                # What its caller has given up before it was begun is not done.
                if taken[1].set_running_or_notify_cancel():
                    members.append(taken)
                if len(members) >= self._batch or self._waiting.empty():
                    break
                taken = self._waiting.get()
            if members:
                self._do(members)
            if taken is None:
                return

    def _do(self, members: list[_Waiting]) -> None:
        answers: Sequence[Applied | BaseException]
        try:
            answers = self._store.step([work for work, _ in members])
        except BaseException as error:  # noqa: BLE001 - it is every caller's answer, and the thread goes on
            answers = [error] * len(members)
        for (_, future), answer in zip(members, answers, strict=True):
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
