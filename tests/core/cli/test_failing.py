import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from bursar import errors
from bursar.cli.failing import ExitCode, explain

CODES = {
    errors.BursarError: 1,
    errors.ConfigError: 2,
    errors.BadInput: 2,
    errors.CurrencyMismatch: 2,
    errors.NotFound: 2,
    errors.Refused: 1,
    errors.BadSignature: 1,
    errors.BadDelivery: 1,
    errors.PluginBroken: 1,
    errors.Busy: 75,
    errors.ProviderError: 1,
    errors.Declined: 1,
    errors.Unavailable: 75,
    errors.OutcomeUnknown: 1,
}
TREE = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.BursarError)
]


@pytest.mark.parametrize("kind", TREE)
def test_every_error_of_the_tree_has_an_exit_code_of_its_own_meaning(kind: type[errors.BursarError]) -> None:
    code, line = explain(kind("the message"))

    assert code == CODES[kind]
    assert line.startswith("bursar: ")
    assert "the message" in line


def test_only_what_had_no_effect_may_be_tried_again() -> None:
    again = {kind for kind in TREE if explain(kind("x"))[0] is ExitCode.TEMPORARY}

    assert again == {errors.Busy, errors.Unavailable}
    assert "do not repeat it" in explain(errors.OutcomeUnknown("x"))[1]


@given(
    st.sampled_from(TREE), st.lists(st.sampled_from("\n\r\x1b\x9b\u2028") | st.text(max_size=5)).map("".join)
)
def test_an_error_is_always_one_printable_line(kind: type[errors.BursarError], message: str) -> None:
    _, line = explain(kind(message))

    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_a_missing_configuration_is_one_clean_line_and_exit_2(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("order", "list", "--config", str(tmp_path / "nowhere.toml"))

    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "nowhere.toml does not exist" in result.stderr
    assert result.stderr.startswith("bursar: configuration: ")


def test_a_wrong_setting_is_named_with_its_line(run: Callable[..., Result], tmp_path: Path) -> None:
    config = tmp_path / "bursar.toml"
    config.write_text('[bursar]\n\nport = "many"\n', encoding="utf-8")

    for command in (["serve"], ["doctor"], ["review"], ["order", "show", "1"], ["connect", "main"]):
        result = run(*command, "--config", str(config))

        assert result.exit_code == 2, command
        assert "bursar.toml:3: bursar.port" in result.stderr


def test_an_unknown_command_is_a_usage_error(run: Callable[..., Result]) -> None:
    result = run("pay")

    assert result.exit_code == 2
    assert "pay" in result.stderr


def test_a_bug_is_not_dressed_up_as_the_users_fault(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bursar.cli.providers._read", broken)

    result = run("providers")

    assert isinstance(result.exception, ZeroDivisionError)
