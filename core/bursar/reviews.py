"""What a person should look at, and what can be done about it."""

from enum import Enum
from typing import Final

import attrs

from bursar.money import Money

__all__ = ["REMEDIES", "Reason", "Review"]


class Reason(Enum):
    """Say why a person should look."""

    PAID_TWICE = "paid_twice"
    SURPLUS = "surplus"
    UNDERPAID = "underpaid"
    PAID_LATE = "paid_late"
    PAID_AFTER_CANCEL = "paid_after_cancel"
    MONEY_ON_FAILED = "money_on_failed"
    MARKED_BY_HAND = "marked_by_hand"
    REVERSED = "reversed"
    MISMATCH = "mismatch"
    TIE = "tie"
    OVER_REFUNDED = "over_refunded"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REFUND_BY_HAND = "refund_by_hand"
    REFUND_FAILED = "refund_failed"


REMEDIES: Final[dict[Reason, tuple[str, ...]]] = {
    Reason.PAID_TWICE: ("refund", "resolve"),
    Reason.SURPLUS: ("refund", "resolve"),
    Reason.UNDERPAID: ("accept", "refund", "resolve"),
    Reason.PAID_LATE: ("accept", "refund", "resolve"),
    Reason.PAID_AFTER_CANCEL: ("refund", "accept", "resolve"),
    Reason.MONEY_ON_FAILED: ("accept", "refund", "resolve"),
    Reason.MARKED_BY_HAND: ("accept", "resolve"),
    Reason.REVERSED: ("resolve",),
    Reason.MISMATCH: ("accept", "refund", "resolve"),
    Reason.TIE: ("sync", "resolve"),
    Reason.OVER_REFUNDED: ("resolve",),
    Reason.OUTCOME_UNKNOWN: ("sync", "resolve"),
    Reason.REFUND_BY_HAND: ("record", "withdraw"),
    Reason.REFUND_FAILED: ("refund", "resolve"),
}
"""What a person can do about each finding, the usual one first."""


@attrs.frozen(order=False)
class Review:
    """Ask a person to look: why, at which payment or refund, and at how much in the order's currency where it is known."""

    reason: Reason
    payment: int | None = None
    amount: Money | None = None
    refund: int | None = None

    @property
    def key(self) -> str:
        """Name this finding, so that it can be resolved; another amount is another finding."""
        parts = [self.reason.value, str(self.payment or ""), str(self.amount or "")]
        return ":".join(parts if self.refund is None else [*parts, f"refund {self.refund}"])
