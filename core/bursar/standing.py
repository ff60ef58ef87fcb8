"""Where one payment stands: what its facts mean under its terms.

The words follow one another in the order in which `Word` lists them, so a set spoken at one instant means its last;
only *settled* and *invalid* can follow each other both ways, and a set with both is a tie, which nothing but a later
word decides. *Settled* stays what it is until the provider says *invalid*; so does a confirmed transfer, unless the
provider's own newer total says less. Once both were said, at whatever instants, only what is said now holds.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import attrs

from bursar.facts import Facts, Flag, Said, Stage, Transfer, Word
from bursar.money import Asset, Money
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
    if word is None or Word.INVALID in said.ever:
        return word
    return Word.SETTLED if Word.SETTLED in said.ever else word


def _last(words: Iterable[Word]) -> Word | None:
    spoken = set(words)
    return None if {Word.SETTLED, Word.INVALID} <= spoken else max(spoken, key=_RANK.__getitem__)


def read_stage(said: Said[Stage]) -> Stage:
    """Return how far a transfer is; a contradiction within one instant counts as seen only."""
    if Stage.INVALID in said.now:
        return Stage.INVALID if len(said.now) == 1 else Stage.SEEN
    # Confirmed stays confirmed, but one that was taken back has to be confirmed again.
    spoken = said.now if Stage.INVALID in said.ever else said.ever
    return Stage.CONFIRMED if Stage.CONFIRMED in spoken else Stage.SEEN


@attrs.frozen
class Standing:
    """Hold where a payment stands; amounts are in the order's currency.

    *received* is what arrived as far as is known, confirmed or not; *confirmed* what of it is final as far as is known;
    *counts* what of the order it pays now. *final* says that nothing more has to be confirmed. *mismatch*: the provider
    asks for something else than was agreed, or money came that has no price here. *overpaid* may be known from a word
    alone, without an amount.
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
    final: bool = False


@attrs.frozen
class _Sums:
    """What the transfers and the provider's running total come to, in the order's currency."""

    known: Money
    confirmed: Money
    seen: bool
    final: bool
    fresh: bool
    unpriced: bool
    taken_back: bool


def _quoted(terms: Terms, facts: Facts) -> Terms:
    """Return the terms as the provider really billed them: what it calls enough is enough of that."""
    others = [billed for billed in facts.billed if billed != terms.billed]
    if not others:
        return terms
    nothing = Money.zero(terms.worth.asset)
    values = [(terms.value(billed) or nothing, billed) for billed in sorted(others, key=str)]
    worth, billed = min(values, key=lambda pair: pair[0].minor)
    return attrs.evolve(terms, worth=min(worth, terms.worth), billed=billed)


def _value(terms: Terms, transfers: Iterable[Transfer]) -> Money:
    by_asset: dict[Asset, Money] = {}
    for transfer in transfers:
        amount = transfer.amount
        by_asset[amount.asset] = by_asset[amount.asset] + amount if amount.asset in by_asset else amount
    values = [terms.value(amount) for amount in by_asset.values()]
    return sum((value for value in values if value is not None), Money.zero(terms.worth.asset))


def _sums(agreed: Terms, facts: Facts, word: Word | None) -> _Sums:
    terms, nothing = _quoted(agreed, facts), Money.zero(agreed.worth.asset)
    live = [t for t in facts.transfers if read_stage(t.stage) is not Stage.INVALID]
    since = facts.verdict.at if facts.verdict else 0
    said = facts.credited.now if facts.credited else frozenset[Money]()
    total = max((value for value in map(terms.value, said) if value is not None), default=None)
    told_at = facts.credited.at if facts.credited and total is not None else -1
    fresh = total is not None and told_at >= since
    unpriced = any(amount and terms.value(amount) is None for amount in [*said, *(t.amount for t in live)])
    told = total or nothing
    if word in (Word.NEW, Word.EXPIRED):
        # What was only seen before the provider spoke is in its word: nothing that counts.
        live = [t for t in live if t.stage.at >= (told_at if _confirmed(t) else max(since, told_at))]
        known = max(told if fresh else nothing, _value(terms, live))
    elif word in _ENOUGH and not (word is Word.SETTLED and Flag.BY_HAND in facts.flags):
        # Where there is no total, confirmed transfers tell a surplus; seen ones may replace one another.
        least = (
            terms.worth if total is not None else max(terms.worth, _value(terms, filter(_confirmed, live)))
        )
        known, unpriced = told if fresh else max(told, least), False
    else:
        news = any(t.stage.at > told_at for t in live)
        known = told if fresh and not news else max(told, _value(terms, live))
    confirmed = _value(terms, filter(_confirmed, live))
    once = _value(terms, (t for t in facts.transfers if Stage.CONFIRMED in t.stage.ever))
    # Rounding may cost a unit a transfer; a fresh total below what was asked is the provider's own tolerance.
    all_of_it = fresh and bool(live) and confirmed.minor + len(live) >= known.minor
    return _Sums(
        known=known,
        confirmed=min(known, confirmed),
        seen=bool(known or live) or any(said),
        final=confirmed + agreed.policy.allows_short(agreed.worth) >= agreed.worth
        or (all_of_it and all(map(_confirmed, live))),
        fresh=fresh,
        unpriced=unpriced and not fresh,
        taken_back=bool(once) and (not known or confirmed < once),
    )


def _confirmed(transfer: Transfer) -> bool:
    return read_stage(transfer.stage) is Stage.CONFIRMED


def _is_late(terms: Terms, facts: Facts, word: Word | None) -> bool:
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    limit = None if terms.expires_at is None else terms.expires_at + terms.policy.late_grace
    times = [t.paid_at for t in facts.transfers if read_stage(t.stage) is not Stage.INVALID]
    after = limit is not None and any(at is not None and at > limit for at in times)
    if word not in _ENOUGH:
        return after
    closed = bool(ever & _CLOSED) or Flag.LAPSED in facts.flags
    if not (word is Word.LATE or closed) or limit is None:
        return word is Word.LATE or closed
    # The transfer's own time decides: a server that was down calls a buyer late who was not.
    return after or not times or None in times


def read_standing(payment: Payment, *, accept: bool = False) -> Standing:
    """Return where *payment* stands; *accept* says that the merchant takes what the policy holds."""
    terms, facts, policy = payment.terms, payment.facts, payment.terms.policy
    word = read_word(facts.verdict)
    sums = _sums(terms, facts, word)
    lapsed = bool(facts.flags & {Flag.LAPSED, Flag.GONE}) or payment.abandoned
    if lapsed and word in (Word.NEW, Word.PARTIAL):
        word = Word.EXPIRED if word is Word.NEW else Word.UNDERPAID
    arrived = sums.confirmed if word is Word.UNDERPAID else sums.known
    if word in (Word.EXPIRED, Word.UNDERPAID) and arrived and arrived >= terms.worth:
        # It was too little when the window closed, and is enough now.
        word = Word.LATE
    late = _is_late(terms, facts, word)
    by_hand = Flag.BY_HAND in facts.flags
    mismatch = sums.unpriced or any(billed != terms.billed for billed in facts.billed)
    trusted = accept or not mismatch
    fit_in_time = accept or not late or policy.late is LateMoney.ACCEPT
    seen_enough = policy.seen_is_enough(terms.worth)
    final = word is Word.SETTLED or (word is Word.LATE and sums.final)
    match word:
        case None:
            status = PaymentStatus.TIE
        case Word.SETTLED:
            agreed = (accept or policy.accept_marked_by_hand) if by_hand else fit_in_time
            status = PaymentStatus.SETTLED if agreed and trusted else PaymentStatus.HELD
        case Word.LATE:
            status = PaymentStatus.SETTLED if final or seen_enough else PaymentStatus.PROCESSING
            if not (fit_in_time and trusted):
                status = PaymentStatus.HELD
        case Word.PROCESSING:
            status = PaymentStatus.PROCESSING
            if seen_enough and trusted and fit_in_time:
                status = PaymentStatus.SETTLED
        case Word.NEW if sums.known and sums.known >= terms.worth:
            status = PaymentStatus.PROCESSING
        case Word.NEW | Word.PARTIAL:
            status = PaymentStatus.PARTIAL if sums.known or word is Word.PARTIAL else PaymentStatus.WAITING
        case Word.EXPIRED | Word.UNDERPAID:
            status = PaymentStatus.UNDERPAID if sums.seen or word is Word.UNDERPAID else PaymentStatus.EXPIRED
        case Word.INVALID:
            status = PaymentStatus.FAILED
    counts = Money.zero(terms.worth.asset)
    if status is PaymentStatus.SETTLED:
        counts = max(terms.worth, sums.known)
    elif accept and status is not PaymentStatus.TIE:
        counts = sums.known
    elif status in (PaymentStatus.PARTIAL, PaymentStatus.UNDERPAID) and trusted and fit_in_time:
        counts = sums.confirmed
    return Standing(
        number=payment.number,
        status=status,
        received=sums.known,
        counts=counts,
        worth=terms.worth,
        policy=policy,
        money_seen=sums.seen or status in (PaymentStatus.PARTIAL, PaymentStatus.UNDERPAID),
        overpaid=sums.known > terms.worth or (Flag.OVERPAID in facts.flags and not sums.fresh),
        late=late or Flag.LATE in facts.flags,
        by_hand=by_hand,
        reversed=_is_reversed(facts, word, sums, seen_enough=seen_enough, final=final),
        mismatch=mismatch,
        confirmed=sums.known if word is Word.SETTLED else sums.confirmed,
        final=final,
    )


def _is_reversed(facts: Facts, word: Word | None, sums: _Sums, *, seen_enough: bool, final: bool) -> bool:
    """Tell whether what had counted was taken back."""
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    if word is None or final:
        return False
    if word in _ENOUGH:
        return {Word.SETTLED, Word.INVALID} <= ever or (word is Word.LATE and sums.taken_back)
    return Word.SETTLED in ever or sums.taken_back or (seen_enough and bool(ever & _ENOUGH))


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
        # Within one second even an exact clock does not say which came first; at 0 there is no clock.
        if overruled and facts.polled.at and facts.verdict.at < facts.polled.at + max(lag, 1):
            found.add(Doubt.OVERRULED)
    if totals:
        polled_at = facts.polled.at if facts.polled else -1
        reported = max((t.stage.at for t in facts.transfers), default=-1)
        if facts.verdict and _last(facts.verdict.now) in _ENOUGH | {Word.INVALID}:
            reported = max(reported, facts.verdict.at)
        if reported >= max(polled_at, 0) and polled_at != 0:
            found.add(Doubt.MONEY)
    return frozenset(found)
