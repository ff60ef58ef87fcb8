import importlib.util
import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from bursar.lifecycle import OrderStatus
from bursar.refunds import RefundStatus
from bursar.reviews import Reason
from bursar.standing import PaymentStatus

ROOT = Path(__file__).parents[1]
LIFECYCLE = (ROOT / "docs" / "lifecycle.md").read_text(encoding="utf-8")


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "tests" / "generate_docs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagram_is_drawn_from_the_table_of_transitions() -> None:
    assert generator().drawn() in LIFECYCLE


def test_the_reasons_for_a_person_are_listed_with_what_can_be_done() -> None:
    assert generator().reviews() in LIFECYCLE


@pytest.mark.parametrize("words", [OrderStatus, PaymentStatus, RefundStatus, Reason])
def test_every_word_for_where_something_stands_is_explained(words: type[Enum]) -> None:
    for word in words:
        assert f"`{word.value}`" in LIFECYCLE


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_between_the_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_every_page_is_reached_from_the_readme_or_from_a_page_that_is() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links]

    assert set((ROOT / "docs").rglob("*.md")) <= reached
