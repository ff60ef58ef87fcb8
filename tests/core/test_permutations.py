from pathlib import Path
from typing import Any

import pytest

from bursar.facts import Facts, Observation, Said, Word
from bursar.money import Money, fiat
from bursar.orders import Terms
from bursar.providers import Delivery, Reading
from bursar.testing.permutations import Report, permute
from bursar.testing.stage import Stage
from bursar.testing.stories import stories_of

TEN = Money(1000, fiat("USD"))
LIVES = [
    pytest.param(provider, story, id=f"{provider}-{story.number}")
    for provider in ("btcpay", "coinpay")
    for story in stories_of(provider)
]
FEW = [
    life
    for life in LIVES
    if life.id in ("btcpay-2", "btcpay-6", "btcpay-18", "btcpay-22a", "btcpay-32", "coinpay-7", "coinpay-8")
]


def permuted(provider: str, story: Any, folder: Path, *, events: int, most: int) -> Report:
    """Play a story, and then what its service delivered in every order, beside what polls said."""
    with Stage(provider, folder, policy=story.policy, settings=story.settings, more=story.more) as stage:
        order = story.play(stage)
        stage.settle()
        payment = stage.look(order).payments[-1].kept
        came = [
            Delivery(outgoing.body, {k.lower(): v for k, v in outgoing.headers}, 0)
            for outgoing, status in stage.log
            if status == 200
        ]
        polls = []
        if payment.facts.polled is not None and payment.payment_id is not None:
            polls = [
                Observation(
                    payment.payment_id, Facts(verdict=payment.facts.polled, polled=payment.facts.polled)
                )
            ]
        return permute(
            stage.bursar.desk.account().provider, [*came[-events:], *polls], payment.terms, most=most
        )


@pytest.mark.parametrize(("provider", "story"), FEW)
def test_what_a_service_delivers_means_the_same_in_every_order(
    provider: str, story: Any, tmp_path: Path
) -> None:
    report = permuted(provider, story, tmp_path, events=5, most=720)

    assert report.divergent == 0, str(report)
    assert report.exhaustive


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "story"), FEW)
def test_seven_deliveries_mean_the_same_in_all_5040_orders(provider: str, story: Any, tmp_path: Path) -> None:
    report = permuted(provider, story, tmp_path, events=6, most=5040)

    assert report.divergent == 0, str(report)


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "story"), LIVES)
def test_all_deliveries_of_every_story_mean_the_same_in_any_order(
    provider: str, story: Any, tmp_path: Path
) -> None:
    report = permuted(provider, story, tmp_path, events=30, most=200)

    assert report.divergent == 0, str(report)


class Mute:
    """Deliver nothing: only observations are played."""

    def read_webhook(self, delivery: Delivery) -> Reading:
        return Reading("nothing")


def test_a_join_that_lets_the_last_one_win_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Facts, "join", lambda self, other: other)
    events = [
        Observation("p", Facts(verdict=Said[Word].once(word, 0)))
        for word in (Word.NEW, Word.PROCESSING, Word.SETTLED)
    ]

    report = permute(Mute(), events, Terms(TEN, TEN), repeat=False)  # type: ignore[arg-type]

    assert (report.played, report.exhaustive, report.divergent) == (6, True, 2)
    assert "3 events, 6 playings (every order): 2 divergent" in str(report)
    assert "p: settled" in str(report)


def test_more_orders_than_can_be_played_are_drawn_by_a_seed() -> None:
    events = [
        Observation("p", Facts(verdict=Said[Word].once(Word.NEW, at)), event=str(at)) for at in range(9)
    ]
    terms = Terms(TEN, TEN)

    one = permute(Mute(), events, terms, most=50, seed=1)  # type: ignore[arg-type]

    assert (one.played, one.exhaustive, one.divergent) == (50, False, 0)
    assert "orders drawn by chance" in str(one)
