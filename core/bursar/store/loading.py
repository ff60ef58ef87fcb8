"""Load orders: which order a name means, and the dossier as it is kept, from memory where the version is the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
from sqlalchemy import Connection

from bursar.lifecycle import OrderState
from bursar.orders import Dossier
from bursar.store import codec, schema
from bursar.store.recent import Recent
from bursar.store.statements import Compiler
from bursar.work import Kept, Name

__all__ = ["Course", "Loaded", "Loader"]

_RECENT_ORDERS: Final = 4_096
_RECENT_NAMES: Final = 65_536


@attrs.frozen
class Course:
    """Hold how far an order has come: the version of what is kept, its last transition, and what its shop knows."""

    version: int
    target: int
    changed_at: int
    cursor: int
    hold_until: int
    shop_hold_until: int
    shop_problem: str


@attrs.frozen
class Loaded:
    """Hold an order as it is kept."""

    course: Course
    dossier: Dossier
    state: OrderState

    @property
    def kept(self) -> Kept:
        course = self.course
        return Kept(
            self.dossier, self.state, course.target, course.changed_at, course.cursor, course.shop_problem
        )


class Loader:
    """Find and load orders. What was read or written last is remembered by its version, across transactions."""

    def __init__(self, compiler: Compiler) -> None:
        s = schema
        by_key, by_name = ("order_key",), ("scope", "kind", "id")
        course = ("order_key", *(field.name for field in attrs.fields(Course)))
        document = ("order_key", "number", "document")
        self._names = compiler.lookup(s.names, by_name, (*by_name, "order_key"))
        self._courses = compiler.lookup(s.due, by_key, course)
        self._courses_locked = compiler.lookup(s.due, by_key, course, lock=True)
        self._orders = compiler.lookup(s.orders, by_key, s.orders.c.keys())
        self._facts = compiler.lookup(s.facts, by_key, s.facts.c.keys())
        self._documents = {
            part: compiler.lookup(table, by_key, document)
            for part, table in (("payments", s.payments), ("refunds", s.refunds), ("acts", s.acts))
        }
        self._states = compiler.lookup(s.transitions, ("order_key", "number"), ("order_key", "state"))
        self._recent = Recent[str, tuple[int, Dossier, OrderState]](_RECENT_ORDERS)
        self._recent_names = Recent[Name, str](_RECENT_NAMES)

    def find(self, connection: Connection, names: Iterable[Name], *, afresh: bool = False) -> dict[Name, str]:
        """Return the order keys of those of *names* that are taken; *afresh* asks the database for each."""
        found: dict[Name, str] = {}
        unknown: list[Name] = []
        for name in names:
            # A name never changes hands, so what was once read stays true.
            key = None if afresh else self._recent_names.get(name)
            if key is None:
                unknown.append(name)
            else:
                found[name] = key
        if unknown:
            rows = [(name.scope, name.kind, name.id) for name in unknown]
            for scope, kind, id_, key in self._names(connection, rows):
                found[Name(kind, scope, id_)] = key
        return found

    def load(self, connection: Connection, keys: Iterable[str], *, lock: bool) -> dict[str, Loaded]:
        """Return those of the orders *keys* that are there; *lock* takes them for this transaction, in order of key."""
        rows = [(key,) for key in sorted(set(keys))]
        if not rows:
            return {}
        lookup = self._courses_locked if lock else self._courses
        loaded: dict[str, Loaded] = {}
        missing: dict[str, Course] = {}
        for key, *course in lookup(connection, rows):
            at = Course(*course)
            remembered = self._recent.get(key)
            if remembered is not None and remembered[0] == at.version:
                loaded[key] = Loaded(at, remembered[1], remembered[2])
            else:
                missing[key] = at
        if missing:
            loaded |= self._read(connection, missing)
        return loaded

    def remember(self, version: int, dossier: Dossier, state: OrderState) -> None:
        """Remember what is durable under *version*."""
        self._recent.put(dossier.order.key, (version, dossier, state))

    def remember_names(self, names: Mapping[Name, str]) -> None:
        """Remember durable *names*."""
        for name, key in names.items():
            self._recent_names.put(name, key)

    def _read(self, connection: Connection, courses: Mapping[str, Course]) -> dict[str, Loaded]:
        rows = [(key,) for key in courses]
        facts = {(key, number): document for key, number, document in self._facts(connection, rows)}
        documents: dict[str, dict[str, list[tuple[int, str]]]] = {}
        for part, lookup in self._documents.items():
            by_order: dict[str, list[tuple[int, str]]] = defaultdict(list)
            for key, number, document in lookup(connection, rows):
                by_order[key].append((number, document))
            documents[part] = by_order
        targets = [(key, course.target) for key, course in courses.items()]
        states = {key: codec.read_state(text) for key, text in self._states(connection, targets)}
        loaded: dict[str, Loaded] = {}
        for key, shop, reference, amount, created_at, document in self._orders(connection, rows):
            parts = {name: sorted(by_order.get(key, [])) for name, by_order in documents.items()}
            columns = {
                "key": key,
                "shop": shop,
                "reference": reference,
                "amount": amount,
                "created_at": created_at,
            }
            dossier = Dossier(
                codec.read_order(columns, document),
                tuple(codec.read_payment(text, facts[key, number]) for number, text in parts["payments"]),
                tuple(codec.read_refund(text) for _, text in parts["refunds"]),
                tuple(codec.read_act(text) for _, text in parts["acts"]),
            )
            loaded[key] = Loaded(courses[key], dossier, states[key])
            self.remember(courses[key].version, dossier, states[key])
        return loaded
