"""Money that goes back: what is known of one refund, its join, and what the facts mean.

The same two rules as in `bursar.facts`: facts are joined, never set, and the status is computed from them. A refund is
paid out in one or more payouts (a service may let the buyer claim it in parts, or never).
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import attrs

from bursar.errors import BadInput
from bursar.facts import Said, join_said
from bursar.money import Money

__all__ = [
    "Payout",
    "PayoutStage",
    "Refund",
    "RefundFacts",
    "RefundObservation",
    "RefundOrigin",
    "RefundStatus",
    "RefundWord",
    "Sending",
    "refund_paid",
    "refund_status",
    "refund_under_way",
]


class RefundStatus(Enum):
    """Say how far a refund has come."""

    REQUESTED = "requested"
    """The intent is kept; the provider has not been asked yet."""
    UNKNOWN = "outcome_unknown"
    """The provider was asked and the answer is missing; it is looked up, never resent blindly."""
    WAITING_FOR_BUYER = "waiting_for_buyer"
    """The buyer has to claim it by the link."""
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    """The merchant has to approve it at the provider."""
    WAITING_FOR_PERSON = "waiting_for_person"
    """The provider cannot refund: the merchant sends the money by hand and records it here."""
    APPROVED = "approved"
    IN_PAYMENT = "in_payment"
    COMPLETED = "completed"
    FAILED = "failed"
    """The provider refused; no money moved."""
    CANCELLED = "cancelled"
    """It was withdrawn before (all of) it was paid out."""


class PayoutStage(Enum):
    """Say how far one payout of a refund has come, in the order in which the stages follow one another."""

    CLAIMED = "claimed"
    APPROVED = "approved"
    SENT = "sent"
    CANCELLED = "cancelled"
    PAID = "paid"


class RefundWord(Enum):
    """Say in one word what the provider, or the merchant, says of the refund as a whole."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    DONE = "done"


class RefundOrigin(Enum):
    """Say who asked for the refund."""

    MERCHANT = "merchant"
    POLICY = "policy"
    PROVIDER = "provider"
    """It was found at the provider, made there by hand."""


class Sending(Enum):
    """Say what is known of the one request that makes something at a provider."""

    INTENDED = "intended"
    """Kept, and perhaps about to leave; nobody has claimed to have sent it."""
    SENT = "sent"
    """It left, or may have left; until an answer is kept its outcome is unknown."""
    DONE = "done"
    REFUSED = "refused"
    """It is known to have had no effect, and will not be tried again."""


@attrs.frozen
class Payout:
    """Know one payout of a refund by the provider's id.

    *amount* is in the refund's currency; None while nobody has said it (an event may name a payout and no amount).
    """

    id: str
    amount: Money | None
    stage: Said[PayoutStage]

    @property
    def now(self) -> PayoutStage:
        """The stage that holds: paid is for ever; within one instant the later stage holds."""
        if PayoutStage.PAID in self.stage.ever:
            return PayoutStage.PAID
        return max(self.stage.now, key=_STAGES.__getitem__)

    def join(self, other: "Payout") -> "Payout":
        known = [amount for amount in (self.amount, other.amount) if amount is not None]
        # A total order over all amounts, so that even a contradiction about the currency joins the same in any order.
        amount = max(known, key=lambda money: (money.asset, money.minor), default=None)
        return Payout(self.id, amount, self.stage.join(other.stage))


_STAGES: Final = {stage: rank for rank, stage in enumerate(PayoutStage)}
_WORDS: Final = {word: rank for rank, word in enumerate(RefundWord)}


def _by_id(payouts: Iterable[Payout]) -> tuple[Payout, ...]:
    known: dict[str, Payout] = {}
    for payout in payouts:
        known[payout.id] = known[payout.id].join(payout) if payout.id in known else payout
    return tuple(known[key] for key in sorted(known))


@attrs.frozen
class RefundFacts:
    """Hold all that is known of one refund.

    *asked* is every amount the provider was seen to refund, in the currency it uses; *transactions* the ids by which
    the money can be found on its chain or in the merchant's books; *links* where the buyer claims it; *polled_at* is when
    the provider was last asked, by our clock.
    """

    verdict: Said[RefundWord] | None = None
    payouts: tuple[Payout, ...] = attrs.field(default=(), converter=_by_id)
    asked: frozenset[Money] = frozenset()
    transactions: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    polled_at: int = 0

    def join(self, other: "RefundFacts") -> "RefundFacts":
        """Return what both know together; the order never matters, nor does saying it twice."""
        return RefundFacts(
            verdict=join_said(self.verdict, other.verdict),
            payouts=self.payouts + other.payouts,
            asked=self.asked | other.asked,
            transactions=self.transactions | other.transactions,
            links=self.links | other.links,
            polled_at=max(self.polled_at, other.polled_at),
        )


def _check_id(_: object, __: object, refund_id: str) -> None:
    if not 1 <= len(refund_id) <= 200:
        raise BadInput("an observation names its refund by the provider's id, of 1 to 200 characters")


@attrs.frozen
class RefundObservation:
    """Report what one delivery or one poll says about one refund, by the provider's id of the refund.

    *operation* is our operation id where the provider gave it back, so that a refund of unknown outcome is recognised.
    """

    refund_id: str = attrs.field(validator=_check_id)
    facts: RefundFacts
    operation: str = ""
    event: str = ""


@attrs.frozen
class Refund:
    """Follow money going back; *amount* is in the order's currency, *billed* the same in the provider's.

    *number* counts from 1 within the order; *payment* is the number of the payment it goes against; *operation* is our
    id, which travels with the request. A *manual* one is sent by a person, because the provider cannot.
    """

    number: int
    payment: int
    amount: Money
    billed: Money
    operation: str
    origin: RefundOrigin = RefundOrigin.MERCHANT
    manual: bool = False
    sending: Sending = Sending.INTENDED
    refund_id: str | None = None
    facts: RefundFacts = RefundFacts()
    reason: str = ""
    who: str = ""
    created_at: int = 0
    sent_at: int = 0
    problem: str = ""


def refund_paid(refund: Refund) -> Money:
    """Return what of *refund* has reached the buyer, in the order's currency, never more than the refund."""
    if _word(refund.facts) is RefundWord.DONE:
        return refund.amount
    asset = refund.billed.asset
    amounts = [p.amount for p in refund.facts.payouts if p.now is PayoutStage.PAID]
    paid = sum(amount.minor for amount in amounts if amount is not None and amount.asset == asset)
    whole = refund.billed.minor
    if whole <= 0 or paid <= 0:
        return Money.zero(refund.amount.asset)
    return min(
        refund.amount,
        refund.amount.share(Money(paid, refund.billed.asset), Money(whole, refund.billed.asset)),
    )


def refund_under_way(refund: Refund) -> Money:
    """Return what of *refund* may still reach the buyer, in the order's currency."""
    if refund_status(refund) in (RefundStatus.COMPLETED, RefundStatus.FAILED, RefundStatus.CANCELLED):
        return Money.zero(refund.amount.asset)
    return refund.amount - refund_paid(refund)


def refund_status(refund: Refund) -> RefundStatus:
    """Return how far *refund* has come."""
    S, facts = RefundStatus, refund.facts
    word, stages = _word(facts), {p.now for p in facts.payouts}
    if word is RefundWord.DONE or (refund.amount and refund_paid(refund) >= refund.amount):
        return S.COMPLETED
    if refund.sending is Sending.REFUSED or word is RefundWord.REFUSED:
        return S.FAILED
    if word is RefundWord.WITHDRAWN:
        return S.IN_PAYMENT if PayoutStage.SENT in stages else S.CANCELLED
    if refund.manual:
        return S.WAITING_FOR_PERSON
    if refund.sending is Sending.INTENDED:
        return S.REQUESTED
    if refund.refund_id is None:
        return S.UNKNOWN
    for stage, status in (
        (PayoutStage.SENT, S.IN_PAYMENT),
        (PayoutStage.APPROVED, S.APPROVED),
        (PayoutStage.CLAIMED, S.WAITING_FOR_APPROVAL),
    ):
        if stage in stages:
            return status
    return S.WAITING_FOR_BUYER


def _word(facts: RefundFacts) -> RefundWord | None:
    if facts.verdict is None:
        return None
    if RefundWord.DONE in facts.verdict.ever:
        return RefundWord.DONE
    return max(facts.verdict.now, key=_WORDS.__getitem__)
