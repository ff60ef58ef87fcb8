import json
from pathlib import Path

import pytest

from bursar.standing import PaymentStatus
from bursar.testing.stories import Ending, Story, play, stories_of, table
from bursar_btcpay.recording import read_recording
from bursar_btcpay.recordings import outcomes

PROVIDERS = ("btcpay", "coinpay")
RECORDINGS = Path(__file__).parent / "providers" / "bursar_btcpay" / "recordings"
PAGE = Path(__file__).parents[1] / "docs" / "edge-cases.md"
# A day of polls takes a while to play.
LONG = {"btcpay-16", "btcpay-16a"}
STORIES = [
    pytest.param(provider, story, id=name, marks=[pytest.mark.slow] if name in LONG else [])
    for provider in PROVIDERS
    for story in stories_of(provider)
    for name in [f"{provider}-{story.number}"]
]
QUICK = {"late_partial", "marked_by_hand", "top_up"}
LIVES = [
    pytest.param(file.stem, marks=[] if file.stem in QUICK else [pytest.mark.slow])
    for file in sorted(RECORDINGS.glob("*.json"))
]


@pytest.mark.parametrize(("provider", "story"), STORIES)
def test_every_story_ends_as_it_must(provider: str, story: Story, tmp_path: Path) -> None:
    ending = play(provider, story, tmp_path)

    reasons = tuple(sorted(story.reasons, key=lambda reason: reason.value))
    assert (ending.status, ending.flags, ending.reasons) == (story.status, story.flags, reasons)


def test_the_same_story_ends_the_same_at_every_playing(tmp_path: Path) -> None:
    story = stories_of("btcpay")[5]
    endings: list[Ending] = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        endings.append(play("btcpay", story, folder))

    assert endings[0] == endings[1]


@pytest.mark.parametrize("name", LIVES)
def test_a_recording_of_the_real_server_ends_as_its_last_answer_means(name: str) -> None:
    text = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8")
    recording = read_recording(json.loads(text, parse_float=str))

    for outcome in outcomes(recording, shuffles=2, seed=7):
        assert set(outcome.reached) == {outcome.expected}, outcome


def test_late_money_is_held_in_the_recordings_too() -> None:
    text = (RECORDINGS / "late_partial.json").read_text(encoding="utf-8")

    (outcome,) = outcomes(read_recording(json.loads(text, parse_float=str)), shuffles=0, seed=0)

    assert outcome.expected is PaymentStatus.HELD
    assert set(outcome.reached) == {PaymentStatus.HELD}


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_table_in_the_docs_is_what_the_stories_come_to(provider: str) -> None:
    assert table(provider, stories_of(provider)) in PAGE.read_text(encoding="utf-8")
