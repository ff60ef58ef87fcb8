"""The edge cases of CoinPay as stories; the numbers are those of the list of what an integration must handle."""

from contextlib import suppress
from decimal import Decimal
from typing import Final

from bursar.errors import ProviderError
from bursar.lifecycle import OrderStatus as S
from bursar.lifecycle import Reason as R
from bursar.testing.stage import Stage
from bursar.testing.stories import Story
from bursar.views import OrderView

__all__ = ["STORIES"]

HALF: Final = Decimal("0.5")
DAY: Final = 86_400
COIN: Final = {"blockchain": "USDC_POL"}
RATES: Final = '[rates]\nsource = "fixed"\n[rates.table]\n"EUR/USD" = "1.0835"\n'


def _begun(stage: Stage, worker: str, **order: str) -> tuple[OrderView, str]:
    opened = stage.order(**order)
    payment_id = stage.start(opened).payment_id
    assert payment_id is not None
    stage.sandbox.choose_worker(payment_id, worker)
    return opened, payment_id


def _pay(stage: Stage, payment_id: str, share: Decimal = Decimal(1)) -> None:
    stage.sandbox.pay(payment_id, share=share)
    stage.settle()
    stage.sandbox.confirm(payment_id)
    stage.settle()


def in_euro(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A", amount="49.90", currency="EUR")
    _pay(stage, payment_id)
    return order


def full_news(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    _pay(stage, payment_id)
    return order


def thin_news(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    _pay(stage, payment_id)
    return order


def no_news(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "D")
    stage.lose = lambda event: event == "payment.forwarded"
    _pay(stage, payment_id)
    stage.wait(600)
    return order


def only_forwarded(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "D")
    _pay(stage, payment_id)
    stage.now += 20
    stage.sandbox.tick()
    stage.deliver()
    return order


def replayed_create(stage: Stage) -> OrderView:
    stage.sandbox.fail_next("lost answer")
    order, payment_id = _begun(stage, "A")
    _pay(stage, payment_id)
    return order


def expired(stage: Stage) -> OrderView:
    order, _ = _begun(stage, "B")
    stage.wait(20 * 60)
    return order


def expired_unsaid(stage: Stage) -> OrderView:
    order, _ = _begun(stage, "D")
    stage.wait(30 * 60)
    return order


def too_little(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    _pay(stage, payment_id, HALF)
    stage.wait(30 * 60)
    return order


def topped_up_late(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    _pay(stage, payment_id, HALF)
    stage.wait(20 * 60)
    _pay(stage, payment_id, HALF)
    stage.wait(3 * 3600)
    return order


def late(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    stage.wait(20 * 60)
    _pay(stage, payment_id)
    stage.wait(3 * 3600)
    return order


def too_much(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    _pay(stage, payment_id, Decimal("1.5"))
    return order


def declined_then_paid(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    stage.sandbox.decline_card(payment_id)
    stage.settle()
    _pay(stage, payment_id)
    return order


def same_id(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    _pay(stage, payment_id)
    for outgoing, _ in reversed(list(stage.log)):
        stage.bursar.receive("main", outgoing.body, dict(outgoing.headers))
    return order


def again_and_again(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    stage.sandbox.fail_payout(payment_id, times=3)
    _pay(stage, payment_id)
    stage.wait(1800)
    return order


def from_the_queue(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    stage.lose = lambda _: True
    stage.sandbox.pay(payment_id)
    stage.sandbox.confirm(payment_id)
    stage.deliver()
    stage.lose = lambda _: False
    stage.wait(3 * 3600)
    return order


def tested(stage: Stage) -> OrderView:
    order, _ = _begun(stage, "A")
    stage.sandbox.send_test()
    return order


def rotated(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    stage.sandbox.rotate_secret()
    _pay(stage, payment_id)
    stage.wait(600)
    return order


def never_seen_again(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    stage.sandbox.pay(payment_id)
    stage.sandbox.double_spend(payment_id)
    stage.wait(30 * 60)
    return order


def by_hand(stage: Stage) -> OrderView:
    order = full_news(stage)
    refund = stage.bursar.refund(order.key, amount="4.00", who="merchant", reason="one item came back")
    stage.bursar.record_refund(order.key, refund.number, transaction="0xfeed", who="merchant")
    return order


def task_for_a_person(stage: Stage) -> OrderView:
    order = full_news(stage)
    stage.bursar.refund(order.key, who="merchant")
    stage.wait(DAY)
    return order


def by_card_too(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "A")
    _pay(stage, payment_id)
    stage.sandbox.pay_card(payment_id)
    stage.wait(60)
    return order


def forged(stage: Stage) -> OrderView:
    order, payment_id = _begun(stage, "B")
    body = (
        b'{"type":"payment.confirmed","data":{"payment_id":"'
        + payment_id.encode()
        + b'","status":"confirmed"}}'
    )
    for signature in ("", "t=1790000000,v1=" + "0" * 64):
        assert stage.bursar.receive("main", body, {"X-CoinPay-Signature": signature}).status == 401
    return order


def unreachable_for_a_while(stage: Stage) -> OrderView:
    stage.sandbox.fail_next("rate limit")
    order = stage.order()
    with suppress(ProviderError):
        stage.start(order)
    stage.wait(120)
    payment_id = stage.start(order).payment_id
    assert payment_id is not None
    stage.sandbox.choose_worker(payment_id, "A")
    _pay(stage, payment_id)
    return order


def paid_twice(stage: Stage) -> OrderView:
    order, first = _begun(stage, "B")
    stage.wait(20 * 60)
    second = stage.start(order).payment_id
    assert second is not None
    stage.sandbox.choose_worker(second, "A")
    _pay(stage, second)
    _pay(stage, first)
    stage.wait(3 * 3600)
    return order


def _flags(*names: str) -> frozenset[str]:
    return frozenset({"money_seen", *names})


LATE: Final = _flags("late")
STORIES: Final = (
    Story(
        "1",
        "an order in euro, through a rate source",
        in_euro,
        S.PAID,
        settings=COIN,
        more=RATES,
        note="The rate is kept",
    ),
    Story(
        "2",
        "the answer to the create is lost",
        replayed_create,
        S.PAID,
        settings=COIN,
        note="Found by its key",
    ),
    Story("5", "paid, with all the news", full_news, S.PAID, settings=COIN),
    Story("8", "paid after it expired", late, S.PROCESSING, LATE, (R.PAID_LATE,), settings=COIN),
    Story(
        "8a",
        "paid after it expired, where the policy accepts late money",
        late,
        S.PAID,
        LATE,
        settings=COIN,
        policy={"late": "accept"},
    ),
    Story(
        "9",
        "never paid, and nobody says that it expired",
        expired_unsaid,
        S.EXPIRED,
        frozenset(),
        settings=COIN,
        note="Our own timer",
    ),
    Story("9a", "never paid", expired, S.EXPIRED, frozenset(), settings=COIN),
    Story(
        "9b",
        "too little, then the window closes",
        too_little,
        S.PARTIALLY_PAID,
        _flags("underpaid"),
        (R.UNDERPAID,),
        settings=COIN,
        note="Seen by asking for the balance",
    ),
    Story(
        "9c",
        "too little, topped up after the window",
        topped_up_late,
        S.PROCESSING,
        LATE,
        (R.PAID_LATE,),
        settings=COIN,
    ),
    Story(
        "9d",
        "sent and taken back before it confirmed",
        never_seen_again,
        S.EXPIRED,
        frozenset(),
        settings=COIN,
    ),
    Story(
        "10", "no word that it was paid, only that it was forwarded", only_forwarded, S.PAID, settings=COIN
    ),
    Story("10a", "no word at all", no_news, S.PAID, settings=COIN, note="Polls make it good"),
    Story("11", "a card is declined, then the coin arrives", declined_then_paid, S.PAID, settings=COIN),
    Story("12", "thin news, without amounts", thin_news, S.PAID, settings=COIN),
    Story("7", "two kinds of event under one id, twice, the last one first", same_id, S.PAID, settings=COIN),
    Story("7a", "one event again and again, under many ids", again_and_again, S.PAID, settings=COIN),
    Story(
        "13",
        "forged news, and news without a signature",
        forged,
        S.AWAITING_PAYMENT,
        frozenset(),
        settings=COIN,
    ),
    Story("14", "a test event", tested, S.AWAITING_PAYMENT, frozenset(), settings=COIN),
    Story("15", "news that was queued for hours", from_the_queue, S.PAID, settings=COIN),
    Story(
        "16", "the service takes no more requests for a while", unreachable_for_a_while, S.PAID, settings=COIN
    ),
    Story(
        "17",
        "paid by coin and by card",
        by_card_too,
        S.PAID,
        _flags("overpaid"),
        (R.SURPLUS,),
        settings={**COIN, "card": "true"},
    ),
    Story(
        "18",
        "the secret was rotated and we were not told",
        rotated,
        S.PAID,
        settings=COIN,
        note="Refused as forged; polls make it good",
    ),
    Story("20", "too much", too_much, S.PAID, _flags("overpaid"), (R.SURPLUS,), settings=COIN),
    Story("21", "a part refunded by hand, and recorded", by_hand, S.PARTIALLY_REFUNDED, settings=COIN),
    Story(
        "21a",
        "a refund that nobody has sent yet",
        task_for_a_person,
        S.PAID,
        _flags(),
        (R.REFUND_BY_HAND,),
        settings=COIN,
        note="It waits as a task",
    ),
    Story(
        "22",
        "expired, paid at a second try, then the first is paid too",
        paid_twice,
        S.PAID,
        _flags("late", "overpaid"),
        (R.PAID_LATE,),
        settings=COIN,
    ),
)
