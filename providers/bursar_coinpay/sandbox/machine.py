"""What the service does with a payment: its workers, its payouts, its second looks. Time is passed in."""

import math
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any, Final
from uuid import UUID

from bursar_coinpay.sandbox import notices
from bursar_coinpay.sandbox.ledger import WINDOW, WORKERS, Card, Row, Sent
from bursar_coinpay.sandbox.outbox import Outbox
from bursar_coinpay.sandbox.tables import FEES, new_address, quote

__all__ = ["Machine"]

_FEE: Final = Decimal("0.01")
_PAYOUT_TAKES: Final = 2
_RESCAN: Final = (30 * 60, 30 * 24 * 3600)
_PAYOUT_TRIES: Final = 5
_PASSES: Final = {"B": 60, "C": 60, "D": 15}
_LOUD: Final = frozenset("BC")


class Machine:
    """Hold one business's payments. *worker* is the worker that sees every payment first, or `mixed`."""

    def __init__(self, *, draw: Random, business_id: str, outbox: Outbox, url: str, worker: str) -> None:
        self._draw, self._url, self._worker = draw, url, worker
        self.business_id, self.outbox = business_id, outbox
        self.rows: dict[str, Row] = {}
        self.keys: dict[str, Row] = {}

    def open(
        self, *, amount: Decimal, code: str, method: str, metadata: dict[str, Any], key: str, now: float
    ) -> Row:
        """Write a payment and give it an address."""
        draw = self._draw
        coin = method != "card"
        fee = FEES.get(code, Decimal("0.01"))
        crypto = quote(amount + fee, code) if coin else None
        priced = {
            "network_fee_usd": fee,
            "network_fee_amount": fee,
            "total_amount": amount + fee,
            "total_amount_currency": "USD",
            "total_amount_usd": amount + fee,
        }
        row = Row(
            id=str(UUID(int=draw.getrandbits(128), version=4)),
            business_id=self.business_id,
            amount=amount,
            code=code,
            crypto_amount=crypto,
            address=new_address(code, draw) if coin else "",
            metadata={**metadata, **({"wallet_source": "business", **priced} if coin else {})},
            worker=draw.choice(WORKERS) if self._worker == "mixed" else self._worker,
            forward_delay=draw.choice((0, 3, 20, 60)),
            created_at=now,
            updated_at=now,
            expires_at=now + WINDOW,
            method=method,
            key=key,
        )
        self.rows[row.id] = row
        if key:
            self.keys[key] = row
        return row

    def open_card(self, row: Row, *, success_url: str, cancel_url: str) -> None:
        """Open a card session beside the payment."""
        session = f"cs_test_{self._draw.getrandbits(96):024x}"
        page = f"{self._url}/pay/{row.id}"
        row.card = Card(
            session,
            f"{self._url}/card/{session}",
            success_url or f"{page}?status=success",
            cancel_url or page,
        )
        row.metadata |= {
            "stripe_checkout_url": row.card.url,
            "stripe_session_id": session,
            "payment_method": row.method,
        }

    def send(self, row: Row, amount: Decimal) -> Sent:
        """Put a transfer to the payment's address on the chain, unconfirmed."""
        sent = Sent(f"{self._draw.getrandbits(256):064x}", row.rounded(amount))
        row.sent.append(sent)
        return sent

    def look(self, row: Row, worker: str, now: float) -> str:
        """Have one worker look at one pending payment; return the status that this leads to."""
        if row.status != "pending":
            return row.status
        over = now >= row.expires_at
        if row.funded and not (worker == "C" and over):
            self._confirm(row, worker, now)
        elif over:
            row.status, row.updated_at = "expired", now
            if worker in _LOUD:
                self._tell("payment.expired", notices.expired(row, now), now, durable=False)
        return row.status

    def pass_by(self, now: float) -> None:
        """Do all that is due: ends of windows, payouts, second looks at late money."""
        for row in self.rows.values():
            while any(at <= now for at in self._due(row, now)):
                self._step(row, now)

    def wakes_at(self, now: float) -> float | None:
        """Return when something is next due."""
        return min((at for row in self.rows.values() for at in self._due(row, now)), default=None)

    def pay_card(self, row: Row, now: float) -> None:
        """Charge the card: the payment is confirmed, whatever it was before."""
        if row.card is None or row.card.state == "paid":
            return
        row.card.state = "paid"
        if row.status in ("pending", "expired"):
            row.status, row.confirmed_at, row.updated_at = "confirmed", now, now
        intent = f"pi_{self._draw.getrandbits(96):024x}"
        self._tell("payment.confirmed", notices.card_notice(row, intent, paid=True), now, durable=True)

    def decline_card(self, row: Row, now: float) -> None:
        """Decline the card: only the notice says so, and the buyer may try again."""
        if row.card is not None and row.card.state == "open":
            intent = f"pi_{self._draw.getrandbits(96):024x}"
            self._tell("payment.failed", notices.card_notice(row, intent, paid=False), now, durable=True)

    def _due(self, row: Row, now: float) -> Iterator[float]:
        pass_every = _PASSES.get(row.worker)
        if row.status == "pending" and pass_every:
            yield math.ceil(row.expires_at / pass_every) * pass_every
        if row.forward_due is not None:
            yield row.forward_due
        if row.payout_due is not None:
            yield row.payout_due
        if self._to_rescan(row, now):
            yield max(row.expires_at + _RESCAN[0], (row.scanned_at // 60 + 1) * 60)

    def _step(self, row: Row, now: float) -> None:
        if row.payout_due is not None and row.payout_due <= now:
            self._pay_out(row, now)
        elif row.forward_due is not None and row.forward_due <= now:
            row.status, row.forward_due = "forwarding", None
            row.payout_due = now + _PAYOUT_TAKES
        elif row.status == "pending":
            self.look(row, row.worker, now)
        else:
            row.scanned_at = now
            # Unconditional, so that a status goes backwards, and tells again what was told before.
            self._confirm(row, "B", now)

    def _to_rescan(self, row: Row, now: float) -> bool:
        looked_at = row.status in ("expired", "confirmed", "forwarding_failed", "forwarding")
        return looked_at and row.funded and now <= row.expires_at + _RESCAN[1]

    def _confirm(self, row: Row, worker: str, now: float) -> None:
        row.status, row.confirmed_at, row.updated_at = "confirmed", now, now
        row.payout_due = None
        if worker == "A":
            self._tell(
                "payment.confirmed", notices.confirmed_in_full(row, row.balance, now), now, durable=True
            )
        elif worker in _LOUD:
            self._tell(
                "payment.confirmed", notices.confirmed_thinly(row, row.balance, now), now, durable=False
            )
        if worker == "A":
            row.status = "forwarding"
            self._pay_out(row, now)
        elif row.forward_due is None:
            row.forward_due = now + row.forward_delay

    def _pay_out(self, row: Row, now: float) -> None:
        row.payout_due, row.forward_tries = None, row.forward_tries + 1
        if row.forward_failures > 0:
            row.forward_failures -= 1
            row.status, row.updated_at = "forwarding_failed", now
            if row.forward_tries < _PAYOUT_TRIES:
                row.forward_due = now + min(60 * 2 ** (row.forward_tries - 1), 3600)
            return
        moved = row.balance
        fee = row.rounded(moved * _FEE)
        row.swept += moved
        row.status, row.forwarded_at, row.updated_at = "forwarded", now, now
        row.forward_tx = f"{self._draw.getrandbits(256):064x}"
        fee_tx = f"{self._draw.getrandbits(256):064x}"
        told = notices.forwarded(row, fee=fee, merchant=moved - fee, fee_tx=fee_tx)
        self._tell("payment.forwarded", told, now, durable=True)

    def _tell(self, kind: str, data: dict[str, Any], now: float, *, durable: bool) -> None:
        notice = notices.enveloped(kind, data, business_id=self.business_id, now=now)
        self.outbox.add(notice, durable=durable, now=now)
