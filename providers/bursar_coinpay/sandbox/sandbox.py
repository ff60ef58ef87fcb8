"""The sandbox as others see it: one business of CoinPay, its buyers, and its chain."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from email.utils import formatdate
from random import Random
from typing import ClassVar, Final
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bursar.errors import BadInput, NotFound
from bursar.testing.sandboxes import ASGIApp, Outgoing
from bursar_coinpay.sandbox import api, notices, panel
from bursar_coinpay.sandbox.creation import FAULTS
from bursar_coinpay.sandbox.ledger import WORKERS, Row
from bursar_coinpay.sandbox.limits import Limits
from bursar_coinpay.sandbox.machine import Machine
from bursar_coinpay.sandbox.outbox import Outbox
from bursar_coinpay.sandbox.tables import CODES

__all__ = ["CoinPaySandbox"]

_NOT_FOUND: Final = (
    "<!DOCTYPE html><html><body><h1>404</h1><p>This page could not be found.</p></body></html>"
)


class CoinPaySandbox:
    """Fake CoinPay for one business.

    *worker* is the one of CoinPay's four workers that wins every race (`A` to `D`), or `mixed`: then each payment draws
    one, so some tell everything, some next to nothing, and some not a word. *wallets* are the blockchain codes that the
    business can take, all by default.
    """

    name: ClassVar[str] = "coinpay"
    title: ClassVar[str] = "CoinPay"

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        url: str,
        seed: int = 0,
        worker: str = "mixed",
        wallets: Iterable[str] = CODES,
    ) -> None:
        if worker != "mixed" and worker not in tuple(WORKERS):
            raise BadInput(f"worker is one of {', '.join(WORKERS)} or 'mixed', not {worker!r}")
        self._draw = Random(seed)
        self._clock, self._url = clock, url.rstrip("/")
        self.lock = threading.RLock()
        self.api_key = f"cp_live_{self._draw.getrandbits(128):032x}"
        self.merchant_id = str(UUID(int=self._draw.getrandbits(128), version=4))
        self.wallets = frozenset(wallets)
        self.limits, self.faults = Limits(), deque[str]()
        self.exchange_feed_down = False
        self.outbox = Outbox(self._new_secret())
        self.machine = Machine(
            draw=self._draw,
            business_id=str(UUID(int=self._draw.getrandbits(128), version=4)),
            outbox=self.outbox,
            url=self._url,
            worker=worker,
        )
        self._app = Starlette(
            routes=[*api.routes(self), *panel.routes(self)],
            exception_handlers={404: _not_found, 405: _not_found},
        )

    @property
    def app(self) -> ASGIApp:
        """The service's API under `/api`, its pages for buyers, and `/panel`."""
        return self._app

    @property
    def now(self) -> float:
        """The service's clock."""
        return self._clock()

    def date(self) -> str:
        """Return the service's clock as its answers show it."""
        return formatdate(self.now, usegmt=True)

    def account(self, *, webhook_url: str) -> dict[str, str]:
        """Set the business's webhook address, which makes a new secret where it changes, and return its settings."""
        with self.lock:
            if self.outbox.url not in ("", webhook_url):
                self.outbox.secret = self._new_secret()
            self.outbox.url = webhook_url
            return {
                "url": f"{self._url}/api",
                "api_key": self.api_key,
                "business_id": self.machine.business_id,
                "webhook_secret": self.outbox.secret,
                "allow_http": "true",
            }

    def rotate_secret(self) -> str:
        """Make a new webhook secret and return it; what is queued is signed with it from now on."""
        with self.lock:
            self.outbox.secret = self._new_secret()
            return self.outbox.secret

    def due(self) -> Sequence[Outgoing]:
        """Return the deliveries to attempt now."""
        with self.lock:
            self.tick()
            return self.outbox.due(self.now)

    def answered(self, outgoing: Outgoing, status: int | None) -> None:
        """Tell how an attempt was answered."""
        with self.lock:
            self.outbox.answered(outgoing, status, self.now)

    def wakes_at(self) -> float | None:
        """Return when something is next due."""
        with self.lock:
            times = (self.outbox.wakes_at(), self.machine.wakes_at(self.now))
            return min((at for at in times if at is not None), default=None)

    def tick(self) -> None:
        """Have the workers pass by."""
        with self.lock:
            self.machine.pass_by(self.now)

    def payments(self) -> Sequence[str]:
        """Return the ids of all payments, oldest first."""
        with self.lock:
            return list(self.machine.rows)

    def pay(self, payment_id: str, *, share: Decimal = Decimal(1)) -> str:
        """Send *share* of what a buyer is shown, unconfirmed; return the transaction's id."""
        with self.lock:
            self.tick()
            row = self.row(payment_id)
            if row.crypto_amount is None or share <= 0:
                raise BadInput("there is no address to pay to, or nothing was to be paid")
            return self.machine.send(row, row.asked * share).id

    def confirm(self, payment_id: str) -> None:
        """Put all that was sent into a block, and have the payment's worker look."""
        with self.lock:
            self.tick()
            row = self.row(payment_id)
            for sent in row.sent:
                sent.state = "confirmed" if sent.state == "unconfirmed" else sent.state
            if row.status == "pending" and row.funded:
                self.machine.look(row, row.worker, self.now)
            self.tick()

    def double_spend(self, payment_id: str) -> None:
        """Take back all that is unconfirmed."""
        with self.lock:
            for sent in self.row(payment_id).sent:
                sent.state = "gone" if sent.state == "unconfirmed" else sent.state

    def expire(self, payment_id: str, *, ago: int = 1) -> None:
        """Move the payment's own window so that it ended *ago* seconds ago, and have its worker pass by."""
        with self.lock:
            row = self.row(payment_id)
            moved = row.expires_at - (self.now - ago)
            if moved > 0:
                row.created_at, row.expires_at = row.created_at - moved, row.expires_at - moved
            # Worker A is whoever asks; it does not pass by.
            if row.worker != "A":
                self.machine.look(row, row.worker, self.now)
            self.tick()

    def pay_card(self, payment_id: str) -> None:
        """Pay by card."""
        with self.lock:
            self.machine.pay_card(self.row(payment_id), self.now)

    def decline_card(self, payment_id: str) -> None:
        """Have the card declined; the buyer may try again."""
        with self.lock:
            self.machine.decline_card(self.row(payment_id), self.now)

    def choose_worker(self, payment_id: str, worker: str) -> None:
        """Have *worker* (`A` to `D`) see the payment first."""
        if worker not in tuple(WORKERS):
            raise BadInput(f"a worker is one of {', '.join(WORKERS)}, not {worker!r}")
        with self.lock:
            self.row(payment_id).worker = worker

    def fail_payout(self, payment_id: str, *, times: int = 1) -> None:
        """Have the next *times* payouts to the merchant fail."""
        with self.lock:
            self.row(payment_id).forward_failures = times

    def fail_next(self, fault: str) -> None:
        """Have the next payment that is asked for fail, in one of the ways that `creation.FAULTS` names."""
        if fault not in FAULTS:
            raise BadInput(f"no fault {fault!r}; there are {', '.join(FAULTS)}")
        with self.lock:
            self.faults.append(fault)

    def send_test(self) -> None:
        """Send what the dashboard's test button sends."""
        with self.lock:
            data, now = notices.tested(self.now), self.now
            notice = notices.enveloped("test.webhook", data, business_id=self.machine.business_id, now=now)
            self.outbox.add(notice | {"id": f"evt_{data['payment_id']}"}, durable=False, now=now)

    def row(self, payment_id: str) -> Row:
        """Return the payment as the service keeps it; raise `NotFound` where there is none."""
        try:
            return self.machine.rows[payment_id]
        except KeyError:
            raise NotFound(f"the sandbox has no payment {payment_id!r}") from None

    def _new_secret(self) -> str:
        return f"whsecret_{self._draw.getrandbits(256):064x}"


async def _not_found(request: Request, error: Exception) -> Response:
    return HTMLResponse(_NOT_FOUND, 404)
