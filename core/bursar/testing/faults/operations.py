"""The operations that have an effect in the world: how each is begun, gone on with by whoever asked, ended, and judged."""

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from bursar.errors import BursarError
from bursar.lifecycle import OrderStatus, Reason
from bursar.orders import Payment
from bursar.refunds import RefundStatus, Sending
from bursar.testing.faults.scene import Scene
from bursar.views import OrderView

__all__ = ["OPERATIONS", "Operation", "broken_promises"]

_HOUR: Final = 3_600
_TRIES: Final = 8


@attrs.frozen
class Operation:
    """Describe one operation at one provider.

    *prepare* leads up to it; *act* is the call that is broken; *go_on* is what whoever asked does afterwards, again and
    again until it is done; *finish* leads the order to its *status*; *effects* counts what was made at the provider, which is
    one, or none where *may_fail* says that its refusal is known and shown. One that *hears* is about webhooks themselves.
    """

    name: str
    provider: str
    prepare: Callable[[Scene], None]
    act: Callable[[Scene], object]
    go_on: Callable[[Scene], None]
    finish: Callable[[Scene], None]
    status: OrderStatus
    effects: Callable[[Scene], int]
    may_fail: Callable[[OrderView], bool] = lambda _: False
    hears: bool = False

    @property
    def title(self) -> str:
        return f"{self.name}, {self.provider}"


def _opened(scene: Scene) -> None:
    scene.bursar.open_order(reference="1001", amount="20.00", currency="USD")


def _started(scene: Scene) -> None:
    _opened(scene)
    scene.bursar.start_payment(scene.order().key)
    scene.settle()


def _paid(scene: Scene) -> None:
    _started(scene)
    scene.pay()
    scene.wait(300)


def _paid_unheard(scene: Scene) -> None:
    _started(scene)
    scene.lose_webhooks = True
    scene.pay()
    scene.deliver()
    scene.now += 61


def _paid_unanswered(scene: Scene) -> None:
    _started(scene)
    scene.pay()
    scene.now += 61


def _deliver(scene: Scene) -> None:
    scene.deliver()


def _start(scene: Scene) -> object:
    return scene.tries(lambda b: b.start_payment(b.find("1001").key))


def _refund(scene: Scene) -> object:
    """Ask for a refund under one operation; once one has failed for good, a person asks for another."""
    refused = sum(1 for refund in scene.order().refunds if refund.status is RefundStatus.FAILED)
    operation = f"return-{1 + refused}"
    return scene.tries(lambda b: b.refund(b.find("1001").key, who="clerk", operation=operation))


def _cancel(scene: Scene) -> object:
    answer = scene.tries(lambda b: b.cancel(b.find("1001").key, who="clerk"))
    scene.tries(lambda b: b.run_due())
    return answer


def _visit(scene: Scene) -> object:
    return scene.tries(lambda b: b.run_due())


def _until_done(act: Callable[[Scene], object]) -> Callable[[Scene], None]:
    """Ask again, as an impatient caller does, at once and then minutes apart, until it is answered well."""

    def go_on(scene: Scene) -> None:
        for turn in range(_TRIES):
            answer = act(scene)
            if answer is not None and not isinstance(answer, BursarError):
                return
            scene.wait(0 if turn == 0 else 180)

    return go_on


def _asked_back(scene: Scene) -> None:
    """Ask again until a refund has not failed."""
    for _ in range(_TRIES):
        _until_done(_refund)(scene)
        scene.wait(_HOUR)
        if any(refund.status is not RefundStatus.FAILED for refund in scene.order().refunds):
            return


def _wait(scene: Scene) -> None:
    scene.wait(2 * _HOUR)


def _pay(scene: Scene) -> None:
    scene.pay()
    scene.wait(900)


def _pay_back(scene: Scene) -> None:
    """Let the buyer claim every refund that there is, and the merchant pay it."""
    for refund_id in list(scene.sandbox.server.refunds.pulls):
        payout = scene.sandbox.claim_refund(refund_id)
        scene.sandbox.approve_payout(payout)
        scene.sandbox.pay_payout(payout)
    scene.sandbox.mine()
    scene.wait(2 * _HOUR)


def _start_and_pay(scene: Scene) -> None:
    scene.wait(2 * _HOUR)
    _start(scene)
    _pay(scene)


def _payments(scene: Scene) -> int:
    return len(scene.sandbox.payments())


def _refunds(scene: Scene) -> int:
    return len(scene.sandbox.server.refunds.pulls)


def _marks(scene: Scene) -> int:
    return sum(1 for invoice in scene.sandbox.server.invoices.values() if invoice.status.value == "Invalid")


def _was_refused(order: OrderView) -> bool:
    """Tell whether the provider's refusal to cancel is kept, for the merchant to see."""
    payment = order.kept.dossier.payments[0]
    return payment.cancelling is Sending.REFUSED and bool(payment.problem)


def _kept_twice(scene: Scene) -> int:
    """Count how often one and the same delivery was kept."""
    bodies = [delivery.body for delivery in scene.bursar.deliveries(scene.order().key)]
    return max((bodies.count(body) for body in bodies), default=0)


def _messages(scene: Scene) -> int:
    """Count the ids under which the shop heard of one change: more than one could be taken for two changes."""
    return max((len(ids) for ids in scene.shop.ids.values()), default=0)


_PAID, _CANCELLED = OrderStatus.PAID, OrderStatus.CANCELLED
OPERATIONS: Final = (
    *(
        Operation("open", p, _opened, _start, _until_done(_start), _pay, _PAID, _payments)
        for p in ("btcpay", "coinpay")
    ),
    Operation("refund", "btcpay", _paid, _refund, _asked_back, _pay_back, OrderStatus.REFUNDED, _refunds),
    Operation(
        "cancel", "btcpay", _started, _cancel, _until_done(_cancel), _wait, _CANCELLED, _marks, _was_refused
    ),
    *(
        Operation("receive", p, _paid_unanswered, _deliver, _wait, _wait, _PAID, _kept_twice, hears=True)
        for p in ("btcpay", "coinpay")
    ),
    *(
        Operation("poll", p, _paid_unheard, _visit, _wait, _wait, _PAID, _payments)
        for p in ("btcpay", "coinpay")
    ),
    Operation("tell the shop", "http", _opened, _visit, _wait, _start_and_pay, _PAID, _messages),
)


def broken_promises(scene: Scene, operation: Operation) -> Iterator[str]:
    """Yield what of our promises does not hold, now that everything has had its time."""
    order = scene.order()
    effects = operation.effects(scene)
    if effects != 1 and not (effects == 0 and operation.may_fail(order)):
        yield f"{effects} effects, not one"
    if order.status is not operation.status:
        yield f"the order is {order.status.value}, not {operation.status.value}"
    yield from (f"surprise: {surprise}" for surprise in scene.surprises)
    yield from _loose_ends(scene, order)
    yield from _money(order)


def _loose_ends(scene: Scene, order: OrderView) -> Iterator[str]:
    listed = {review.reason for review in order.reviews}
    for payment in order.kept.dossier.payments:
        if _is_open_ended(payment) and Reason.OUTCOME_UNKNOWN not in listed:
            yield f"payment {payment.number} is neither resolved nor listed for a person"
        if payment.cancelling in (Sending.INTENDED, Sending.SENT):
            yield f"payment {payment.number} is still being cancelled"
    for refund in order.refunds:
        unsent = refund.status in (RefundStatus.REQUESTED, RefundStatus.UNKNOWN)
        if unsent and Reason.OUTCOME_UNKNOWN not in listed:
            yield f"refund {refund.number} is neither resolved nor listed for a person"
    if order.kept.delivered != order.number or scene.shop.applied[-1:] != [
        (order.number, order.status.value)
    ]:
        yield f"the shop knows {scene.shop.applied[-1:]}, and the order is at {order.number}"
    if scene.bursar.parked():
        yield "a delivery still waits for its payment"


def _is_open_ended(payment: Payment) -> bool:
    return payment.payment_id is None and payment.sending in (Sending.INTENDED, Sending.SENT)


def _money(order: OrderView) -> Iterator[str]:
    state = order.kept.state
    if state.received != state.credited + state.surplus - state.shortfall:
        yield "received is not credited + surplus - shortfall"
    if state.refunded + state.under_way > state.received:
        yield f"{state.refunded} + {state.under_way} go back of {state.received}"
    if order.status is OrderStatus.PAID and state.received != order.amount:
        yield f"paid once and received {state.received} of {order.amount}"
