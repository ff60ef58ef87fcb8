"""The durable step: one transaction for a batch of work, a constant number of statements whatever its size."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import sqlalchemy.exc
from sqlalchemy import Connection

from bursar.errors import BadDelivery, Busy, OutcomeUnknown
from bursar.store import schema
from bursar.store.database import Again, Database
from bursar.store.keeping import Keeper, Written, parcel_of
from bursar.store.loading import Loader
from bursar.store.play import NO_ORDER, Known, Parcel, Play, make_parcel, names_wanted
from bursar.work import Applied, Arrival, Name, NewOrder, OnOrder, Work

__all__ = ["Step"]


class Step:
    """Do work on orders, durably."""

    def __init__(self, database: Database, loader: Loader, keeper: Keeper) -> None:
        self._database, self._loader, self._keeper = database, loader, keeper
        compiler, s = database.compiler, schema
        by_name = ("scope", "kind", "id")
        place, waiting = ("order_key", "digest"), (*by_name, "digest")
        self._delivered = compiler.lookup(s.deliveries, place, place)
        self._parked = compiler.lookup(s.parked, by_name, s.parked.c.keys())
        self._waiting = compiler.lookup(s.parked, waiting, waiting)

    def __call__(self, work: Sequence[Work]) -> list[Applied | Exception]:
        """Do all *work* in one transaction and answer one by one. Raises `Busy` where nothing was taken."""
        if not work:
            return []
        try:
            return self._together(work)
        except (Busy, OutcomeUnknown):
            raise
        except Exception as error:  # noqa: BLE001 - one bad member must fail alone
            if len(work) == 1:
                return [_blame(work[0], error)]
            return [self._alone(member) for member in work]

    def _alone(self, member: Work) -> Applied | Exception:
        try:
            return self._together([member])[0]
        except Exception as error:  # noqa: BLE001 - it is this member's answer
            return _blame(member, error)

    def _together(self, work: Sequence[Work]) -> list[Applied | Exception]:
        parcels = [make_parcel(member) if isinstance(member, Arrival) else None for member in work]
        answers, play, written = self._database.write(lambda connection: self._run(connection, work, parcels))
        for one in written:
            self._loader.remember(one.version, one.progress.dossier, one.progress.state)
        self._loader.remember_names(play.names)
        return answers

    def _run(
        self, connection: Connection, work: Sequence[Work], parcels: Sequence[Parcel | None]
    ) -> tuple[list[Applied | Exception], Play, list[Written]]:
        asked = names_wanted(work, parcels)
        known = self._look_up(connection, work, parcels, asked)
        seen_to = set[tuple[Name, bool]]()
        while True:
            play = Play(known)
            answers = play.run(work, parcels)
            # What is learned can turn a name that was to be waited for into one that is made known, and back.
            made = {(name, True) for name in play.names}
            unseen = (made | {(name, False) for name, _ in play.waiting}) - seen_to
            if not unseen or not self._look_again(connection, known, play, asked):
                return answers, play, self._keeper.write(connection, play)
            seen_to |= unseen

    def _look_up(
        self, connection: Connection, work: Sequence[Work], parcels: Sequence[Parcel | None], asked: set[Name]
    ) -> Known:
        names = self._loader.find(connection, asked)
        keys = set(names.values())
        for member in work:
            match member:
                case OnOrder():
                    keys.add(member.order_key)
                case NewOrder():
                    # It may be there already, when a caller whose answer was lost asks again.
                    keys.add(member.dossier.order.key)
                case Arrival():
                    pass
        known = Known(names, self._loader.load(connection, keys, lock=True))
        places = {place for parcel in parcels if parcel for place in _places(known, parcel)}
        if places:
            known.delivered = {(key, digest) for key, digest in self._delivered(connection, sorted(places))}
        return known

    def _look_again(self, connection: Connection, known: Known, play: Play, asked: set[Name]) -> bool:
        """Learn what only playing could ask for; return whether it changes anything.

        That is: whether a name that becomes known belongs to another order, what waited for it, and whether what is
        to be parked is parked already. Happens only in a batch that makes names known or has something to park.
        """
        made = set(play.names)
        waiting = {name for name, _ in play.waiting} - made
        if self._database.on_postgres:
            # Whoever makes a name known and whoever parks for it must see each other, so both ask again under a lock.
            self._lock(connection, made | waiting)
            taken = self._loader.find(connection, made | waiting, afresh=True)
            if taken.keys() & asked:
                raise Again
        else:
            # On SQLite nobody can have come between.
            taken = self._loader.find(connection, made - asked, afresh=True)
        learned = bool(taken.keys() - known.names.keys())
        known.names |= taken
        if made:
            rows = [(name.scope, name.kind, name.id) for name in sorted(made)]
            known.parked = {}
            for row in self._parked(connection, rows):
                name, parcel = Name(row.kind, row.scope, row.id), parcel_of(row)
                known.waiting.add((name, row.digest))
                if parcel is not None:
                    known.parked.setdefault(name, []).append(parcel)
                learned = True
        if waiting:
            places = [(n.scope, n.kind, n.id, digest) for n, digest in sorted(play.waiting) if n in waiting]
            for scope, kind, id_, digest in self._waiting(connection, places):
                known.waiting.add((Name(kind, scope, id_), digest))
                learned = True
        return learned

    def _lock(self, connection: Connection, names: Iterable[Name]) -> None:
        keys = sorted({_lock_key(name) for name in names})
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k", (keys,))


def _places(known: Known, parcel: Parcel) -> set[tuple[str, bytes]]:
    if not parcel.seen:
        return {(NO_ORDER, parcel.digest)}
    owners = map(known.names.get, parcel.subjects)
    return {(key, parcel.digest) for key in owners if key is not None}


def _lock_key(name: Name) -> int:
    text = f"{name.kind}\0{name.scope}\0{name.id}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def _blame(member: Work, error: Exception) -> Exception:
    unwritable = isinstance(error, UnicodeEncodeError | sqlalchemy.exc.DataError)
    if unwritable and isinstance(member, Arrival):
        return BadDelivery(
            f"a delivery of account {member.account!r} holds text that no database keeps (a NUL or half a character)"
        )
    return error
