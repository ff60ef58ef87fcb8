"""Receive a webhook: prove it, read it, keep it with its effect, and answer as the service's habits ask.

The answer loses nothing and blocks nothing: what is genuine is kept before it is answered, even what cannot be read; what
is forged is refused for good; only our own trouble asks the service to come again.
"""

from collections.abc import Mapping
from typing import Final

import attrs
import structlog

from bursar.desk import Account, Desk
from bursar.effects import Commit, Operation
from bursar.errors import BadDelivery, BadSignature, BursarError, Busy, ConfigError, NotFound, OutcomeUnknown
from bursar.providers import Delivery, Reading
from bursar.signatures import verify
from bursar.work import Applied, Arrival

__all__ = ["Answer", "receive"]

_log = structlog.get_logger("bursar.receiving")
_KEPT_HEADERS: Final = 40


@attrs.frozen
class Answer:
    """Hold how to answer a provider: the HTTP *status*, a short *text*, and *retry_after* in seconds where it helps."""

    status: int
    text: str
    retry_after: int | None = None


def receive(desk: Desk, account: str, body: bytes, headers: Mapping[str, str]) -> Operation[Answer]:
    """Take one delivery at the URL of *account*. Never raises for what was sent; `Busy` and our own faults become 503."""
    try:
        at = desk.account(account) if account else None
    except NotFound:
        at = None
    if at is None:
        return Answer(404, "no such account")
    now = desk.now
    try:
        genuine = verify(at.provider.scheme, body, headers, secrets=at.provider.secrets(), now=now)
    except BadSignature as error:
        _log.warning("forged delivery refused", account=at.name, reason=str(error), size=len(body))
        return Answer(401, f"not genuine: {error}")
    except ConfigError as error:
        _log.error("delivery cannot be proved", account=at.name, reason=str(error))
        return Answer(503, "not kept; send it again", 60)
    kept_headers = {name.lower(): value for name, value in list(headers.items())[:_KEPT_HEADERS]}
    reading = _read(at, Delivery(genuine.body, kept_headers, now))
    arrival = Arrival(
        account=at.name,
        body=genuine.body,
        headers=kept_headers,
        at=now,
        event=reading.event,
        event_id=reading.event_id,
        seen=reading.seen,
    )
    try:
        applied = yield from _keep(arrival)
    except Busy as error:
        return Answer(503, str(error), 5)
    except Exception as error:  # noqa: BLE001 - nothing was kept, whatever it was: the service must come again
        _log.error("delivery not kept", account=at.name, event_name=reading.event, error=type(error).__name__)
        return Answer(503, "not kept; send it again", 10)
    if applied.parked:
        _log.info("delivery parked", account=at.name, event_name=reading.event)
    return Answer(200, "kept" if applied.fresh else "kept already")


def _keep(arrival: Arrival) -> Operation[Applied]:
    try:
        applied: Applied = yield Commit(arrival)
    except (Busy, OutcomeUnknown):
        raise
    except BursarError as error:
        # It would fail the same way every time, and a service that repeats it may hold everything back behind it.
        _log.error("delivery has no effect; kept as it came", account=arrival.account, reason=str(error))
        applied = yield Commit(
            attrs.evolve(
                arrival,
                event="unreadable",
                event_id="",
                seen=(),
                headers={_ascii(name): _ascii(value) for name, value in arrival.headers.items()},
            )
        )
    return applied


def _ascii(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def _read(at: Account, delivery: Delivery) -> Reading:
    try:
        return at.provider.read_webhook(delivery)
    except BadDelivery as error:
        _log.error("genuine delivery unreadable; kept as it came", account=at.name, reason=str(error))
        return Reading("unreadable")
    except BursarError as error:
        _log.error("delivery not understood; kept as it came", account=at.name, reason=str(error))
        return Reading("unreadable")
    except Exception as error:  # noqa: BLE001 - a plugin's fault must not lose what it failed to read
        _log.error(
            "provider plugin failed on a delivery; kept as it came", account=at.name, error=repr(error)
        )
        return Reading("unreadable")
