"""Play every story at every service, print what happens as it happens, and judge how each order ended."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from bursar.cli.demo.ledger import Sale
from bursar.cli.demo.play import Play, Stuck
from bursar.cli.demo.stand import SERVICES, Stand
from bursar.cli.demo.stories import STORIES, Story
from bursar.cli.demo.till import Said
from bursar.cli.printing import console, heading, plain, table
from bursar.errors import BursarError

__all__ = ["Ended", "judge", "play_all"]

_INDENT: Final = "    "


@attrs.frozen
class Ended:
    """Hold how one story ended: what was expected, what Bursar says, what the shop says, and what is wrong with it."""

    story: str
    service: str
    expected: str
    reached: str
    shop: str
    wrong: str = ""


def judge(story: Story, sale: Sale, order: Mapping[str, Any]) -> str:
    """Return what is wrong with the ending, empty where nothing is. Bursar and the shop must say the same, exactly once."""
    reasons = sorted(review["reason"] for review in order["reviews"])
    complaints = [
        complaint
        for complaint, holds in (
            (f"Bursar says {order['status']}", order["status"] != story.ends),
            (f"open for a person: {', '.join(reasons) or 'nothing'}", reasons != sorted(story.reasons)),
            (f"the shop says {sale.status}", sale.status != story.ends),
            (f"the shop is at change {sale.number} of {order['number']}", sale.number != order["number"]),
            (f"entered {story.ends} {sale.entered[story.ends]} times", sale.entered[story.ends] != 1),
            (f"shipped {sale.shipped} times", sale.shipped != story.shipped),
            ("acted on one change twice", len({number for number, _ in sale.told}) != len(sale.told)),
        )
        if holds
    ]
    return "; ".join(complaints)


async def play_all(stand: Stand) -> bool:
    """Play everything; return whether every order, and the shop's own record of it, ended as it should."""
    to, began = console(), time.monotonic()
    ended: list[Ended] = []
    for service in SERVICES:
        for story in STORIES:
            if story.only in ("", service):
                to.print(heading(f"{stand.sandboxes[service].title}: {story.name}"))
                ended.append(await _play(stand, story, service, lambda line: to.print(_INDENT + plain(line))))
                if ended[-1].wrong:
                    to.print(f"{_INDENT}WRONG: {plain(ended[-1].wrong)}")
    to.print()
    rows = [(e.service, e.story, e.expected, e.reached, e.shop, e.wrong or "as it should") for e in ended]
    to.print(table(("service", "story", "expected", "Bursar", "the shop, told so often", ""), rows))
    to.print(f"\n{_sum_up(stand, ended, time.monotonic() - began)}")
    return not any(one.wrong for one in ended)


async def _play(stand: Stand, story: Story, service: str, tell: Callable[[str], None]) -> Ended:
    play = Play(stand, service, tell)
    expected = " + ".join((story.ends, *story.reasons))
    wrong, order = "", dict[str, Any]()
    try:
        await story.play(play)
        order = await play.look()
        wrong = judge(story, play.sale, order)
    except (Stuck, Said, BursarError) as error:
        wrong = str(error)
    finally:
        play.road.mend()
        stand.shop.closed = False
    reviews = [review["reason"] for review in order.get("reviews", ())]
    sale = getattr(play, "sale", None)
    return Ended(
        story.name,
        service,
        expected,
        " + ".join((str(order.get("status", "?")), *reviews)),
        _books(sale),
        wrong,
    )


def _books(sale: Sale | None) -> str:
    if sale is None:
        return "nothing"
    statuses = ", ".join(f"{status} ×{count}" for status, count in sale.entered.items())
    return f"{statuses}; shipped {sale.shipped}"


def _sum_up(stand: Stand, ended: list[Ended], seconds: float) -> str:
    roads, sales = stand.roads.values(), stand.shop.ledger.sales.values()
    good = sum(not one.wrong for one in ended)
    return (
        f"{good} of {len(ended)} stories at {len(stand.roads)} services ended as they should; "
        f"{sum(road.carried for road in roads)} webhooks carried, {sum(road.doubled for road in roads)} more copies, "
        f"{sum(road.lost for road in roads)} lost; {sum(len(sale.told) for sale in sales)} messages to the shop, "
        f"{sum(sale.repeats for sale in sales)} repeated, {sum(sale.shipped for sale in sales)} orders shipped; "
        f"{stand.clock.ahead / 3600:.1f} h played in {seconds:.1f} s"
    )
