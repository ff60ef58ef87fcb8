"""The stories that the demo plays by itself, each at every service, over real HTTP."""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from bursar.cli.carrying import post
from bursar.cli.demo.play import Play, Stuck

__all__ = ["STORIES", "Story"]


@attrs.frozen
class Story:
    """One story: *play* it, and the order must end as *ends* says, with *reasons* open for a person, shipped so often."""

    name: str
    play: Callable[[Play], Awaitable[None]]
    ends: str
    reasons: tuple[str, ...] = ()
    shipped: int = 1
    only: str = ""


async def paid(play: Play) -> None:
    await play.buy()
    play.pay()
    await play.seen()
    play.confirm()
    await play.reaches("paid")


async def delivered_three_times(play: Play) -> None:
    play.road.copies = 3
    await paid(play)


async def delivered_backwards(play: Play) -> None:
    play.road.holds = True
    await play.buy()
    play.pay()
    play.confirm()
    last = play.service.last_event
    await play.until(lambda: any(o.event == last for o in play.road.held), f"{last} on the road")
    count = await play.road.release()
    play.tell(f"road: {count} webhooks arrive, the last first")
    await play.reaches("paid")


async def lost_on_the_way(play: Play) -> None:
    await play.buy()
    lost = play.road.lost
    play.road.loses = True
    play.pay()
    play.confirm()
    last = play.service.last_event
    await play.until(lambda: play.road.last_lost == last, f"{last} to be lost")
    play.tell(f"road: {play.road.lost - lost} webhooks are lost")
    play.road.mend()
    play.minutes_pass(2)
    await play.reaches("paid")


async def never_paid(play: Play) -> None:
    await play.buy()
    play.minutes_pass(20)
    await play.reaches("expired")


async def in_two_parts(play: Play) -> None:
    await play.buy()
    play.pay("0.4")
    play.confirm()
    if not play.service.sees_unconfirmed:
        # It says nothing of a part; the server sees it when it asks.
        play.minutes_pass(1)
    await play.reaches("partially_paid")
    play.pay_rest()
    play.confirm()
    await play.reaches("paid")


async def too_much(play: Play) -> None:
    await play.buy()
    play.pay("1.5")
    play.confirm()
    play.minutes_pass(1)
    await play.reaches("paid", "surplus")


async def late_and_accepted(play: Play) -> None:
    await play.buy()
    play.minutes_pass(20)
    await play.reaches("expired")
    play.pay()
    play.confirm()
    # CoinPay looks for late money from half an hour after the window on; the server asks every hour.
    play.minutes_pass(70)
    await play.reaches("processing", "paid_late")
    await play.merchant("accept")
    await play.reaches("paid")


async def double_spent(play: Play) -> None:
    await play.buy()
    play.pay()
    await play.seen()
    play.double_spend()
    play.minutes_pass(20)
    await play.reaches("expired")


async def refunded_by_claim(play: Play) -> None:
    await paid(play)
    await play.merchant("refund", amount="5.00")
    refund_id = (await play.refund_is("waiting_for_buyer"))["refund_id"]
    await play.press("/panel", {"action": "claim", "id": refund_id})
    play.tell("buyer: claims the refund")
    await play.refund_is("waiting_for_approval")
    payout = list(play.sandbox.server.refunds.payouts)[-1]
    for action in ("approve", "send", "mine"):
        await play.press("/panel", {"action": action, "id": payout})
        play.tell(f"merchant, at the service: {action}")
    play.minutes_pass(2)
    await play.reaches("partially_refunded")


async def refunded_by_hand(play: Play) -> None:
    await paid(play)
    await play.merchant("refund")
    await play.refund_is("waiting_for_person")
    await play.merchant("record", number="1", transaction="0xdemo")
    await play.reaches("refunded")


async def in_euros(play: Play) -> None:
    await play.buy("boat")
    payment = (await play.look())["payments"][0]
    billed, rate = payment["billed"], payment["rate"]
    if (billed["currency"] == "EUR") is bool(rate):
        raise Stuck(f"billed in {billed['currency']} with rate {rate}")
    kept = f", at the kept rate {rate['value'][:10]} ({rate['source']})" if rate else ""
    play.tell(f"billed: {billed['amount']} {billed['currency']}{kept}")
    play.pay()
    play.confirm()
    await play.reaches("paid")


async def forged(play: Play) -> None:
    await play.buy()
    play.minutes_pass(20)
    await play.reaches("expired")
    genuine = play.road.last
    if genuine is None:
        raise Stuck("no webhook was ever carried that could be forged")
    forgery = attrs.evolve(genuine, body=genuine.body.replace(b"xpired", b"ettled") + b" ")
    status = await post(play.stand.client, forgery)
    play.tell(f"stranger: posts a forged webhook, answered {status}")
    if status != 401:
        raise Stuck(f"a forgery was answered {status}")
    await play.reaches("expired")


async def shop_was_down(play: Play) -> None:
    play.stand.shop.closed = True
    play.tell("shop: is down")
    await play.buy()
    play.pay()
    play.confirm()
    while (await play.look())["status"] != "paid":
        await play.until(lambda: True, "paid")
    play.stand.shop.closed = False
    play.minutes_pass(2)
    await play.reaches("paid")
    if play.sale.entered["awaiting_payment"]:
        raise Stuck("the shop was told of what was over already")


STORIES: Final = (
    Story("paid", paid, "paid"),
    Story("every webhook three times", delivered_three_times, "paid"),
    Story("all webhooks backwards", delivered_backwards, "paid"),
    Story("webhooks lost, the server asks", lost_on_the_way, "paid"),
    Story("never paid", never_paid, "expired", shipped=0),
    Story("a part, then the rest", in_two_parts, "paid"),
    Story("too much", too_much, "paid", ("surplus",)),
    Story("late, then accepted", late_and_accepted, "paid"),
    Story("double-spent", double_spent, "expired", shipped=0),
    Story("refund claimed by the buyer", refunded_by_claim, "partially_refunded", only="btcpay"),
    Story("refund sent by hand", refunded_by_hand, "refunded", only="coinpay"),
    Story("an order in euros", in_euros, "paid"),
    Story("a forged webhook", forged, "expired", shipped=0),
    Story("the shop was down", shop_was_down, "paid"),
)
