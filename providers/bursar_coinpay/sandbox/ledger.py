"""What the sandbox keeps of each payment, and what its chain holds."""

from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import attrs

from bursar_coinpay.sandbox.tables import DECIMALS, ticker

__all__ = ["WINDOW", "WORKERS", "Card", "Row", "Sent"]

WINDOW: Final = 15 * 60
WORKERS: Final = "ABCD"
"""A: `check-balance`, with everything told; B: the cron, with little told, once; C: as B, blind at the end of the
window; D: the monitor that tells nobody."""
_FORGIVEN: Final = Decimal("0.000000001")


@attrs.define
class Sent:
    """Hold one transfer to a payment's address."""

    id: str
    amount: Decimal
    state: str = "unconfirmed"


@attrs.define
class Card:
    """Hold the card session of a payment."""

    id: str
    url: str
    success_url: str
    cancel_url: str
    state: str = "open"


@attrs.define
class Row:
    """Hold one payment as the database of the service does, and its place on the chain."""

    id: str
    business_id: str
    amount: Decimal
    code: str
    crypto_amount: Decimal | None
    address: str
    metadata: dict[str, Any]
    worker: str
    forward_delay: int
    created_at: float
    expires_at: float
    method: str = "crypto"
    key: str = ""
    status: str = "pending"
    updated_at: float = 0
    confirmed_at: float | None = None
    forwarded_at: float | None = None
    forward_tx: str | None = None
    forward_due: float | None = None
    payout_due: float | None = None
    forward_failures: int = 0
    forward_tries: int = 0
    scanned_at: float = 0
    card: Card | None = None
    swept: Decimal = Decimal(0)
    sent: list[Sent] = attrs.Factory(list[Sent])

    @property
    def coin(self) -> str:
        return ticker(self.code)

    @property
    def decimals(self) -> int:
        return DECIMALS[self.coin]

    @property
    def asked(self) -> Decimal:
        """What a buyer is shown: the quote, rounded up to what the chain can carry."""
        return self.rounded(self.crypto_amount or Decimal(0))

    @property
    def balance(self) -> Decimal:
        """What the service's node sees at the address."""
        # The fallback for Bitcoin Cash counts what is not in a block yet.
        counted = ("confirmed", "unconfirmed") if self.code == "BCH" else ("confirmed",)
        return self.total(*counted) - self.swept

    @property
    def funded(self) -> bool:
        expected = self.crypto_amount
        return expected is not None and self.balance >= expected * (1 - _FORGIVEN)

    def rounded(self, amount: Decimal) -> Decimal:
        return amount.quantize(Decimal(1).scaleb(-self.decimals), ROUND_CEILING)

    def total(self, *states: str) -> Decimal:
        return sum((sent.amount for sent in self.sent if sent.state in states), Decimal(0))
