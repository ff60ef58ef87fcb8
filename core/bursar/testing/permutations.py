"""Play what a provider said in every order, with repetitions, and report where the order of arrival made a difference.

It should never make one. A provider's author hands over genuine deliveries of one life (and observations of polls, if
there are any) and the terms of the payment; what comes back names every ending, and a playing that led to it.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, permutations
from math import factorial
from typing import Final, TypeAlias

import attrs

from bursar.facts import Facts, Observation
from bursar.orders import Payment, Terms
from bursar.providers import Delivery, Provider
from bursar.refunds import RefundFacts, RefundObservation
from bursar.standing import Standing, read_standing

__all__ = ["Ending", "Event", "Report", "permute"]

Event: TypeAlias = Delivery | Observation | RefundObservation
_MOST: Final = 5040


@attrs.frozen
class Ending:
    """Hold what is known at the end of one playing: by payment the facts and their standing, by refund its facts."""

    payments: tuple[tuple[str, Facts, Standing], ...]
    refunds: tuple[tuple[str, RefundFacts], ...]


@attrs.frozen
class Report:
    """Report *played* playings of *events* events, and every *ending* with one playing (indexes of events) that led to it.

    *exhaustive* is false where there were more orders than could be played, and some were drawn instead.
    """

    events: int
    played: int
    exhaustive: bool
    endings: tuple[tuple[Ending, tuple[int, ...]], ...]

    @property
    def divergent(self) -> int:
        """How many endings there are beside the first; 0 where the order of arrival made no difference."""
        return max(0, len(self.endings) - 1)

    def __str__(self) -> str:
        how = "every order" if self.exhaustive else "orders drawn by chance"
        head = f"{self.events} events, {self.played} playings ({how}): {self.divergent} divergent"
        if not self.divergent:
            return head
        lines = [head]
        for ending, playing in self.endings:
            stands = ", ".join(f"{name}: {standing.status.value}" for name, _, standing in ending.payments)
            lines.append(f"  {' '.join(map(str, playing))} -> {stands or 'nothing known'}")
        return "\n".join(lines)


def permute(
    provider: Provider,
    events: Sequence[Event],
    terms: Terms,
    *,
    most: int = _MOST,
    repeat: bool = True,
    seed: int = 0,
) -> Report:
    """Play *events* in every order, or in *most* orders drawn by *seed* where there are more; with *repeat*, some twice."""
    seen = [_read(provider, event) for event in events]
    exhaustive = len(events) <= 12 and factorial(len(events)) <= most
    endings: dict[Ending, tuple[int, ...]] = {}
    played = 0
    for order in _orders(len(events), most, exhaustive=exhaustive, repeat=repeat, seed=seed):
        played += 1
        endings.setdefault(_ending((s for index in order for s in seen[index]), terms), order)
    return Report(len(events), played, exhaustive, tuple(endings.items()))


def _read(provider: Provider, event: Event) -> tuple[Observation | RefundObservation, ...]:
    return provider.read_webhook(event).seen if isinstance(event, Delivery) else (event,)


def _orders(count: int, most: int, *, exhaustive: bool, repeat: bool, seed: int) -> Iterator[tuple[int, ...]]:
    dice = random.Random(seed)
    drawn = islice(permutations(range(count)), most) if exhaustive else _drawn(count, most, dice)
    for order in drawn:
        again = [index for index in order if repeat and dice.random() < 0.4]
        playing = list(order)
        for index in again:
            playing.insert(dice.randint(0, len(playing)), index)
        yield tuple(playing)


def _drawn(count: int, most: int, dice: random.Random) -> Iterator[tuple[int, ...]]:
    order = list(range(count))
    yield tuple(order)
    yield tuple(reversed(order))
    for _ in range(most - 2):
        dice.shuffle(order)
        yield tuple(order)


def _ending(seen: Iterable[Observation | RefundObservation], terms: Terms) -> Ending:
    payments: dict[str, Facts] = {}
    refunds: dict[str, RefundFacts] = {}
    for one in seen:
        if isinstance(one, Observation):
            payments[one.payment_id] = payments.get(one.payment_id, Facts()).join(one.facts)
        else:
            refunds[one.refund_id] = refunds.get(one.refund_id, RefundFacts()).join(one.facts)
    return Ending(
        payments=tuple(
            (name, facts, read_standing(Payment(1, terms, facts=facts)))
            for name, facts in sorted(payments.items())
        ),
        refunds=tuple(sorted(refunds.items(), key=lambda item: item[0])),
    )
