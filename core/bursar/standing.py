"""Where one payment stands: what its facts mean under its terms.

The words follow one another in the order in which `Word` lists them, so a set spoken at one instant means its last;
only *settled* and *invalid* can follow each other both ways, and a set with both is a tie, which nothing but a later
word decides. *Settled* stays what it is until the provider says *invalid*; so does a confirmed transfer.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import attrs

from bursar.facts import Facts, Flag, Said, Stage, Transfer, Word
from bursar.money import Money
from bursar.orders import Payment, Terms
from bursar.policy import LateMoney, Policy

__all__ = ["Doubt", "PaymentStatus", "Standing", "doubts", "read_stage", "read_standing", "read_word"]

_RANK: Final = {word: rank for rank, word in enumerate(Word)}
_ENOUGH: Final = frozenset({Word.PROCESSING, Word.LATE, Word.SETTLED})
_CLOSED: Final = frozenset({Word.EXPIRED, Word.UNDERPAID, Word.LATE})


class PaymentStatus(Enum):
    """Say where one payment stands."""

    WAITING = "waiting"
    PARTIAL = "partial"
    PROCESSING = "processing"
    HELD = "held"
    """Enough arrived, and the policy leaves it to a person whether it counts."""
    SETTLED = "settled"
    EXPIRED = "expired"
    UNDERPAID = "underpaid"
    FAILED = "failed"
    TIE = "tie"
    """The provider said contradicting things in one instant; it must be asked again."""


class Doubt(Enum):
    """Say why the provider should be asked (again)."""

    TIE = "tie"
    OVERRULED = "overruled"
    """A poll was overruled by an event that its clock cannot place before or after it."""
    MONEY = "money"
    """Money was reported that no poll has accounted for."""


def read_word(said: Said[Word] | None) -> Word | None:
    """Return what a provider's word means; None for a tie."""
    if said is None:
        return Word.NEW
    word = _last(said.now)
    return Word.SETTLED if Word.SETTLED in said.ever and word not in (None, Word.INVALID) else word


def _last(words: Iterable[Word]) -> Word | None:
    spoken = set(words)
    return None if {Word.SETTLED, Word.INVALID} <= spoken else max(spoken, key=_RANK.__getitem__)


def read_stage(said: Said[Stage]) -> Stage:
    """Return how far a transfer is; a contradiction within one instant counts as seen only."""
    if Stage.INVALID in said.now:
        return Stage.INVALID if len(said.now) == 1 else Stage.SEEN
    return Stage.CONFIRMED if Stage.CONFIRMED in said.ever else Stage.SEEN


@attrs.frozen
class Standing:
    """Hold where a payment stands; amounts are in the order's currency.

    *received* is what arrived as far as is known, confirmed or not; *confirmed* what of it is final as far as is known;
    *counts* what of the order it pays now.
    """

    number: int
    status: PaymentStatus
    received: Money
    counts: Money
    worth: Money
    policy: Policy
    money_seen: bool = False
    overpaid: bool = False
    late: bool = False
    by_hand: bool = False
    reversed: bool = False
    mismatch: bool = False
    confirmed: Money | None = None


@attrs.frozen
class _Sums:
    """What the transfers and the provider's running total come to, in the order's currency."""

    known: Money
    confirmed: Money
    seen: bool


def _value(terms: Terms, transfers: Iterable[Transfer]) -> Money:
    by_asset: dict[str, Money] = {}
    for transfer in transfers:
        code = f"{transfer.amount.asset.code}/{transfer.amount.asset.decimals}"
        by_asset[code] = by_asset[code] + transfer.amount if code in by_asset else transfer.amount
    values = [terms.value(amount) for amount in by_asset.values()]
    return sum((value for value in values if value is not None), Money.zero(terms.worth.asset))


def _sums(terms: Terms, facts: Facts, word: Word | None) -> _Sums:
    live = [t for t in facts.transfers if read_stage(t.stage) is not Stage.INVALID]
    since = facts.verdict.at if facts.verdict else 0
    total, fresh_total = Money.zero(terms.worth.asset), False
    if facts.credited:
        total = terms.in_order_currency(max(facts.credited.now))
        fresh_total = facts.credited.at >= since
    if word in (Word.NEW, Word.EXPIRED):
        # Whatever came before the provider spoke is in its word: nothing that counts.
        spoken = max(since, facts.credited.at) if facts.credited else since
        live = [t for t in live if t.stage.at >= spoken]
        known = max(total if fresh_total else Money.zero(total.asset), _value(terms, live))
    elif word in _ENOUGH and not (word is Word.SETTLED and Flag.BY_HAND in facts.flags):
        known = total if fresh_total else max(total, terms.worth)
    else:
        known = total if fresh_total else max(total, _value(terms, live))
    confirmed = _value(terms, (t for t in live if read_stage(t.stage) is Stage.CONFIRMED))
    return _Sums(known, min(known, confirmed), bool(known) or bool(live))


def _is_late(terms: Terms, facts: Facts, word: Word | None) -> bool:
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    said_late = word is Word.LATE or (word in (Word.SETTLED, Word.PROCESSING) and bool(ever & _CLOSED))
    if not said_late or terms.expires_at is None:
        return said_late
    # The transfer's own time decides: a server that was down calls a buyer late who was not.
    limit = terms.expires_at + terms.policy.late_grace
    times = [t.paid_at for t in facts.transfers if read_stage(t.stage) is not Stage.INVALID]
    return not times or any(at is None or at > limit for at in times)


def read_standing(payment: Payment, *, accept: bool = False) -> Standing:
    """Return where *payment* stands; *accept* says that the merchant takes what the policy holds."""
    terms, facts, policy = payment.terms, payment.facts, payment.terms.policy
    word = read_word(facts.verdict)
    sums = _sums(terms, facts, word)
    lapsed = bool(facts.flags & {Flag.LAPSED, Flag.GONE}) or payment.abandoned
    if lapsed and word in (Word.NEW, Word.PARTIAL):
        word = Word.EXPIRED if word is Word.NEW else Word.UNDERPAID
    if word is Word.EXPIRED and sums.known >= terms.worth and sums.known:
        word = Word.LATE
    late = _is_late(terms, facts, word)
    by_hand = Flag.BY_HAND in facts.flags
    mismatch = any(billed != terms.billed for billed in facts.billed)
    trusted = accept or not mismatch
    fit_in_time = accept or not late or policy.late is LateMoney.ACCEPT
    full = max(terms.worth, sums.known)
    nothing = Money.zero(terms.worth.asset)
    counts = nothing
    match word:
        case None:
            status = PaymentStatus.TIE
        case Word.SETTLED:
            agreed = (accept or policy.accept_marked_by_hand) if by_hand else fit_in_time
            status = PaymentStatus.SETTLED if agreed and trusted else PaymentStatus.HELD
        case Word.LATE:
            final = policy.seen_is_enough(terms.worth) or (
                sums.confirmed + policy.allows_short(terms.worth) >= terms.worth
            )
            status = PaymentStatus.SETTLED if final else PaymentStatus.PROCESSING
            if not (fit_in_time and trusted):
                status = PaymentStatus.HELD
        case Word.PROCESSING:
            status = PaymentStatus.PROCESSING
            if policy.seen_is_enough(terms.worth) and trusted and fit_in_time:
                status = PaymentStatus.SETTLED
        case Word.NEW if sums.known and sums.known >= terms.worth:
            status = PaymentStatus.PROCESSING
        case Word.NEW | Word.PARTIAL:
            status = PaymentStatus.PARTIAL if sums.known or word is Word.PARTIAL else PaymentStatus.WAITING
        case Word.EXPIRED | Word.UNDERPAID:
            status = PaymentStatus.UNDERPAID if sums.seen or word is Word.UNDERPAID else PaymentStatus.EXPIRED
        case Word.INVALID:
            status = PaymentStatus.FAILED
    if status is PaymentStatus.SETTLED:
        counts = full
    elif accept and status is not PaymentStatus.TIE:
        counts = sums.known
    elif status in (PaymentStatus.PARTIAL, PaymentStatus.UNDERPAID) and trusted:
        counts = sums.confirmed
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    once_paid = Word.SETTLED in ever or (Word.PROCESSING in ever and policy.seen_is_enough(terms.worth))
    return Standing(
        number=payment.number,
        status=status,
        received=sums.known,
        counts=counts,
        worth=terms.worth,
        policy=policy,
        money_seen=sums.seen or status in (PaymentStatus.PARTIAL, PaymentStatus.UNDERPAID),
        overpaid=sums.known > terms.worth or Flag.OVERPAID in facts.flags,
        late=late or Flag.LATE in facts.flags,
        by_hand=by_hand,
        reversed=once_paid and word not in _ENOUGH and word is not None,
        mismatch=mismatch,
        confirmed=sums.known if word is Word.SETTLED else sums.confirmed,
    )


def doubts(facts: Facts, *, lag: int = 0, totals: bool = False) -> frozenset[Doubt]:
    """Return why the provider should be asked again.

    *lag* is by how many seconds the clock of its polls may run behind that of its events; *totals* says that its polls
    report a running total, so that money reported since the last one asks for another.
    """
    found: set[Doubt] = set()
    if read_word(facts.verdict) is None:
        found.add(Doubt.TIE)
    if facts.polled and facts.verdict:
        overruled = _last(facts.polled.now) is not _last(facts.verdict.now) or len(facts.polled.now) > 1
        if overruled and facts.verdict.at < facts.polled.at + lag:
            found.add(Doubt.OVERRULED)
    if totals:
        polled_at = facts.polled.at if facts.polled else -1
        reported = max((t.stage.at for t in facts.transfers), default=-1)
        if facts.verdict and _last(facts.verdict.now) in _ENOUGH | {Word.INVALID}:
            reported = max(reported, facts.verdict.at)
        if reported >= polled_at and reported >= 0:
            found.add(Doubt.MONEY)
    return frozenset(found)
