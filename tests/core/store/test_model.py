"""The store against the plainest model of it: a dictionary of dossiers, and the pure functions."""

import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bursar.changes import acted, observed, payment_intended, payment_opened
from bursar.errors import BursarError
from bursar.facts import Facts, Observation, Said, Stage, Transfer, Word
from bursar.lifecycle import OrderState, order_state
from bursar.money import Asset, Money
from bursar.orders import Act, ActKind, Checkout, Dossier, Opened, Order, Terms
from bursar.store import Store, open_store
from bursar.work import Arrival, Name, NewOrder, OnOrder, Work

EUR = Asset("EUR", 2)
PRICE = Money(1050, EUR)
IDS = [f"p{n}" for n in range(5)]


def new_order(number: int, at: int) -> NewOrder:
    order = Order(f"key-{number}", f"A-{number}", PRICE, at)
    return NewOrder(Dossier(order), (Name("reference", "shop", order.reference),), at)


def opening(number: int, payment_id: str, at: int) -> OnOrder:
    def change(dossier: Dossier) -> Dossier:
        intended = payment_intended(
            dossier, account="main", attempt=f"{number}-{at}", terms=Terms(PRICE, PRICE), at=at
        )
        return payment_opened(intended, len(intended.payments), Opened(payment_id, PRICE, Checkout()))

    return OnOrder(f"key-{number}", change, at, "opened")


def act(number: int, kind: ActKind, at: int) -> OnOrder:
    return OnOrder(f"key-{number}", lambda dossier: acted(dossier, Act(kind, at, "me")), at, kind.value)


def arrival(payment_id: str, word: Word, instant: int, paid: int, at: int) -> Arrival:
    transfers = (
        (Transfer(f"t-{payment_id}", Money(paid, EUR), Said[Stage].once(Stage.SEEN, instant)),)
        if paid
        else ()
    )
    facts = Facts(verdict=Said[Word].once(word, instant), transfers=transfers)
    body = f"{payment_id} {word} {instant} {paid}".encode()
    return Arrival("main", body, {}, at, word.value, "", (Observation(payment_id, facts),))


times = st.integers(1, 6)
numbers = st.integers(0, 3)
works: st.SearchStrategy[Work] = st.one_of(
    st.builds(new_order, numbers, times),
    st.builds(opening, numbers, st.sampled_from(IDS), times),
    st.builds(act, numbers, st.sampled_from([ActKind.CANCEL, ActKind.FULFIL, ActKind.ACCEPT]), times),
    st.builds(
        arrival, st.sampled_from(IDS), st.sampled_from(Word), times, st.sampled_from([0, 500, 1050]), times
    ),
)


def came(arrival: Arrival) -> tuple[int, bytes]:
    return arrival.at, sha256(arrival.account.encode() + b"\0" + arrival.body).digest()


class Model:
    """Do what a store does, in memory and one by one."""

    def __init__(self) -> None:
        self.dossiers: dict[str, Dossier] = {}
        self.names: dict[Name, str] = {}
        self.states: dict[str, list[OrderState]] = {}
        self.deliveries: dict[str, dict[bytes, None]] = {}
        self.parked: dict[str, dict[bytes, Arrival]] = {}

    def do(self, work: Work) -> bool:
        """Do *work*; return whether it was refused."""
        match work:
            case NewOrder():
                if work.names[0] not in self.names:
                    key = work.dossier.order.key
                    self.names[work.names[0]] = key
                    self.dossiers[key], self.states[key] = work.dossier, [order_state(work.dossier)]
            case OnOrder():
                return self.change(work)
            case Arrival():
                payment_id = work.body.split()[0].decode()
                owner = self.names.get(Name("payment", "main", payment_id))
                if owner is None:
                    self.parked.setdefault(payment_id, {}).setdefault(work.body, work)
                else:
                    self.deliver(owner, work)
        return False

    def change(self, work: OnOrder) -> bool:
        before = self.dossiers.get(work.order_key)
        if before is None:
            return True
        try:
            after = work.change(before)
        except BursarError:
            return True
        made = {Name("payment", "main", p.payment_id) for p in after.payments if p.payment_id}
        if any(self.names.get(name, work.order_key) != work.order_key for name in made):
            return True
        self.keep(work.order_key, after)
        for name in made - self.names.keys():
            self.names[name] = work.order_key
            # In the order in which they came; among those of one second, by their digest.
            for parked in sorted(self.parked.pop(name.id, {}).values(), key=came):
                self.deliver(work.order_key, parked)
        return False

    def deliver(self, key: str, work: Arrival) -> None:
        after = self.dossiers[key]
        for seen in work.seen:
            after = observed(after, work.account, seen)
        self.deliveries.setdefault(key, {})[work.body] = None
        self.keep(key, after)

    def keep(self, key: str, after: Dossier) -> None:
        self.dossiers[key] = after
        state = order_state(after)
        if state != self.states[key][-1]:
            self.states[key].append(state)


def agree(store: Store, model: Model) -> None:
    """Hold all that the store answers to the model."""
    assert {summary.order_key for summary in store.orders()} == model.dossiers.keys()
    for key, dossier in model.dossiers.items():
        kept, history = store.get(key), store.history(key)
        assert kept is not None
        assert kept.dossier == dossier
        assert kept.state == order_state(dossier)
        assert [t.state for t in history] == model.states[key]
        assert [t.number for t in history] == list(range(1, kept.number + 1))
        assert {d.body for d in store.deliveries(key)} == model.deliveries.get(key, {}).keys()
    assert sorted(p.subject for p in store.parked()) == sorted(
        payment_id for payment_id, parked in model.parked.items() for _ in parked
    )
    for name, key in model.names.items():
        assert store.find(name) == key


class StoreAgainstModel(RuleBasedStateMachine):
    """Do anything in any order, in batches of any size, and open the file again at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.opened()
        self.model = Model()

    def opened(self) -> Store:
        path = Path(self.folder.name) / "orders.db"
        return open_store(f"sqlite:///{path}", wake=lambda _: None, tell=lambda _: False)

    @rule(batch=st.lists(works, min_size=1, max_size=8))
    def step(self, batch: list[Work]) -> None:
        answers = self.store.step(batch)
        refused = [self.model.do(work) for work in batch]
        assert [isinstance(answer, Exception) for answer in answers] == refused

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.opened()

    @invariant()
    def agrees(self) -> None:
        agree(self.store, self.model)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


class StoreAgainstModelForLong(StoreAgainstModel):
    """Do so many times."""


def bounded(examples: int, steps: int) -> settings:
    # Files are opened and written: slower than the health checks expect, and no sign of anything.
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


StoreAgainstModel.TestCase.settings = bounded(12, 8)
StoreAgainstModelForLong.TestCase.settings = bounded(100, 20)
test_the_store_does_what_the_pure_functions_say = StoreAgainstModel.TestCase
test_the_store_does_so_for_long = pytest.mark.slow(StoreAgainstModelForLong.TestCase)
