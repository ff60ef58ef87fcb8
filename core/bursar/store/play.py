"""Apply a batch of work to orders in memory, one member after another, with nothing kept of a member that fails.

Pure: what the database knows comes in as `Known`, what is to be written is read off the `Play`. So a batch can be
played again when it turns out that more has to be known.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Final

import attrs

from bursar.changes import observed
from bursar.errors import BadInput, NotFound, Refused
from bursar.facts import Observation
from bursar.lifecycle import OrderState, order_state
from bursar.orders import Dossier, Payment, Seen
from bursar.store.codec import write_headers
from bursar.store.loading import Loaded
from bursar.work import Applied, Arrival, Kept, Name, NewOrder, OnOrder, Transition, Work

__all__ = ["NO_ORDER", "Known", "Parcel", "Play", "Progress", "make_parcel", "names_wanted", "subject"]

agreed: Final = attrgetter(*(field.name for field in attrs.fields(Payment) if field.name != "facts"))
"""Take all of a payment but its facts."""

NO_ORDER = ""
"""Stands for the order of a delivery that concerns none."""


@attrs.frozen
class Parcel:
    """Hold a delivery as it is written; *digest* tells it from every other of its order."""

    digest: bytes
    account: str
    event: str
    event_id: str
    at: int
    headers: str = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    seen: tuple[Seen, ...]
    subjects: tuple[Name, ...]
    """What each of *seen* is about."""

    @property
    def cause(self) -> str:
        return f"{self.account}: {self.event or 'delivery'}"


@attrs.define
class Known:
    """Hold what the database knows of a batch.

    *delivered* are the deliveries that are kept already, *parked* those that wait for a name that becomes known in
    this batch, *waiting* those already kept for a name that does not.
    """

    names: dict[Name, str] = attrs.field(factory=lambda: dict[Name, str]())
    orders: dict[str, Loaded] = attrs.field(factory=lambda: dict[str, Loaded]())
    delivered: set[tuple[str, bytes]] = attrs.field(factory=lambda: set[tuple[str, bytes]]())
    parked: dict[Name, list[Parcel]] = attrs.field(factory=lambda: dict[Name, list[Parcel]]())
    waiting: set[tuple[Name, bytes]] = attrs.field(factory=lambda: set[tuple[Name, bytes]]())


@attrs.frozen
class Progress:
    """Hold an order within a batch: as it was *loaded* (None: it is new), and as it stands."""

    loaded: Loaded | None
    dossier: Dossier
    state: OrderState
    number: int
    changed_at: int
    transitions: tuple[Transition, ...] = ()

    @property
    def changed(self) -> bool:
        return self.loaded is None or self.dossier is not self.loaded.dossier

    @property
    def kept(self) -> Kept:
        cursor, problem = (
            (self.loaded.course.cursor, self.loaded.course.shop_problem) if self.loaded else (0, "")
        )
        return Kept(self.dossier, self.state, self.number, self.changed_at, cursor, problem)


@attrs.define
class _Draft:
    """Collect what one member does, until it has succeeded."""

    orders: dict[str, Progress] = attrs.field(factory=lambda: dict[str, Progress]())
    names: dict[Name, str] = attrs.field(factory=lambda: dict[Name, str]())
    deliveries: dict[tuple[str, bytes], Parcel] = attrs.field(
        factory=lambda: dict[tuple[str, bytes], Parcel]()
    )
    waiting: dict[tuple[Name, bytes], Parcel] = attrs.field(
        factory=lambda: dict[tuple[Name, bytes], Parcel]()
    )
    freed: set[tuple[Name, bytes]] = attrs.field(factory=lambda: set[tuple[Name, bytes]]())


def subject(account: str, seen: Seen) -> Name:
    """Return the name of the payment or refund that *seen* is about."""
    if isinstance(seen, Observation):
        return Name("payment", account, seen.payment_id)
    return Name("refund", account, seen.refund_id)


def names_wanted(work: Sequence[Work], parcels: Sequence[Parcel | None]) -> set[Name]:
    """Return every name that has to be looked up before *work* can be played."""
    wanted: set[Name] = set()
    for member, parcel in zip(work, parcels, strict=True):
        if parcel is not None:
            wanted.update(parcel.subjects)
        elif isinstance(member, NewOrder):
            wanted.update(member.names, _identities(member.dossier))
    return wanted


def _identities(dossier: Dossier) -> Iterator[Name]:
    for payment in dossier.payments:
        if payment.payment_id is not None:
            yield Name("payment", payment.account, payment.payment_id)
    for refund in dossier.refunds:
        if refund.refund_id is not None:
            account = next((p.account for p in dossier.payments if p.number == refund.payment), "")
            yield Name("refund", account, refund.refund_id)


def make_parcel(arrival: Arrival) -> Parcel:
    digest = sha256(arrival.account.encode() + b"\0" + arrival.body).digest()
    return Parcel(
        digest,
        arrival.account,
        arrival.event,
        arrival.event_id,
        arrival.at,
        write_headers(arrival.headers),
        arrival.body,
        arrival.seen,
        tuple([subject(arrival.account, seen) for seen in arrival.seen]),
    )


class Play:
    """Hold what a batch has come to so far."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.orders: dict[str, Progress] = {}
        self.names: dict[Name, str] = {}
        self.deliveries: dict[tuple[str, bytes], Parcel] = {}
        self.waiting: dict[tuple[Name, bytes], Parcel] = {}
        self.freed: set[tuple[Name, bytes]] = set()

    def run(self, work: Sequence[Work], parcels: Sequence[Parcel | None]) -> list[Applied | Exception]:
        """Apply *work* in its order; a member that raises is answered with what it raised."""
        answers: list[Applied | Exception] = []
        for member, parcel in zip(work, parcels, strict=True):
            draft = _Draft()
            try:
                answer = self._apply(draft, member, parcel)
            except Exception as error:  # noqa: BLE001 - whatever it raises is its caller's, and spoils no other
                answers.append(error)
                continue
            self.orders |= draft.orders
            self.names |= draft.names
            self.deliveries |= draft.deliveries
            self.waiting |= draft.waiting
            self.freed |= draft.freed
            answers.append(answer)
        return answers

    def _apply(self, draft: _Draft, member: Work, parcel: Parcel | None) -> Applied:
        match member:
            case Arrival():
                assert parcel is not None
                return self._arrive(draft, parcel)
            case OnOrder(key, change, at, cause):
                now = self._now(draft, key)
                if now is None:
                    raise NotFound(f"there is no order {key!r}")
                self._advance(draft, now, change(now.dossier), at=at, cause=cause)
                return Applied(draft.orders.get(key, now).kept)
            case NewOrder():
                return self._open(draft, member)

    def _open(self, draft: _Draft, new: NewOrder) -> Applied:
        key = new.dossier.order.key
        for taken in (*(self._owner(draft, name) for name in new.names), key):
            there = self._now(draft, taken) if taken is not None else None
            if there is not None:
                return Applied(there.kept, fresh=False)
        state = order_state(new.dossier)
        first = Transition(1, new.at, None, state.status, state, new.cause)
        draft.orders[key] = Progress(None, new.dossier, state, 1, new.at, (first,))
        draft.names.update((name, key) for name in new.names)
        self._name(draft, key, _identities(new.dossier), at=new.at)
        return Applied(draft.orders[key].kept)

    def _arrive(self, draft: _Draft, parcel: Parcel) -> Applied:
        concerned: dict[str, list[Seen]] = {}
        waits: list[Name] = []
        for name, seen in zip(parcel.subjects, parcel.seen, strict=True):
            key = self._owner(draft, name)
            if key is None:
                waits.append(name)
            else:
                concerned.setdefault(key, []).append(seen)
        fresh = False
        for name in waits:
            place = (name, parcel.digest)
            if place not in self.known.waiting and place not in self.waiting:
                draft.waiting[place], fresh = parcel, True
        for key in concerned or ([] if waits else [NO_ORDER]):
            fresh |= self._deliver(draft, key, parcel)
        for key, seen_of_it in concerned.items():
            self._observe(draft, key, parcel, seen_of_it, at=parcel.at)
        about = next(iter(concerned), None)
        now = self._now(draft, about) if about is not None else None
        return Applied(now.kept if now else None, fresh=fresh, parked=bool(waits))

    def _observe(self, draft: _Draft, key: str, parcel: Parcel, seen: Iterable[Seen], *, at: int) -> None:
        now = self._now(draft, key)
        if now is None:
            raise NotFound(f"there is no order {key!r}, although a name leads to it")
        after = now.dossier
        for one in seen:
            after = observed(after, parcel.account, one)
        self._advance(draft, now, after, at=at, cause=parcel.cause)

    def _deliver(self, draft: _Draft, key: str, parcel: Parcel) -> bool:
        place = (key, parcel.digest)
        if place in self.known.delivered or place in self.deliveries:
            return False
        draft.deliveries[place] = parcel
        return True

    def _advance(self, draft: _Draft, now: Progress, after: Dossier, *, at: int, cause: str) -> None:
        """Take the order from *now* to *after*, and then through whatever waited for a name that this makes known."""
        before = now.dossier
        if _same(after, before):
            return
        key = before.order.key
        if after.order.key != key:
            raise BadInput(f"a change of order {key!r} made it another order")
        state, number, changed_at, transitions = (
            order_state(after),
            now.number,
            now.changed_at,
            now.transitions,
        )
        if state != now.state:
            number, changed_at = number + 1, at
            transitions += (Transition(number, at, now.state.status, state.status, state, cause),)
        draft.orders[key] = Progress(now.loaded, after, state, number, changed_at, transitions)
        if _ids(after) != _ids(before):
            self._name(draft, key, _identities(after), at=at)

    def _name(self, draft: _Draft, key: str, names: Iterable[Name], *, at: int) -> None:
        """Give *names* to the order *key*, and apply the deliveries that waited for them."""
        for name in names:
            owner = self._owner(draft, name)
            if owner is None:
                draft.names[name] = key
                self._free(draft, key, name, at=at)
            elif owner != key:
                raise Refused(
                    f"{name.kind} {name.id!r} of account {name.scope!r} belongs to order {owner!r} already; "
                    f"it cannot pay {key!r} too"
                )

    def _free(self, draft: _Draft, key: str, name: Name, *, at: int) -> None:
        here = [parcel for (wanted, _), parcel in self.waiting.items() if wanted == name]
        waited = {parcel.digest: parcel for parcel in (*here, *self.known.parked.get(name, ()))}
        for parcel in sorted(waited.values(), key=lambda parcel: (parcel.at, parcel.digest)):
            about = [seen for of, seen in zip(parcel.subjects, parcel.seen, strict=True) if of == name]
            orders, deliveries = dict(draft.orders), dict(draft.deliveries)
            try:
                # It takes effect now, not when it came.
                self._observe(draft, key, parcel, about, at=max(parcel.at, at))
                self._deliver(draft, key, parcel)
            except Exception:  # noqa: BLE001 - what cannot be joined stays parked; it must not stop a payment from opening
                draft.orders, draft.deliveries = orders, deliveries
            else:
                draft.freed.add((name, parcel.digest))

    def _owner(self, draft: _Draft, name: Name) -> str | None:
        return draft.names.get(name) or self.names.get(name) or self.known.names.get(name)

    def _now(self, draft: _Draft, key: str) -> Progress | None:
        now = draft.orders.get(key) or self.orders.get(key)
        if now is None and key in self.known.orders:
            at = self.known.orders[key]
            now = Progress(at, at.dossier, at.state, at.course.target, at.course.changed_at)
        return now


def _same(one: Dossier, other: Dossier) -> bool:
    """Tell whether two dossiers are equal; what they share, which is nearly all, is not looked into."""
    return one is other or (
        (one.order, one.refunds, one.acts) == (other.order, other.refunds, other.acts)
        and len(one.payments) == len(other.payments)
        and all(
            a is b or (a.facts == b.facts and agreed(a) == agreed(b))
            for a, b in zip(one.payments, other.payments, strict=True)
        )
    )


def _ids(dossier: Dossier) -> list[tuple[str, str | None]]:
    ids = [(payment.account, payment.payment_id) for payment in dossier.payments]
    return [*ids, *((str(refund.payment), refund.refund_id) for refund in dossier.refunds)]
