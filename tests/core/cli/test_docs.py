import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bursar.cli.app import app
from bursar.cli.demo.stories import STORIES
from bursar.cli.failing import ExitCode

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")
# These are explained once for all commands.
SHARED = {"--help", "--config", "--json", "--who", "--why", "--shop", "--browser"}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield path, command
    for name, one in (inner or {}).items():
        yield from commands(one, (*path, name))


ALL = [(path, command) for path, command in commands(get_command(app)) if path]


def section(path: tuple[str, ...]) -> str:
    """Return what the page says of one command: its heading and the text below."""
    name = "bursar " + " ".join(part for part in path if part != "send")
    parts = re.split(r"^### ", PAGE, flags=re.MULTILINE)
    found = [part for part in parts if re.search(rf"`{name}( [A-Z\[-][^`]*)?`", part.partition("\n")[0])]
    assert len(found) == 1, f"{name} has {len(found)} sections"
    return found[0]


@pytest.mark.parametrize(
    ("path", "command"), ALL, ids=lambda value: "-".join(value) if value and isinstance(value, tuple) else ""
)
def test_every_command_is_documented_with_its_arguments_and_options(
    path: tuple[str, ...], command: Any
) -> None:
    text = section(path)

    for parameter in command.params:
        if parameter.param_type_name == "argument":
            assert str(parameter.metavar).strip("[]") in text
            continue
        for option in parameter.opts:
            if option not in SHARED and option.startswith("--"):
                assert re.search(rf"(?<![a-z-]){option}(?![a-z-])", text), option


def test_every_command_that_the_page_names_exists() -> None:
    known = {"bursar " + " ".join(path) for path, _ in ALL} | {"bursar refund", "bursar"}
    known |= {"bursar " + " ".join(path[:1]) for path, _ in ALL}

    for named in re.findall(r"`(bursar(?: [a-z]+)*)", PAGE):
        assert named in known, named


def test_every_shared_option_is_explained() -> None:
    for option in SHARED - {"--browser"}:
        assert f"`{option}" in PAGE or f"{option}`" in PAGE, option


def test_every_exit_code_is_in_the_table() -> None:
    rows = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)]

    assert rows == sorted(rows)
    assert set(rows) == set(ExitCode)


def test_every_story_is_in_the_demos_table() -> None:
    page = (DOCS / "demo.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", page, flags=re.MULTILINE))

    del rows["story"], rows["---"]
    assert set(rows) == {story.name for story in STORIES}
    for story in STORIES:
        assert story.ends.replace("_", " ") in rows[story.name]
