"""The sandbox's webhooks: what waits to be sent, how it is signed, and what becomes of it when it is refused."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

import attrs

from bursar.errors import BadInput
from bursar.testing.sandboxes import Outgoing
from bursar_coinpay.sandbox.writing import reordered, to_json

__all__ = ["QUEUE_MINUTES", "Job", "Outbox"]

QUEUE_MINUTES: Final = (1, 6, 21, 81, 261, 621, 1341, 2061)
"""When the queue tries again, in minutes after the sender gave up."""
_PAUSES: Final = (1, 2)


@attrs.define
class Job:
    """Hold one notice on its way. *durable* ones are tried again; the cron's go out once."""

    number: int
    notice: dict[str, Any]
    durable: bool
    due_at: float | None
    attempts: list[tuple[float, int | None]] = attrs.Factory(list[tuple[float, int | None]])
    queued_at: float | None = None
    queue_place: int = 0
    sending: Outgoing | None = None

    @property
    def kind(self) -> str:
        return str(self.notice["type"])

    @property
    def payment_id(self) -> str:
        return str(self.notice["data"]["payment_id"])

    @property
    def outcome(self) -> str:
        """Say in a word how it stands, for the panel."""
        if any(_taken(status) for _, status in self.attempts):
            return "delivered"
        if self.due_at is None:
            return "given up"
        return "waiting" if not self.attempts else "to be tried again"


class Outbox:
    """Hold the notices of one business, its webhook address and its secret."""

    def __init__(self, secret: str) -> None:
        self.url, self.secret = "", secret
        self.jobs: list[Job] = []

    def add(self, notice: dict[str, Any], *, durable: bool, now: float) -> None:
        """Send *notice* now. Without an address nothing is sent, nor kept."""
        if self.url:
            self.jobs.append(Job(len(self.jobs) + 1, notice, durable, now))

    def due(self, now: float) -> Sequence[Outgoing]:
        """Return what is to be sent now, the oldest attempt first."""
        waiting = [job for job in self.jobs if job.due_at is not None and job.due_at <= now]
        return [
            self._attempt(job, now) for job in sorted(waiting, key=lambda job: (job.due_at or 0, job.number))
        ]

    def answered(self, outgoing: Outgoing, status: int | None, now: float) -> None:
        """Note how an attempt was answered, and when the next one is."""
        job = next((job for job in self.jobs if job.sending and job.sending.id == outgoing.id), None)
        if job is None:
            raise BadInput(f"delivery {outgoing.id!r} is not under way")
        sent, job.sending = job.sending, None
        job.attempts.append((now, status))
        job.due_at = None
        if _taken(status) or not job.durable:
            return
        if job.queued_at is None and status is not None and len(job.attempts) <= len(_PAUSES):
            # Tried again by the sender itself, as it stands: same bytes, same signature.
            job.due_at, job.sending = now + _PAUSES[len(job.attempts) - 1], sent
            return
        if job.queued_at is None:
            job.queued_at = now
        else:
            job.queue_place += 1
        if job.queue_place < len(QUEUE_MINUTES):
            job.due_at = job.queued_at + QUEUE_MINUTES[job.queue_place] * 60

    def wakes_at(self) -> float | None:
        """Return when the next attempt is due."""
        return min((job.due_at for job in self.jobs if job.due_at is not None), default=None)

    def _attempt(self, job: Job, now: float) -> Outgoing:
        name = f"{job.number}.{len(job.attempts) + 1}"
        if job.sending is None:
            again = job.queued_at is not None
            body = to_json(reordered(job.notice) if again else job.notice).encode()
            job.sending = Outgoing(name, self.url, self._headers(body, now), body, job.kind, job.payment_id)
        elif job.sending.id != name:
            job.sending = attrs.evolve(job.sending, id=name)
        return job.sending

    def _headers(self, body: bytes, now: float) -> tuple[tuple[str, str], ...]:
        at = str(int(now))
        mac = hmac.new(self.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return (
            ("Content-Type", "application/json"),
            ("X-CoinPay-Signature", f"t={at},v1={mac}"),
            ("User-Agent", "CoinPay-Webhook/1.0"),
        )


def _taken(status: int | None) -> bool:
    return status is not None and 200 <= status < 300
