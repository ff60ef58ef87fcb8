"""Walk every reachable set of facts of a small world, and hold the lifecycle to its promises at each step.

The world has one order of 1.00 EUR, the words, instants, transfers, totals, flags, acts and refunds below, and any number
of steps up to a depth. A step is one thing that happens: one observation, one act, one refund.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import attrs
import pytest

from bursar.changes import acted, observed, refund_adopted, refund_made, refund_requested, refund_sent
from bursar.errors import BursarError
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.lifecycle import TRANSITIONS, OrderState, OrderStatus, Reason, order_state, standings
from bursar.money import Asset, Money
from bursar.orders import Act, ActKind, Dossier, Order, Payment, Terms
from bursar.policy import LateMoney, Policy, Surplus
from bursar.refunds import RefundFacts, RefundObservation, RefundWord
from bursar.standing import PaymentStatus

EUR, BTC = Asset("EUR", 2), Asset("BTC", 8)
DUE: Final = Money(100, EUR)
NOTHING: Final = Money.zero(EUR)
S = OrderStatus
PAID: Final = frozenset({S.PAID, S.FULFILLED})
GONE_BACK: Final = frozenset({S.REFUNDED, S.PARTIALLY_REFUNDED})
OPEN: Final = frozenset({PaymentStatus.WAITING, PaymentStatus.PARTIAL, PaymentStatus.PROCESSING})

STRICT: Final = Policy()
LENIENT: Final = Policy(
    seen_enough_below=Money(1000, EUR), tolerance=Money(5, EUR), late=LateMoney.ACCEPT, surplus=Surplus.CREDIT
)


@attrs.frozen
class Step:
    """One thing that can happen: *says* is what a provider says by it, if a provider says it."""

    name: str
    change: Callable[[Dossier], Dossier]
    says: Facts | None = None


def says(name: str, facts: Facts, payment: int = 1) -> Step:
    seen = Observation(f"p{payment}", facts)
    return Step(f"{name} of payment {payment}", lambda dossier: observed(dossier, "main", seen), facts)


def word(what: Word, at: int, payment: int = 1) -> Step:
    return says(f"{what.value}@{at}", Facts(verdict=Said.once(what, at)), payment)


def transfer(transfer_id: str, sats: int, stage: Stage, at: int, paid_at: int | None = None) -> Step:
    moved = Transfer(transfer_id, Money(sats, BTC), Said.once(stage, at), paid_at)
    return says(f"{transfer_id} {stage.value}@{at}", Facts(transfers=(moved,)))


def total(minor: int, at: int) -> Step:
    return says(f"total {minor}@{at}", Facts(credited=Said.once(Money(minor, EUR), at)))


def flag(what: Flag) -> Step:
    return says(what.value, Facts(flags=frozenset({what})))


def act(kind: ActKind) -> Step:
    return Step(kind.value, lambda dossier: acted(dossier, Act(kind, 1, who="m")))


def sent_back(minor: int) -> Step:
    """Refund *minor* of payment 1, by the only way there is, and hear that it arrived."""

    def change(dossier: Dossier) -> Dossier:
        operation = f"op-{len(dossier.refunds)}"
        dossier = refund_requested(dossier, payment=1, amount=Money(minor, EUR), operation=operation, at=1)
        number = dossier.refunds[-1].number
        done = RefundFacts(verdict=Said.once(RefundWord.DONE, 1))
        return refund_made(refund_sent(dossier, number, at=1), number, RefundObservation(f"r{number}", done))

    return Step(f"refund of {minor}", change)


def found_refund(minor: int) -> Step:
    """Hear of a refund that somebody made at the provider by hand."""

    def change(dossier: Dossier) -> Dossier:
        facts = RefundFacts(Said.once(RefundWord.DONE, 1), asked=frozenset({Money(minor, EUR)}))
        return refund_adopted(dossier, 1, RefundObservation(f"found {minor}", facts), at=1)

    return Step(f"found refund of {minor}", change)


WORDS: Final = [word(what, at) for what in Word for at in (10, 20)]
MONEY: Final = [
    transfer("a", 1000, Stage.SEEN, 15),
    transfer("a", 1000, Stage.CONFIRMED, 15),
    transfer("a", 1000, Stage.INVALID, 25),
    transfer("b", 500, Stage.SEEN, 15, paid_at=150),
    transfer("b", 500, Stage.CONFIRMED, 15, paid_at=150),
    total(50, 15),
    total(150, 25),
    total(0, 25),
]
FLAGS: Final = [
    flag(Flag.BY_HAND),
    flag(Flag.LAPSED),
    says("billed less", Facts(billed=frozenset({Money(40, EUR)}))),
]
SECOND: Final = [
    word(what, at, 2)
    for what, at in ((Word.PROCESSING, 10), (Word.EXPIRED, 10), (Word.SETTLED, 10), (Word.INVALID, 20))
]
PEOPLE: Final = [act(ActKind.CANCEL), act(ActKind.ACCEPT), act(ActKind.FULFIL), sent_back(40), sent_back(60)]
FOUND: Final = [found_refund(40), found_refund(100)]
WORLD: Final = (*WORDS, *MONEY, *FLAGS, *SECOND, *PEOPLE, *FOUND)


def start(policy: Policy, payments: int) -> Dossier:
    terms = Terms(DUE, DUE, asks=(Money(1000, BTC),), expires_at=100, policy=policy)
    opened = (
        Payment(n, terms, account="main", payment_id=f"p{n}", created_at=1) for n in range(1, payments + 1)
    )
    return Dossier(Order("key", "order", DUE), tuple(opened))


@attrs.frozen
class Walk:
    """Hold what a walk found: the state of each dossier, and each step between two."""

    states: dict[Dossier, OrderState]
    edges: list[tuple[Dossier, Step, Dossier]]


def walk(first: Dossier, world: tuple[Step, ...], depth: int) -> Walk:
    states, edges = {first: order_state(first)}, list[tuple[Dossier, Step, Dossier]]()
    queue = deque([(first, 0)])
    while queue:
        here, steps = queue.popleft()
        for step in world:
            try:
                there = step.change(here)
            except BursarError:
                continue
            if there is here:
                continue
            known = there in states
            if not known and steps == depth:
                continue
            if not known:
                states[there] = order_state(there)
                queue.append((there, steps + 1))
            edges.append((here, step, there))
    return Walk(states, edges)


@attrs.frozen
class Ground:
    """Say where to walk: under which policy, with how many payments, what can happen, and how many steps far."""

    policy: Policy
    payments: int
    depth: int
    small: bool = False


SMALL: Final = (
    word(Word.PROCESSING, 10),
    word(Word.EXPIRED, 20),
    word(Word.SETTLED, 20),
    word(Word.INVALID, 30),
    transfer("a", 1000, Stage.CONFIRMED, 15),
    transfer("a", 1000, Stage.INVALID, 25),
    total(50, 15),
    flag(Flag.BY_HAND),
    act(ActKind.ACCEPT),
    sent_back(40),
)
"""A world so small that it is walked to its end: every set of these, in every order in which they can happen."""


@cache
def walked(ground: Ground) -> Walk:
    world = WORLD if ground.payments > 1 else tuple(step for step in WORLD if step not in SECOND)
    return walk(start(ground.policy, ground.payments), SMALL if ground.small else world, ground.depth)


WALKS: Final = [
    pytest.param(Ground(STRICT, 1, len(SMALL), small=True), id="strict, small, to the end"),
    pytest.param(Ground(LENIENT, 1, len(SMALL), small=True), id="lenient, small, to the end"),
    pytest.param(Ground(STRICT, 1, 2), id="strict"),
    pytest.param(Ground(LENIENT, 1, 2), id="lenient"),
    pytest.param(Ground(STRICT, 2, 2), id="two payments"),
    pytest.param(Ground(STRICT, 1, 3), id="strict, deeper", marks=pytest.mark.slow),
]
everywhere: Final = pytest.mark.parametrize("ground", WALKS)


def worth_confirmed(facts: Facts) -> Money:
    """Add up, without the rules' help, what was confirmed and never taken back."""
    standing = [
        t for t in facts.transfers if Stage.CONFIRMED in t.stage.ever and Stage.INVALID not in t.stage.ever
    ]
    return Money(sum(t.amount.minor for t in standing) // 10, EUR)


def last_words(facts: Facts) -> frozenset[Word]:
    return facts.verdict.now if facts.verdict else frozenset()


def reasons(state: OrderState) -> set[Reason]:
    return {review.reason for review in state.reviews}


def takes_back(says: Facts) -> bool:
    return any(Stage.INVALID in t.stage.now for t in says.transfers)


def changed_payments(before: Dossier, after: Dossier) -> Iterator[tuple[Facts, Money, Facts, Money]]:
    for old, new, was, now in zip(
        before.payments, after.payments, standings(before), standings(after), strict=True
    ):
        yield old.facts, was.received, new.facts, now.received


@everywhere
def test_the_identities_of_money_hold_everywhere(ground: Ground) -> None:
    for state in walked(ground).states.values():
        assert state.received == state.credited + state.surplus - state.shortfall
        assert min(state.credited, state.surplus, state.shortfall, state.refunded, state.under_way) >= NOTHING
        assert not (state.surplus and state.shortfall)
        if state.refunded + state.under_way > state.received:
            assert Reason.OVER_REFUNDED in reasons(state)


@everywhere
def test_confirmed_money_counts_as_received_until_the_provider_says_otherwise(ground: Ground) -> None:
    for dossier in walked(ground).states:
        facts, standing = dossier.payments[0].facts, standings(dossier)[0]
        if not facts.credited and not facts.billed:
            assert standing.received >= worth_confirmed(facts), facts


@everywhere
def test_money_that_was_seen_is_forgotten_only_on_the_providers_own_word(ground: Ground) -> None:
    walk = walked(ground)
    for before, step, after in walk.edges:
        says = step.says
        spoke = says is not None and (
            says.verdict or says.credited or says.billed or says.flags or takes_back(says)
        )
        for _, was, _, now in changed_payments(before, after):
            assert now >= was or spoke, step.name
        lost = "money_seen" in walk.states[before].flags and "money_seen" not in walk.states[after].flags
        if lost:
            assert says is not None, step.name
            words = {word for payment in after.payments for word in last_words(payment.facts)}
            nothing_there = words & {Word.NEW, Word.EXPIRED, Word.INVALID}
            # A mark by hand says that what was taken for money need not have been any.
            said_so = takes_back(says) or says.credited or Flag.BY_HAND in says.flags
            assert said_so or (says.verdict and nothing_there), step.name


@everywhere
def test_nothing_but_the_providers_own_word_makes_a_paid_order_unpaid(ground: Ground) -> None:
    walk = walked(ground)
    for before, step, after in walk.edges:
        was, now = walk.states[before], walk.states[after]
        if was.status not in PAID or now.status in PAID | GONE_BACK | {S.CANCELLED}:
            continue
        assert step.says is not None, step.name
        words = last_words(step.says)
        taken = Word.INVALID in words or takes_back(step.says) or step.says.credited
        # Not taken back, but known now to have come after the window, or to be of another amount than was agreed.
        held = words & {Word.EXPIRED, Word.UNDERPAID, Word.LATE} or step.says.flags or step.says.billed
        trusting = ground.policy is LENIENT or before.accepted
        # What counts when it is seen, or was accepted as it stood: any later word of less takes it back.
        assert taken or held or trusting, step.name
        assert now.reviews, f"{step.name}: nobody is told"


@everywhere
def test_every_problem_with_money_has_a_reason_to_look(ground: Ground) -> None:
    for dossier, state in walked(ground).states.items():
        stands = standings(dossier)
        held = state.received - state.refunded - state.under_way
        owed = DUE if state.status in PAID | GONE_BACK else NOTHING
        waits = any(s.status in OPEN for s in stands)
        if (
            held > owed
            and not waits
            and not (ground.policy.surplus is Surplus.CREDIT and state.status in PAID)
        ):
            assert state.reviews, (dossier.payments, dossier.acts)
        for s in stands:
            if s.status is PaymentStatus.TIE:
                assert Reason.TIE in reasons(state)
            if s.reversed:
                assert Reason.REVERSED in reasons(state)


@everywhere
def test_every_change_of_status_that_occurs_is_in_the_table(ground: Ground) -> None:
    walk = walked(ground)
    for before, step, after in walk.edges:
        was, now = walk.states[before].status, walk.states[after].status
        assert was is now or now in TRANSITIONS[was], f"{was.value} -> {now.value} by {step.name}"
