"""Webhooks and their deliveries: one strict queue for each webhook, kept in memory only.

A failing event holds back every later one of its webhook, waits included; those then go out with their old timestamp.
A first delivery is signed with the secret as it was when the event was queued, a repeated one with the present secret.
A webhook that is disabled, deleted or no longer subscribed drops what is queued without a record.
"""

import hmac
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from bursar.testing.sandboxes import Outgoing
from bursar_btcpay.sandbox.ids import Ids
from bursar_btcpay.sandbox.wire import write_json

__all__ = ["RETRY_GAPS", "VERSION", "Attempt", "Postbox", "Record", "Webhook"]

RETRY_GAPS: Final = (10, 60, 600, 600, 600, 600, 600, 600)
VERSION: Final = "2.4.1"
_BASE: Final = ("deliveryId", "webhookId", "originalDeliveryId", "isRedelivery", "type", "timestamp")


@attrs.define
class Webhook:
    id: str
    store: str
    url: str
    secret: str = attrs.field(repr=False)
    enabled: bool = True
    automatic: bool = True
    everything: bool = True
    events: tuple[str, ...] = ()

    def wants(self, event: str) -> bool:
        return self.enabled and (self.everything or event in self.events)


@attrs.define
class Attempt:
    """One event on its way to one webhook, at its present attempt. Times are Unix seconds."""

    id: str
    original: str
    webhook: str
    url: str
    secret: str = attrs.field(repr=False)
    event: dict[str, Any] = attrs.field(repr=False)
    queued: float
    at: float
    order: int
    tries: int = 0
    trace: str = ""
    sent: float = 0.0

    @property
    def body(self) -> bytes:
        return write_json(self.event, indented=True)


@attrs.frozen
class Record:
    """What is remembered of an attempt that was made. *http* is None where nothing answered."""

    id: str
    original: str
    webhook: str
    queued: float
    sent: float
    http: int | None
    error: str | None
    event: dict[str, Any] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    @property
    def status(self) -> str:
        if self.http is None:
            return "Failed"
        return "HttpError" if self.error else "HttpSuccess"


class Postbox:
    """Keep webhooks, what waits for each, and what became of what was sent."""

    def __init__(self, ids: Ids) -> None:
        self._ids, self._order = ids, 0
        self.webhooks: dict[str, Webhook] = {}
        self.records: dict[str, Record] = {}
        self._queues: dict[str, deque[Attempt]] = {}

    def publish(
        self, store: str, event: str, *, first: Mapping[str, Any], last: Mapping[str, Any], now: float
    ) -> None:
        """Queue *event* for every webhook of *store* that wants it: *first* leads its body, *last* ends it."""
        for webhook in self.webhooks.values():
            if webhook.store == store and webhook.wants(event):
                id = self._ids.short()
                base = self._base(id, webhook.id, id, event, int(now))
                body = {**first, **base, **last}
                self._queue(Attempt(id, id, webhook.id, webhook.url, webhook.secret, body, now, now, 0))

    def redeliver(self, record: Record, *, now: float) -> str:
        """Queue what *record* sent once more, and return the new delivery's id."""
        attempt = self._again(record, now)
        attempt.trace = self._ids.trace()
        self._queue(attempt)
        return attempt.id

    def due(self, now: float) -> list[Outgoing]:
        """Return the head of every queue whose time has come."""
        ready: list[Attempt] = []
        for id, queue in self._queues.items():
            while queue and queue[0].at <= now:
                if self._sendable(queue[0], self.webhooks.get(id)):
                    queue[0].sent = now
                    ready.append(queue[0])
                    break
                queue.popleft()
        return [
            _outgoing(attempt) for attempt in sorted(ready, key=lambda attempt: (attempt.at, attempt.order))
        ]

    def answered(self, id: str, status: int | None, *, now: float) -> None:
        """Record how the attempt *id* was answered, and queue its repetition where there is to be one."""
        queue = next((queue for queue in self._queues.values() if queue and queue[0].id == id), None)
        if queue is None:
            return
        attempt = queue[0]
        record = _record(attempt, status)
        self.records[id] = record
        webhook = self.webhooks.get(attempt.webhook)
        again = record.status != "HttpSuccess" and (status is None or status >= 500 or status in {408, 429})
        if again and webhook is not None and webhook.automatic and attempt.tries < len(RETRY_GAPS):
            queue[0] = self._again(record, now)
            queue[0].at = now + RETRY_GAPS[attempt.tries]
            queue[0].queued = queue[0].at
            queue[0].tries = attempt.tries + 1
            queue[0].order = attempt.order
        else:
            queue.popleft()

    def forget(self) -> None:
        """Lose everything that waits, as a restart does; what was sent stays recorded."""
        self._queues.clear()

    def wakes_at(self) -> float | None:
        """Return when the next attempt is to be made."""
        return min((queue[0].at for queue in self._queues.values() if queue), default=None)

    def waiting(self) -> Iterator[Attempt]:
        """Return what waits, oldest first."""
        return iter(sorted((a for queue in self._queues.values() for a in queue), key=lambda a: a.order))

    def records_of(self, webhook: str) -> list[Record]:
        """Return what was sent to *webhook*, newest first."""
        # Of the same instant the later recorded is the newer.
        mine: Iterable[Record] = reversed([r for r in self.records.values() if r.webhook == webhook])
        return sorted(mine, key=lambda record: -record.queued)

    @staticmethod
    def _sendable(attempt: Attempt, webhook: Webhook | None) -> bool:
        if webhook is None or not webhook.wants(attempt.event["type"]):
            return False
        if attempt.tries:
            # A retry is made up when its time has come, with what the webhook says by then.
            attempt.secret, attempt.url = webhook.secret, webhook.url
            return webhook.automatic
        return True

    def _base(self, id: str, webhook: str, original: str, event: str, timestamp: int) -> dict[str, Any]:
        values = (id, webhook, original, id != original, event, timestamp)
        return dict(zip(_BASE, values, strict=True))

    def _again(self, record: Record, now: float) -> Attempt:
        webhook, id, old = self.webhooks[record.webhook], self._ids.short(), record.event
        base = self._base(id, webhook.id, record.original, old["type"], old["timestamp"])
        body = base | {name: value for name, value in old.items() if name not in base}
        return Attempt(id, record.original, webhook.id, webhook.url, webhook.secret, body, now, now, 0)

    def _queue(self, attempt: Attempt) -> None:
        self._order += 1
        attempt.order = self._order
        self._queues.setdefault(attempt.webhook, deque()).append(attempt)


def _record(attempt: Attempt, status: int | None) -> Record:
    if status is None:
        error: str | None = f"Connection refused ({urlsplit(attempt.url).netloc})"
    else:
        error = None if 200 <= status < 300 else f"HTTP Error Code {status}"
    return Record(
        id=attempt.id,
        original=attempt.original,
        webhook=attempt.webhook,
        queued=attempt.queued,
        sent=attempt.sent,
        http=status,
        error=error,
        event=attempt.event,
        body=attempt.body,
    )


def _outgoing(attempt: Attempt) -> Outgoing:
    body = attempt.body
    mac = hmac.new(attempt.secret.encode(), body, "sha256").hexdigest()
    headers = [("Host", urlsplit(attempt.url).netloc), ("User-Agent", f"BTCPayServer/{VERSION}")]
    if attempt.trace:
        headers.append(("traceparent", attempt.trace))
    headers += [
        ("Content-Type", "application/json"),
        ("BTCPay-Sig", f"sha256={mac}"),
        ("Content-Length", str(len(body))),
    ]
    event = attempt.event
    return Outgoing(
        id=attempt.id,
        url=attempt.url,
        headers=tuple(headers),
        body=body,
        event=event["type"],
        payment_id=event.get("invoiceId", ""),
    )
