import copy
import json
import pickle
from collections.abc import Callable

import pytest

from bursar.secrets import Secret

HIDDEN = Secret("hunter2")


def test_a_secret_does_not_show_itself() -> None:
    shown = [
        repr(HIDDEN),
        str(HIDDEN),
        f"{HIDDEN}",
        f"{HIDDEN!r:>20}",
        repr([HIDDEN, {"key": HIDDEN}]),
    ]

    assert not any("hunter2" in text for text in shown)


def test_only_reveal_shows_it() -> None:
    assert HIDDEN.reveal() == "hunter2"


@pytest.mark.parametrize("carry", [pickle.dumps, copy.deepcopy, json.dumps], ids=["pickle", "copy", "json"])
def test_a_secret_is_not_carried_away_by_accident(carry: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError):
        carry(HIDDEN)


def test_secrets_compare_by_what_they_hide() -> None:
    assert Secret("hunter2") == HIDDEN
    assert Secret("other") != HIDDEN
    assert HIDDEN != "hunter2"
    assert len({HIDDEN, Secret("hunter2")}) == 1
    assert not Secret("")
