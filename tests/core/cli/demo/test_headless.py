from typing import Any

import pytest

from bursar import plugins
from bursar.cli.demo.headless import judge
from bursar.cli.demo.ledger import PRODUCTS, Ledger, Sale
from bursar.cli.demo.services import AT
from bursar.cli.demo.stand import SERVICES
from bursar.cli.demo.stories import STORIES, Story


async def nothing(_: object) -> None:
    return


PAID = Story("paid", nothing, "paid")
SURPLUS = Story("too much", nothing, "paid", ("surplus",))


def sale(*statuses: str) -> Sale:
    ledger = Ledger()
    made = ledger.sell(PRODUCTS["tea"], "btcpay", at=1)
    for number, status in enumerate(statuses, 1):
        ledger.hear({"number": number, "order": {"reference": made.reference, "status": status}})
    return made


def order(status: str = "paid", number: int = 2, *reasons: str) -> dict[str, Any]:
    return {"status": status, "number": number, "reviews": [{"reason": reason} for reason in reasons]}


def test_an_order_that_ended_as_it_should_has_nothing_wrong() -> None:
    assert judge(PAID, sale("awaiting_payment", "paid"), order()) == ""
    assert judge(SURPLUS, sale("awaiting_payment", "paid"), order("paid", 2, "surplus")) == ""


def twice_shipped() -> Sale:
    made = sale("awaiting_payment", "paid")
    made.shipped = 2
    return made


def acted_twice() -> Sale:
    made = sale("awaiting_payment", "paid")
    made.told.append((2, "paid"))
    return made


@pytest.mark.parametrize(
    ("story", "made", "kept", "complaint"),
    [
        (PAID, sale("awaiting_payment", "paid"), order("processing"), "Bursar says processing"),
        (PAID, sale("awaiting_payment", "paid"), order("paid", 2, "surplus"), "open for a person: surplus"),
        (SURPLUS, sale("awaiting_payment", "paid"), order(), "open for a person: nothing"),
        (PAID, sale("awaiting_payment", "processing"), order(), "the shop says processing"),
        (PAID, sale("awaiting_payment"), order(), "the shop says awaiting_payment"),
        (PAID, sale("awaiting_payment", "paid"), order("paid", 3), "the shop is at change 2 of 3"),
        (PAID, sale("paid", "expired", "paid"), order("paid", 3), "entered paid 2 times"),
        (PAID, twice_shipped(), order(), "shipped 2 times"),
        (PAID, acted_twice(), order(), "acted on one change twice"),
    ],
)
def test_whatever_ended_otherwise_is_found(
    story: Story, made: Sale, kept: dict[str, Any], complaint: str
) -> None:
    assert complaint in judge(story, made, kept)


def test_a_shop_that_shipped_what_was_never_paid_is_found() -> None:
    expired = Story("never paid", nothing, "expired", shipped=0)

    assert judge(expired, sale("awaiting_payment", "expired"), order("expired")) == ""
    assert "shipped 1 times" in judge(expired, sale("paid", "expired"), order("expired"))


def test_every_service_is_there_to_be_played() -> None:
    assert set(AT) == set(SERVICES)
    for name in SERVICES:
        assert plugins.sandbox(name).name == name


def test_the_stories_cover_both_services_and_each_has_a_name_of_its_own() -> None:
    names = [story.name for story in STORIES]

    assert len(set(names)) == len(names)
    for service in SERVICES:
        played = [story for story in STORIES if story.only in ("", service)]
        assert {"paid", "expired"} <= {story.ends for story in played}
        assert any("refund" in story.ends for story in played)
