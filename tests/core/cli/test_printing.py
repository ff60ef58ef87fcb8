import io
import unicodedata
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.cli.printing import console, grid, moment, plain, table

STEERING = "\x00\x07\x1b\x7f\x85\x9b\r\n\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.lists(st.sampled_from(STEERING) | st.text(max_size=3)).map("".join))
def test_no_text_ever_steers_a_terminal(text: str) -> None:
    shown = plain(text)

    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(letter) == "Cc" for letter in shown)
    assert not set(shown) & set(STEERING)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Zl", "Zp", "Cs"])))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_into_a_file_nothing_is_coloured_and_no_cell_is_cut_off() -> None:
    long = "x" * 300
    written = io.StringIO()

    with redirect_stdout(written):
        console().print(table(("one", "two"), [(long, "[red]b[/red]")]))
        console().print(grid({"label": "value", "empty": ""}))

    shown = written.getvalue()
    assert "\x1b" not in shown
    assert "".join(shown.split()).count("x") == 300
    assert "[red]b[/red]" in shown
    assert "label  value" in shown
    assert "empty" not in shown


@pytest.mark.parametrize(("at", "shown"), [(0, "–"), (None, "–"), (1_790_000_000, "2026-09-21 14:13:20")])
def test_moments_are_written_in_utc(at: int | None, shown: str) -> None:
    assert moment(at) == shown
