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
from bursar.remembering import remembered

__all__ = ["Doubt", "PaymentStatus", "Standing", "doubts", "read_stage", "read_standing", "read_word"]

_RANK: Final = {word: rank for rank, word in enumerate(Word)}
_ENOUGH: Final = frozenset({Word.PROCESSING, Word.LATE, Word.SETTLED})
_SOME: Final = frozenset({Word.PARTIAL, Word.UNDERPAID})
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
    """What the transfers and the provider's running total come to, in the order's currency.

    Of the confirmed money, *timely* is all but what is known to have been sent after the window, and *punctual* only what
    is known to have been sent within it.
    """

    known: Money
    confirmed: Money
    timely: Money
    punctual: Money
    seen: bool
    final: bool
    fresh: bool
    unpriced: bool
    taken_back: bool
    vanished: bool


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


def _sums(agreed: Terms, facts: Facts, word: Word | None, limit: int | None) -> _Sums:
    terms, nothing = _quoted(agreed, facts), Money.zero(agreed.worth.asset)
    live = [t for t in facts.transfers if read_stage(t.stage) is not Stage.INVALID]
    since = facts.verdict.at if facts.verdict else 0
    said = facts.credited.now if facts.credited else frozenset[Money]()
    total = max((value for value in map(terms.value, said) if value is not None), default=None)
    told_at = facts.credited.at if facts.credited and total is not None else -1
    # Within the verdict's own second, a total that came with another word was read before it.
    with_it = _last(facts.polled.now) if facts.polled and facts.polled.at == told_at == since else word
    fresh = total is not None and told_at >= since and with_it is word
    told = total or nothing
    ever_said = facts.credited.ever if facts.credited else frozenset[Money]()
    news = total is None or any(t.stage.at >= told_at and not t.listed for t in live)
    if word in (Word.NEW, Word.EXPIRED):
        # What was only seen before the provider spoke is in its word: nothing that counts.
        covered = told >= _value(terms, filter(_confirmed, live))
        live = [
            t
            for t in live
            if t.stage.at >= (told_at if _confirmed(t) else max(since, told_at))
            or (_confirmed(t) and covered)
        ]
        known = max(told if fresh else nothing, _value(terms, live))
    elif word in _ENOUGH and not (word is Word.SETTLED and Flag.BY_HAND in facts.flags):
        # Confirmed transfers that no total accounts for tell a surplus; seen ones may replace one another.
        beside = _value(terms, filter(_confirmed, live)) if news else nothing
        known = max(told, beside, nothing if fresh else terms.worth)
    else:
        known = told if fresh and not news else max(told, _value(terms, live))
    current = said if facts.credited and facts.credited.at >= since else frozenset[Money]()
    unpriced = any(m and terms.value(m) is None for m in [*current, *(t.amount for t in live)])
    sure = list(filter(_confirmed, live))
    confirmed = _value(terms, sure)
    after = [t for t in sure if limit is not None and t.paid_at is not None and t.paid_at > limit]
    undated = [t for t in sure if t.paid_at is None or limit is None]
    once = _value(terms, (t for t in facts.transfers if Stage.CONFIRMED in t.stage.ever))
    # Rounding may cost a unit a transfer; a fresh total below what was asked is the provider's own tolerance.
    all_of_it = fresh and bool(live) and confirmed.minor + len(live) >= known.minor
    return _Sums(
        known=known,
        confirmed=min(known, confirmed),
        timely=min(known, _value(terms, (t for t in sure if t not in after))),
        punctual=min(known, _value(terms, (t for t in sure if t not in after and t not in undated))),
        seen=bool(known or live) or unpriced,
        final=confirmed + agreed.policy.allows_short(agreed.worth) >= agreed.worth
        or (all_of_it and all(map(_confirmed, live))),
        fresh=fresh,
        unpriced=unpriced and not fresh and word not in _ENOUGH,
        taken_back=once.minor > min(known, confirmed).minor + len(facts.transfers),
        vanished=not known and (any(ever_said) or bool(_value(terms, facts.transfers)) or word in _ENOUGH),
    )


def _confirmed(transfer: Transfer) -> bool:
    return read_stage(transfer.stage) is Stage.CONFIRMED


def _is_late(limit: int | None, facts: Facts, word: Word | None) -> bool:
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    times = [t.paid_at for t in facts.transfers if read_stage(t.stage) is not Stage.INVALID]
    after = limit is not None and any(at is not None and at > limit for at in times)
    if word not in _ENOUGH:
        return after
    closed = bool(ever & _CLOSED) or Flag.LAPSED in facts.flags
    if not (word is Word.LATE or closed) or limit is None:
        return word is Word.LATE or closed
    # The transfer's own time decides: a server that was down calls a buyer late who was not.
    return after or not times or None in times


@remembered
def read_standing(payment: Payment, *, accept: bool = False) -> Standing:
    """Return where *payment* stands; *accept* says that the merchant takes what the policy holds."""
    terms, facts, policy = payment.terms, payment.facts, payment.terms.policy
    word = read_word(facts.verdict)
    limit = None if terms.expires_at is None else terms.expires_at + policy.late_grace
    late_is_fine = accept or policy.late is LateMoney.ACCEPT
    sums = _sums(terms, facts, word, None if late_is_fine else limit)
    lapsed = bool(facts.flags & {Flag.LAPSED, Flag.GONE}) or payment.abandoned
    if lapsed and word in (Word.NEW, Word.PARTIAL):
        word = Word.EXPIRED if word is Word.NEW else Word.UNDERPAID
    said_enough = facts.verdict is not None and bool(facts.verdict.ever & _ENOUGH)
    arrived = sums.known if word in (Word.NEW, Word.EXPIRED) else sums.confirmed
    if _was_closed(facts, word) and arrived and arrived >= terms.worth:
        # It was too little when the window closed, and is enough now.
        word = Word.LATE
    late = _is_late(limit, facts, word)
    by_hand = Flag.BY_HAND in facts.flags
    mismatch = sums.unpriced or any(billed != terms.billed for billed in facts.billed)
    trusted = accept or not mismatch
    fit_in_time = late_is_fine or not late
    seen_enough = policy.seen_is_enough(terms.worth)
    final = word is Word.SETTLED or (word is Word.LATE and sums.final)
    match word:
        case None:
            status = PaymentStatus.TIE
        case Word.SETTLED:
            agreed = (accept or policy.accept_marked_by_hand) if by_hand else fit_in_time
            status = PaymentStatus.SETTLED if agreed and trusted else PaymentStatus.HELD
        case Word.LATE:
            # Added up by ourselves, what was only seen is not enough: transfers may replace one another.
            enough = final or (seen_enough and said_enough)
            status = PaymentStatus.SETTLED if enough else PaymentStatus.PROCESSING
            if not (fit_in_time and trusted):
                status = PaymentStatus.HELD
        case Word.PROCESSING:
            status = PaymentStatus.PROCESSING
            if trusted and fit_in_time:
                status = PaymentStatus.SETTLED if seen_enough else status
            elif sums.final:
                # All is there; what is waited for is a person.
                status = PaymentStatus.HELD
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
    elif trusted and status not in (PaymentStatus.TIE, PaymentStatus.FAILED):
        # What is final pays its part, whatever the rest is waiting for; of a late payment, what came in time does.
        counts = sums.timely if fit_in_time or word not in _ENOUGH else sums.punctual
    return Standing(
        number=payment.number,
        status=status,
        received=sums.known,
        counts=counts,
        worth=terms.worth,
        policy=policy,
        money_seen=sums.seen or _said_money(facts, word),
        overpaid=sums.known > terms.worth or (Flag.OVERPAID in facts.flags and not sums.fresh),
        late=late or Flag.LATE in facts.flags,
        by_hand=by_hand,
        reversed=not final
        and _is_reversed(facts, word, sums, trusting=bool(terms.worth) and (seen_enough or accept)),
        mismatch=mismatch,
        confirmed=sums.known if word is Word.SETTLED else sums.confirmed,
        final=final,
    )


def _was_closed(facts: Facts, word: Word | None) -> bool:
    """Tell whether the window had closed on too little, by the word that holds or by one before it."""
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    return word in (Word.EXPIRED, Word.UNDERPAID) or (
        word in (Word.NEW, Word.PARTIAL) and bool(ever & _CLOSED)
    )


def _said_money(facts: Facts, word: Word | None) -> bool:
    """Tell whether the provider's word alone says that money arrived; a mark by hand does not."""
    if word is Word.SETTLED and Flag.BY_HAND in facts.flags and facts.verdict:
        return bool(facts.verdict.ever & (_SOME | _ENOUGH - {Word.SETTLED}))
    return word in _SOME | _ENOUGH


def _is_reversed(facts: Facts, word: Word | None, sums: _Sums, *, trusting: bool) -> bool:
    """Tell whether what had counted was taken back; *trusting* says that it counted as soon as it was seen."""
    ever: frozenset[Word] = facts.verdict.ever if facts.verdict else frozenset()
    if word is None:
        return False
    if word in _ENOUGH:
        return {Word.SETTLED, Word.INVALID} <= ever or sums.taken_back or (trusting and sums.vanished)
    if Word.SETTLED in ever or sums.taken_back:
        return True
    return trusting and (bool(ever & _ENOUGH) or sums.vanished or (bool(ever & _SOME) and not sums.known))


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
    if totals and _unaccounted(facts, max(lag, 1)):
        found.add(Doubt.MONEY)
    return frozenset(found)


def _unaccounted(facts: Facts, lag: int) -> bool:
    """Tell whether money was reported that is in no poll's total: one that the poll did not list, or cannot have known."""
    reports_money = facts.verdict is not None and _last(facts.verdict.now) in _ENOUGH | {Word.INVALID}
    if facts.polled is None:
        return bool(facts.transfers) or reports_money
    if any(t.stage.at >= facts.polled.at > 0 for t in facts.transfers if not t.listed):
        return True
    if facts.verdict is None or not reports_money:
        return False
    told = _last(facts.polled.now) is _last(facts.verdict.now) and facts.verdict.at < facts.polled.at + lag
    return not told and facts.verdict.at >= facts.polled.at > 0
