"""Write what a batch came to: a constant number of statements, each for all its rows, and only for what changed."""

import secrets
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import attrs
from sqlalchemy import Connection

from bursar.errors import BursarError
from bursar.orders import Dossier
from bursar.store import codec, schema
from bursar.store.play import Parcel, Play, Progress, agreed, subject
from bursar.store.statements import Compiler
from bursar.store.timing import Timing
from bursar.work import Transition

__all__ = ["Keeper", "Written", "parcel_of"]


@attrs.frozen
class Written:
    """Name what is to be remembered once it is durable: the new version of an order."""

    version: int
    progress: Progress


class _Rows:
    """Collect the rows of one batch by statement."""

    def __init__(self) -> None:
        self.by_statement: dict[str, list[tuple[Any, ...]]] = {}

    def add(self, statement: str, *row: Any) -> None:
        self.by_statement.setdefault(statement, []).append(row)


class Keeper:
    """Hold the statements that write, compiled once."""

    def __init__(self, compiler: Compiler, timing: Timing) -> None:
        self._compiler, self._timing = compiler, timing
        s = schema
        self._order = compiler.put(s.orders, "shop", "reference", "amount", "created_at", "document")
        self._parts = {
            part: (compiler.put(table, "document"), compiler.delete(table))
            for part, table in (
                ("payments", s.payments),
                ("facts", s.facts),
                ("refunds", s.refunds),
                ("acts", s.acts),
            )
        }
        self._transition = compiler.insert(s.transitions)
        self._new_due = compiler.insert(s.due)
        self._due = compiler.update(
            s.due, "version", "status", "needs_review", "target", "changed_at", "wake_at", "due_at"
        )
        self._delivery = compiler.insert_new(s.deliveries)
        self._name = compiler.insert(s.names)
        self._park = compiler.insert_new(s.parked)
        self._unpark = compiler.delete(s.parked)

    @cached_property
    def _in_turn(self) -> list[str]:
        # One sequence for all transactions, so that two never wait for each other in a circle.
        parts = [statement for pair in self._parts.values() for statement in pair]
        due = [self._new_due, self._due]
        return [
            self._name,
            self._order,
            *parts,
            self._transition,
            *due,
            self._delivery,
            self._park,
            self._unpark,
        ]

    def write(self, connection: Connection, play: Play) -> list[Written]:
        """Write all that *play* changed; return what to remember once it is committed."""
        rows, written = _Rows(), list[Written]()
        for key in sorted(play.orders):
            progress = play.orders[key]
            if progress.changed:
                written.append(self._write_order(rows, progress))
        for name in sorted(play.names):
            rows.add(self._name, name.scope, name.kind, name.id, play.names[name])
        for (key, digest), p in sorted(play.deliveries.items(), key=lambda item: item[0]):
            rows.add(self._delivery, key, digest, p.account, p.event, p.event_id, p.at, p.headers, p.body)
        for (name, digest), p in sorted(play.waiting.items(), key=lambda item: item[0]):
            if (name, digest) not in play.freed:
                seen = codec.write_seen(p.seen)
                place = (name.scope, name.kind, name.id, digest)
                rows.add(self._park, *place, p.event, p.event_id, p.at, p.headers, p.body, seen)
        for name, digest in sorted(play.freed - play.waiting.keys()):
            rows.add(self._unpark, name.scope, name.kind, name.id, digest)
        for statement in self._in_turn:
            if statement in rows.by_statement:
                connection.exec_driver_sql(statement, rows.by_statement[statement])
        return written

    def _write_order(self, rows: _Rows, progress: Progress) -> Written:
        dossier, state, loaded = progress.dossier, progress.state, progress.loaded
        order = dossier.order
        key = order.key
        before = loaded.dossier if loaded else None
        if before is None or order is not before.order:
            document = codec.write_order(order)
            rows.add(
                self._order, key, order.shop, order.reference, str(order.amount), order.created_at, document
            )
        self._write_parts(rows, key, before or Dossier(order), dossier)
        for transition in progress.transitions:
            rows.add(self._transition, key, *_transition_row(transition))
        version = secrets.randbits(62)
        wake_at = self._timing.wake(dossier)
        due_at = self._timing.due_at(
            order.shop,
            wake_at=wake_at,
            target=progress.number,
            changed_at=progress.changed_at,
            cursor=loaded.course.cursor if loaded else 0,
            hold_until=loaded.course.hold_until if loaded else 0,
            shop_hold_until=loaded.course.shop_hold_until if loaded else 0,
        )
        standing = (
            version,
            state.status.value,
            int(state.needs_review),
            progress.number,
            progress.changed_at,
        )
        if loaded is None:
            rows.add(self._new_due, key, *standing, 0, wake_at, 0, 0, 0, 0, "", "", "", 0, 0, due_at)
        else:
            rows.add(self._due, *standing, wake_at, due_at, key)
        return Written(version, progress)

    def _write_parts(self, rows: _Rows, key: str, before: Dossier, after: Dossier) -> None:
        had = {payment.number: payment for payment in before.payments}
        for payment in after.payments:
            old = had.pop(payment.number, None)
            if old is payment:
                continue
            if old is None or agreed(old) != agreed(payment):
                rows.add(self._parts["payments"][0], key, payment.number, codec.write_payment(payment))
            if old is None or old.facts != payment.facts:
                rows.add(self._parts["facts"][0], key, payment.number, codec.write_facts(payment.facts))
        for number in had:
            rows.add(self._parts["payments"][1], key, number)
            rows.add(self._parts["facts"][1], key, number)
        refunds = {refund.number: refund for refund in before.refunds}
        for refund in after.refunds:
            if refunds.pop(refund.number, None) != refund:
                rows.add(self._parts["refunds"][0], key, refund.number, codec.write_refund(refund))
        for number in refunds:
            rows.add(self._parts["refunds"][1], key, number)
        acts = dict(enumerate(before.acts, 1))
        for number, act in enumerate(after.acts, 1):
            if acts.pop(number, None) != act:
                rows.add(self._parts["acts"][0], key, number, codec.write_act(act))
        for number in acts:
            rows.add(self._parts["acts"][1], key, number)


def _transition_row(transition: Transition) -> Iterable[Any]:
    before = transition.before.value if transition.before else None
    state = codec.write_state(transition.state)
    return transition.number, transition.at, before, transition.after.value, transition.cause, state


def parcel_of(row: Any) -> Parcel | None:
    """Read a parked delivery back; None for one that says what this version does not know, which stays parked."""
    try:
        seen = codec.read_seen(row.seen)
    except (LookupError, TypeError, ValueError, BursarError):
        return None
    return Parcel(
        row.digest,
        row.scope,
        row.event,
        row.event_id,
        row.received_at,
        row.headers,
        row.body,
        seen,
        tuple(subject(row.scope, one) for one in seen),
    )
