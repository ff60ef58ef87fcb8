"""The edge cases of BTCPay Server as stories; the numbers are those of the service's known cases.

Lightning is played as a payment that needs no confirmation: the server sends the same events in the same order.
"""

import json
from decimal import Decimal
from typing import Any, Final

import httpx

from bursar.lifecycle import OrderStatus as S
from bursar.lifecycle import Reason as R
from bursar.signatures import sign
from bursar.testing.stage import Stage
from bursar.testing.stories import Story
from bursar.views import OrderView, PaymentView

__all__ = ["STORIES"]

HALF: Final = Decimal("0.5")
FAST: Final = {"speed_policy": "HighSpeed"}
DAY: Final = 86_400


def _begun(stage: Stage) -> tuple[OrderView, PaymentView, str]:
    order = stage.order()
    payment = stage.start(order)
    stage.settle()
    assert payment.payment_id is not None
    return order, payment, payment.payment_id


def _pay(stage: Stage, invoice: str, share: Decimal = Decimal(1), *, confirm: bool = True) -> None:
    stage.sandbox.pay(invoice, share=share)
    stage.settle()
    if confirm:
        stage.wait(60)
        stage.sandbox.confirm(invoice)
        stage.settle()


def _expire(stage: Stage) -> None:
    stage.wait(16 * 60)


def exact(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice)
    return order


def two_in_time(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, Decimal("0.4"), confirm=False)
    stage.sandbox.pay_rest(invoice)
    stage.settle()
    stage.sandbox.confirm(invoice)
    return order


def first_confirms_early(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, Decimal("0.4"))
    stage.sandbox.pay_rest(invoice)
    stage.settle()
    stage.wait(60)
    stage.sandbox.confirm(invoice)
    return order


def never_paid(stage: Stage) -> OrderView:
    order, _, _ = _begun(stage)
    _expire(stage)
    return order


def underpaid(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, Decimal("0.4"))
    _expire(stage)
    return order


def late(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _expire(stage)
    _pay(stage, invoice)
    stage.wait(120)
    return order


def rest_late(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, HALF, confirm=False)
    _expire(stage)
    stage.sandbox.pay_rest(invoice)
    stage.settle()
    stage.sandbox.confirm(invoice)
    stage.wait(120)
    return order


def part_late(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _expire(stage)
    _pay(stage, invoice, HALF)
    stage.wait(120)
    return order


def last_second(stage: Stage) -> OrderView:
    order, payment, invoice = _begun(stage)
    assert payment.expires_at is not None
    # Paid in time while the server was down: it notices after the window.
    stage.now = payment.expires_at - 1
    stage.sandbox.stop()
    stage.sandbox.pay(invoice)
    stage.now = payment.expires_at + 30
    stage.sandbox.start()
    stage.settle()
    stage.sandbox.confirm(invoice)
    stage.wait(120)
    return order


def over(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, Decimal("1.5"))
    stage.wait(120)
    return order


def over_by_second(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, confirm=False)
    _pay(stage, invoice, HALF)
    stage.wait(120)
    return order


def extra_after(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice)
    stage.wait(300)
    _pay(stage, invoice, HALF)
    stage.wait(300)
    return order


def over_late(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _expire(stage)
    _pay(stage, invoice, Decimal("1.5"))
    stage.wait(120)
    return order


def short_within(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, Decimal("0.96"))
    stage.wait(120)
    return order


def never_confirmed(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, confirm=False)
    stage.wait(DAY + 20 * 60)
    return order


def never_confirmed_then_is(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, confirm=False)
    stage.wait(DAY + 20 * 60)
    stage.sandbox.confirm(invoice)
    stage.wait(120)
    return order


def replaced(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    stage.sandbox.pay(invoice, replaceable=True)
    stage.settle()
    stage.sandbox.replace(invoice)
    stage.settle()
    stage.sandbox.confirm(invoice)
    stage.wait(120)
    return order


def double_spent(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, confirm=False)
    stage.sandbox.double_spend(invoice)
    stage.wait(20 * 60)
    return order


def marked_new(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    stage.sandbox.mark(invoice, "Settled")
    return order


def marked_expired(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, Decimal("0.4"))
    _expire(stage)
    stage.sandbox.mark(invoice, "Settled")
    return order


def marked_invalid(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice, confirm=False)
    stage.sandbox.mark(invoice, "Invalid")
    stage.settle()
    stage.sandbox.confirm(invoice)
    stage.wait(120)
    return order


def marked_twice(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    stage.sandbox.mark(invoice, "Settled")
    stage.wait(10)
    stage.sandbox.mark(invoice, "Invalid")
    stage.wait(10)
    return order


def marked_back(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    for word in ("Settled", "Invalid", "Settled"):
        stage.sandbox.mark(invoice, word)
    stage.wait(10)
    return order


def early_webhook(stage: Stage) -> OrderView:
    order = stage.order()
    opened = stage.bursar.desk.account().provider
    stage.lose = lambda event: event == "InvoiceCreated"
    payment = stage.start(order)
    assert opened
    assert payment.payment_id
    stage.lose = lambda _: False
    _pay(stage, payment.payment_id)
    return order


def every_delivery_twice(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice)
    for outgoing, _ in list(stage.log):
        stage.bursar.receive("main", outgoing.body, dict(outgoing.headers))
    return order


def two_webhooks(stage: Stage) -> OrderView:
    stage.sandbox.account(webhook_url="http://127.0.0.1:9/webhooks/main")
    order, _, invoice = _begun(stage)
    _pay(stage, invoice)
    return order


def stale(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _expire(stage)
    expired = [outgoing for outgoing, _ in stage.log if outgoing.event == "InvoiceExpired"]
    stage.sandbox.mark(invoice, "Settled")
    stage.settle()
    for outgoing in expired:
        stage.bursar.receive("main", outgoing.body, dict(outgoing.headers))
    return order


def endpoint_down(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    stage.lose = lambda _: True
    _pay(stage, invoice)
    stage.wait(4 * 3600)
    return order


def restarted(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    stage.lose = lambda _: True
    _pay(stage, invoice)
    stage.sandbox.restart()
    stage.lose = lambda _: False
    stage.wait(1800)
    return order


def months_later(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _expire(stage)
    stage.now += 90 * DAY
    _pay(stage, invoice)
    stage.wait(120)
    return order


def refunded(stage: Stage) -> OrderView:
    order = exact(stage)
    refund = stage.bursar.refund(order.key, who="merchant")
    payout = stage.sandbox.claim_refund(refund.kept.refund_id)
    stage.settle()
    stage.sandbox.approve_payout(payout)
    stage.sandbox.pay_payout(payout)
    stage.settle()
    stage.sandbox.mine()
    stage.wait(10)
    return order


def claim_cancelled(stage: Stage) -> OrderView:
    order = exact(stage)
    refund = stage.bursar.refund(order.key, amount="4.00", who="merchant")
    stage.sandbox.cancel_payout(stage.sandbox.claim_refund(refund.kept.refund_id))
    stage.settle()
    payout = stage.sandbox.claim_refund(refund.kept.refund_id)
    stage.sandbox.approve_payout(payout)
    stage.sandbox.mark_payout_paid(payout)
    stage.wait(10)
    return order


def retried(stage: Stage) -> OrderView:
    order, _, first = _begun(stage)
    _expire(stage)
    again = stage.start(order)
    assert again.payment_id is not None
    _pay(stage, again.payment_id)
    _pay(stage, first)
    stage.wait(120)
    return order


def reorganized(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    _pay(stage, invoice)
    stage.sandbox.reorganize(invoice)
    stage.wait(3600)
    return order


def after_cancel(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    stage.bursar.cancel(order.key, who="merchant")
    stage.settle()
    _pay(stage, invoice)
    stage.wait(120)
    return order


def accepted_late(stage: Stage) -> OrderView:
    order = late(stage)
    stage.bursar.accept(order.key, who="merchant", why="the goods are still there")
    return order


def _made_there(stage: Stage, amount: str | None) -> tuple[OrderView, str]:
    """Make an invoice in the server's own dashboard, and follow it as a payment of an order."""
    provider: Any = stage.bursar.desk.account().provider
    asked: httpx.Request = provider.client.store(
        "POST", "invoices", body={"amount": amount, "currency": "USD"}
    )
    invoice = str(stage.transport.handle_request(asked).json()["id"])
    order = stage.order()
    return stage.bursar.adopt(order.key, account="main", payment_id=invoice), invoice


def nothing_to_pay(stage: Stage) -> OrderView:
    order, _ = _made_there(stage, "0")
    stage.wait(120)
    return order


def top_up(stage: Stage) -> OrderView:
    order, invoice = _made_there(stage, None)
    stage.sandbox.send(invoice, Decimal("0.0002"))
    stage.settle()
    stage.sandbox.confirm(invoice)
    stage.wait(120)
    return order


def unknown_events(stage: Stage) -> OrderView:
    order, _, invoice = _begun(stage)
    provider = stage.bursar.desk.account().provider
    for kind in ("SubscriberCredited", "SomethingNew", "InvoiceSettled"):
        test = kind == "InvoiceSettled"
        event = {
            "type": kind,
            "invoiceId": "__test__1__test__" if test else invoice,
            "timestamp": int(stage.now),
        }
        body = json.dumps(event | {"storeId": stage.sandbox.store_id, "deliveryId": kind}).encode()
        answer = stage.bursar.receive("main", body, sign(provider.scheme, body, provider.secrets()[0]))
        assert answer.status == 200
    return order


def deleted(stage: Stage) -> OrderView:
    order, _, _ = _begun(stage)
    _expire(stage)
    stage.now += 200 * DAY
    stage.bursar.sync(order.key)
    return order


def one_for_two(stage: Stage) -> OrderView:
    first, _, one = _begun(stage)
    other = stage.order(reference="1002")
    two = stage.start(other).payment_id
    stage.sandbox.pay_both(one, two)
    stage.settle()
    stage.sandbox.confirm(one)
    stage.sandbox.confirm(two)
    stage.settle()
    assert stage.look(other).status is S.PAID
    assert str(stage.look(other).received) == "10.00 USD"
    return first


def _flags(*names: str) -> frozenset[str]:
    return frozenset({"money_seen", *names})


STORIES: Final = (
    Story("1", "paid exactly, on the chain", exact, S.PAID, recorded=("paid_1conf",)),
    Story(
        "2",
        "paid with no confirmation needed (the events of Lightning)",
        exact,
        S.PAID,
        settings=FAST,
        recorded=("paid_0conf",),
    ),
    Story("3", "two payments in time", two_in_time, S.PAID, recorded=("two_payments",)),
    Story("4", "the first of two payments confirms before the second arrives", first_confirms_early, S.PAID),
    Story("5", "never paid", never_paid, S.EXPIRED, frozenset(), recorded=("expired_unpaid",)),
    Story(
        "6",
        "too little, then the window closes",
        underpaid,
        S.PARTIALLY_PAID,
        _flags("underpaid"),
        (R.UNDERPAID,),
        recorded=("partial_expired",),
    ),
    Story(
        "7", "in full, but late", late, S.PROCESSING, _flags("late"), (R.PAID_LATE,), recorded=("late_full",)
    ),
    Story(
        "7a",
        "in full, but late, where the policy accepts late money",
        late,
        S.PAID,
        _flags("late"),
        policy={"late": "accept"},
    ),
    Story(
        "7b",
        "in full, but late, where the policy sends late money back",
        late,
        S.PROCESSING,
        _flags("late"),
        policy={"late": "refund"},
        note="The refund waits for its claim",
    ),
    Story("7c", "in full, but late, then accepted by a person", accepted_late, S.PAID, _flags("late")),
    Story("8", "a part in time, the rest late", rest_late, S.PROCESSING, _flags("late"), (R.PAID_LATE,)),
    Story(
        "9",
        "a part, late",
        part_late,
        S.PARTIALLY_PAID,
        _flags("late", "underpaid"),
        (R.UNDERPAID,),
        recorded=("late_partial",),
    ),
    Story(
        "10",
        "paid in the last second, noticed after the window",
        last_second,
        S.PAID,
        _flags(),
        note="The money's own time decides",
    ),
    Story(
        "11",
        "too much, in one payment",
        over,
        S.PAID,
        _flags("overpaid"),
        (R.SURPLUS,),
        recorded=("overpaid",),
    ),
    Story(
        "11a",
        "too much, where the policy keeps a surplus as credit",
        over,
        S.PAID,
        _flags("overpaid"),
        policy={"surplus": "credit"},
    ),
    Story(
        "11b",
        "too much, where the policy sends a surplus back",
        over,
        S.PAID,
        _flags("overpaid"),
        policy={"surplus": "refund"},
        note="The refund waits for its claim",
    ),
    Story("12", "too much, by a second payment", over_by_second, S.PAID, _flags("overpaid"), (R.SURPLUS,)),
    Story(
        "13", "another payment after it was settled", extra_after, S.PAID, _flags("overpaid"), (R.SURPLUS,)
    ),
    Story("14", "too much, and late", over_late, S.PROCESSING, _flags("late", "overpaid"), (R.PAID_LATE,)),
    Story(
        "15",
        "a little short, within the tolerance",
        short_within,
        S.PAID,
        settings={"tolerance": "5"},
        recorded=("within_tolerance",),
    ),
    Story(
        "16",
        "not confirmed until monitoring ended",
        never_confirmed,
        S.FAILED,
        _flags(),
        (R.MONEY_ON_FAILED,),
        recorded=("unconfirmed_invalid",),
    ),
    Story(
        "16a",
        "the same, and confirmed afterwards",
        never_confirmed_then_is,
        S.FAILED,
        _flags(),
        (R.MONEY_ON_FAILED,),
    ),
    Story(
        "17",
        "replaced by a transaction with a higher fee",
        replaced,
        S.PAID,
        recorded=("replaced_same_output",),
    ),
    Story("18", "double-spent", double_spent, S.EXPIRED, frozenset()),
    Story(
        "19",
        "marked settled while new",
        marked_new,
        S.PAID,
        frozenset({"by_hand"}),
        recorded=("marked_by_hand",),
    ),
    Story(
        "19a",
        "the same, where a mark by hand is reviewed",
        marked_new,
        S.PROCESSING,
        frozenset({"by_hand"}),
        (R.MARKED_BY_HAND,),
        policy={"accept_marked_by_hand": "false"},
    ),
    Story(
        "20",
        "marked settled after it expired on too little",
        marked_expired,
        S.PAID,
        _flags("by_hand"),
        recorded=("partial_expired",),
    ),
    Story(
        "21",
        "marked invalid while unconfirmed, then confirmed",
        marked_invalid,
        S.FAILED,
        _flags("by_hand"),
        (R.MONEY_ON_FAILED,),
        recorded=("marked_by_hand",),
    ),
    Story(
        "22",
        "marked settled, then invalid",
        marked_twice,
        S.FAILED,
        frozenset({"by_hand", "reversed"}),
        (R.REVERSED,),
        recorded=("marked_by_hand",),
    ),
    Story(
        "22a",
        "marked settled, invalid, and settled again, in one second",
        marked_back,
        S.PAID,
        frozenset({"by_hand"}),
        note="A tie asks the server again",
        recorded=("marked_by_hand",),
    ),
    Story(
        "23",
        "an invoice of nothing, made there, is followed",
        nothing_to_pay,
        S.PROCESSING,
        _flags(),
        (R.MISMATCH,),
    ),
    Story(
        "24",
        "an invoice that its payment gives an amount, made there, is followed",
        top_up,
        S.PAID,
        recorded=("top_up",),
    ),
    Story("25", "the first event is lost on its way", early_webhook, S.PAID),
    Story("26", "every delivery twice", every_delivery_twice, S.PAID, recorded=("webhook_redelivery",)),
    Story("27", "two webhooks for one address", two_webhooks, S.PAID),
    Story(
        "28", "an old expiry comes again after it was settled", stale, S.PAID, frozenset({"by_hand", "late"})
    ),
    Story("29", "our endpoint is down for hours", endpoint_down, S.PAID, note="Polls make it good"),
    Story(
        "30",
        "the server restarts and forgets what it had to tell",
        restarted,
        S.PAID,
        note="Polls make it good",
    ),
    Story("31", "paid months later", months_later, S.PROCESSING, _flags("late"), (R.PAID_LATE,)),
    Story("32", "refunded in full, claimed, approved, paid", refunded, S.REFUNDED, recorded=("refund_full",)),
    Story(
        "33",
        "a refund's claim is cancelled and claimed again",
        claim_cancelled,
        S.PARTIALLY_REFUNDED,
        recorded=("refund_fiat_cancelled",),
    ),
    Story(
        "34",
        "unknown kinds of event, and a test event",
        unknown_events,
        S.AWAITING_PAYMENT,
        frozenset(),
        note="Kept, answered, without effect",
    ),
    Story(
        "35",
        "expired, paid at a second try, then the first is paid too",
        retried,
        S.PAID,
        _flags("late", "overpaid"),
        (R.PAID_LATE,),
    ),
    Story(
        "35a",
        "paid after the merchant cancelled",
        after_cancel,
        S.CANCELLED,
        _flags("by_hand"),
        (R.PAID_AFTER_CANCEL,),
    ),
    Story("36", "the server deleted the invoice after six months", deleted, S.EXPIRED, frozenset()),
    Story(
        "37",
        "the block is reorganized away after it was settled",
        reorganized,
        S.PAID,
        note="Nobody can see it",
        recorded=("reorganized",),
    ),
    Story("38", "one transaction pays two invoices", one_for_two, S.PAID),
)
