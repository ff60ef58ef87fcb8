"""What is known of one payment: observations, and the join that makes facts of them.

Two rules. An observation never sets anything: it *is* a small set of facts, and facts are joined. And the join is
associative, commutative and idempotent (a join-semilattice), so that order of arrival, duplicates and the mixture of
webhooks and polls cannot matter. What the facts mean is said in `bursar.lifecycle`, and nowhere else.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Generic, Self, TypeVar

import attrs

from bursar.errors import BadInput
from bursar.money import Money

__all__ = ["Facts", "Flag", "Observation", "Said", "Stage", "Transfer", "Word", "join_said", "polled_facts"]

T = TypeVar("T")


class Word(Enum):
    """Say in one word what a provider holds of a payment, in the order in which the words follow one another."""

    NEW = "new"
    """Nothing that counts has arrived, and the buyer may still pay."""
    PARTIAL = "partial"
    """Something arrived, not enough yet, and the buyer may still pay the rest."""
    PROCESSING = "processing"
    """Enough was seen, but it is not final."""
    EXPIRED = "expired"
    """The buyer's window closed and nothing that counts had arrived."""
    UNDERPAID = "underpaid"
    """The window closed on too little."""
    LATE = "late"
    """Enough arrived, but only after the window had closed."""
    SETTLED = "settled"
    """Enough arrived and is final, or the merchant said so at the provider."""
    INVALID = "invalid"
    """The provider, or the merchant at the provider, took the payment back."""


class Stage(Enum):
    """Say how far one transfer of money has come."""

    SEEN = "seen"
    CONFIRMED = "confirmed"
    INVALID = "invalid"


class Flag(Enum):
    """Mark what was once said of a payment; a flag is joined by *or* and never taken back."""

    BY_HAND = "by_hand"
    """The merchant marked the payment at the provider; money need not have moved."""
    OVERPAID = "overpaid"
    """The provider said that more than enough arrived."""
    LATE = "late"
    """The provider said that money arrived after the window."""
    DECLINED = "declined"
    """One try of the buyer failed (a declined card); another may follow."""
    LAPSED = "lapsed"
    """Our own timer ran out and the provider, asked again, knew of no payment."""
    GONE = "gone"
    """The provider no longer knows the payment."""


@attrs.frozen
class Said(Generic[T]):
    """Keep the latest instant, what was said at that instant, and all that was ever said.

    *at* is the provider's clock in whole Unix seconds, or 0 for ever where its words only advance.
    """

    at: int
    now: frozenset[T]
    ever: frozenset[T]

    @classmethod
    def once(cls, word: T, at: int) -> Self:
        """Say one word at one instant."""
        return cls(at, frozenset({word}), frozenset({word}))

    def join(self, other: "Said[T]") -> "Said[T]":
        ever = self.ever | other.ever
        if self.at != other.at:
            later = self if self.at > other.at else other
            return Said(later.at, later.now, ever)
        return Said(self.at, self.now | other.now, ever)


def join_said(one: Said[T] | None, other: Said[T] | None) -> Said[T] | None:
    """Join two sayings of which either may be missing."""
    if one is None or other is None:
        return one or other
    return one.join(other)


@attrs.frozen
class Transfer:
    """Know one movement of money by the provider's id.

    *amount* joins by maximum: a provider that reports only a running total uses one id for all of it. *paid_at* is the
    transfer's own time, the earliest known, in Unix seconds. *listed* says that a poll has named it, so that the total of
    that poll accounts for it (`polled_facts` marks it; a provider need not).
    """

    id: str
    amount: Money
    stage: Said[Stage]
    paid_at: int | None = None
    listed: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.id, self.amount.asset.code, self.amount.asset.decimals)

    def join(self, other: "Transfer") -> "Transfer":
        times = [at for at in (self.paid_at, other.paid_at) if at is not None]
        return Transfer(
            self.id,
            max(self.amount, other.amount),
            self.stage.join(other.stage),
            min(times) if times else None,
            self.listed or other.listed,
        )


def _by_key(transfers: Iterable[Transfer]) -> tuple[Transfer, ...]:
    known: dict[tuple[str, str, int], Transfer] = {}
    for transfer in transfers:
        known[transfer.key] = known[transfer.key].join(transfer) if transfer.key in known else transfer
    return tuple(known[key] for key in sorted(known))


@attrs.frozen
class Facts:
    """Hold all that is known of one payment.

    *verdict* is the provider's word with its latest instant; *polled* the same from polls alone, to see whether a poll
    was overruled; *credited* the provider's running total in the billed currency; *billed* every amount it was ever
    seen to ask for; *refunds* the provider's ids of refunds that it was ever seen to make of this payment, by us or by
    hand.
    """

    verdict: Said[Word] | None = None
    polled: Said[Word] | None = None
    transfers: tuple[Transfer, ...] = attrs.field(default=(), converter=_by_key)
    credited: Said[Money] | None = None
    billed: frozenset[Money] = frozenset()
    flags: frozenset[Flag] = frozenset()
    refunds: frozenset[str] = frozenset()

    def join(self, other: "Facts") -> "Facts":
        """Return what both know together; the order never matters, nor does saying it twice."""
        return Facts(
            verdict=join_said(self.verdict, other.verdict),
            polled=join_said(self.polled, other.polled),
            transfers=self.transfers + other.transfers,
            credited=join_said(self.credited, other.credited),
            billed=self.billed | other.billed,
            flags=self.flags | other.flags,
            refunds=self.refunds | other.refunds,
        )


def polled_facts(facts: Facts) -> Facts:
    """Return what a poll's answer says, with the transfers that it lists marked as such."""
    return attrs.evolve(facts, transfers=tuple(attrs.evolve(t, listed=True) for t in facts.transfers))


def _check_id(_: object, __: object, provider_id: str) -> None:
    if not 1 <= len(provider_id) <= 200:
        raise BadInput("an observation names its subject by the provider's id, of 1 to 200 characters")


@attrs.frozen
class Observation:
    """Report what one delivery or one poll says about one payment, in provider-neutral terms.

    *payment_id* is the provider's id; *event* its own name for what happened, for the history.
    """

    payment_id: str = attrs.field(validator=_check_id)
    facts: Facts
    event: str = ""
