"""Stories of orders that go wrong, played against a sandbox: what was done, and where the order must end.

A provider's package lists its own in `bursar_NAME.stories.STORIES`; `bursar_NAME` is free to leave them out. The table in
`docs/edge-cases.md` is written from their playing (`python -m bursar.testing.stories`), and a test holds it there.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs

from bursar.lifecycle import OrderStatus, Reason
from bursar.testing.stage import Stage
from bursar.views import OrderView

__all__ = ["Ending", "Story", "play", "stories_of", "table"]


@attrs.frozen
class Story:
    """Hold one edge case.

    *number* is the case's own, *case* what happens, in words; *play* does it on a stage and returns the order. It must end as
    *status*, with *flags* and with exactly *reasons* open for a person. *policy*, *settings* and *more* configure the account;
    *sandbox* prepares the sandbox; *recorded* names recordings of the real server in which the same was seen.
    """

    number: str
    case: str
    play: Callable[[Stage], OrderView] = attrs.field(repr=False)
    status: OrderStatus
    flags: frozenset[str] = frozenset({"money_seen"})
    reasons: tuple[Reason, ...] = ()
    policy: Mapping[str, str] = attrs.field(factory=lambda: dict[str, str]())
    settings: Mapping[str, str] = attrs.field(factory=lambda: dict[str, str]())
    more: str = ""
    recorded: tuple[str, ...] = ()
    note: str = ""


@attrs.frozen
class Ending:
    """Hold where a story ended, in words that can be compared and printed."""

    status: OrderStatus
    flags: frozenset[str]
    reasons: tuple[Reason, ...]
    received: str
    refunded: str

    @classmethod
    def of(cls, order: OrderView) -> "Ending":
        """Read the ending off *order*."""
        reasons = tuple(sorted((review.reason for review in order.reviews), key=lambda reason: reason.value))
        return cls(order.status, frozenset(order.flags), reasons, str(order.received), str(order.refunded))


def play(provider: str, story: Story, folder: Path) -> Ending:
    """Play *story* at *provider*'s sandbox, with its database in *folder*."""
    with Stage(provider, folder, policy=story.policy, settings=story.settings, more=story.more) as stage:
        order = story.play(stage)
        stage.settle()
        ending = stage.look(order)
        if ending.received - ending.credited - ending.surplus + ending.shortfall:
            raise AssertionError(f"story {story.number}: the money does not add up: {ending}")
        return Ending.of(ending)


def stories_of(provider: str) -> tuple[Story, ...]:
    """Return the stories that the plugin *provider* brings."""
    module: Any = import_module(f"bursar_{provider}.stories")
    return tuple(module.STORIES)


_HEAD: Final = "| case | what happens | status | flags | for a person | received | refunded | recorded as |\n|---|---|---|---|---|---|---|---|\n"


def table(provider: str, stories: Iterable[Story]) -> str:
    """Play *stories* and write their table in Markdown."""
    rows: list[str] = []
    for story in stories:
        with tempfile.TemporaryDirectory(prefix="bursar-story-") as folder:
            ending = play(provider, story, Path(folder))
        flags = ", ".join(sorted(ending.flags - {"money_seen"})) or "–"
        reasons = ", ".join(dict.fromkeys(reason.value for reason in ending.reasons)) or "–"
        recorded = ", ".join(f"`{name}`" for name in story.recorded) or "–"
        case = f"{story.case}. {story.note}" if story.note else story.case
        rows.append(
            f"| {story.number} | {case} | {ending.status.value} | {flags} | {reasons} | {ending.received} | "
            f"{ending.refunded} | {recorded} |"
        )
    return _HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Print the tables of all providers that bring stories."""
    for provider in sys.argv[1:] or ("btcpay", "coinpay"):
        print(f"## {provider}\n\n{table(provider, stories_of(provider))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
