import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar.effects import Driver
from bursar.errors import BadInput, Declined, Refused
from bursar.lifecycle import OrderStatus, Reason
from bursar.money import Money
from bursar.refunds import RefundOrigin, RefundStatus
from bursar.secrets import Secret
from bursar.service import Bursar
from bursar.testing.faults.edges import EDGES, BreakingDriver, Trap
from bursar.testing.stage import Stage
from bursar.views import OrderView
from bursar_btcpay.sandbox.permissions import MERCHANT

EUR = Money.parse


class Wire(httpx.BaseTransport):
    """Carry requests, unless the test has something else in mind for them."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.fault: Callable[[httpx.Request], httpx.Response | None] = lambda request: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.fault(request)
        return answer if answer is not None else self.inner.handle_request(request)


class Shop(Stage):
    """A stage with one order that was paid."""

    def paid(self, amount: str = "20.00", currency: str = "USD") -> OrderView:
        order = self.order(amount, currency)
        payment = self.start(order)
        self.sandbox.pay(payment.payment_id)
        self.sandbox.confirm(payment.payment_id)
        self.wait(61)
        paid = self.look(order)
        assert paid.status is OrderStatus.PAID
        return paid

    @property
    def made(self) -> list[Any]:
        """The refunds that exist at the provider."""
        return list(self.sandbox.server.refunds.pulls.values())

    def fault(self, fault: Callable[[httpx.Request], httpx.Response | None]) -> None:
        assert isinstance(self.transport, Wire)
        self.transport.fault = fault

    def pay_out(self, refund_id: str | None) -> None:
        payout = self.sandbox.claim_refund(refund_id)
        self.sandbox.approve_payout(payout)
        self.sandbox.pay_payout(payout)
        self.sandbox.mine()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(provider: str = "btcpay", **options: Any) -> Shop:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        if provider == "coinpay":
            options["settings"] = {"blockchain": "USDC_POL"}
        made.append(Shop(provider, folder, around=Wire, **options))
        return made[-1]

    yield make
    for one in made:
        one.bursar.close()


Make = Callable[..., Shop]


def is_refund(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/refund")


def test_a_whole_refund_is_followed_until_the_buyer_has_the_money(shop: Make) -> None:
    at = shop()
    order = at.paid()

    refund = at.bursar.refund(order.key, who="anna", reason="broken")
    assert (refund.amount, refund.status) == (order.amount, RefundStatus.WAITING_FOR_BUYER)
    assert refund.links
    assert at.look(order).status is OrderStatus.PAID
    at.pay_out(refund.kept.refund_id)
    at.wait(600)

    after = at.look(order)
    assert (after.status, after.refunded) == (OrderStatus.REFUNDED, order.amount)
    assert after.refunds[0].status is RefundStatus.COMPLETED
    assert after.refunds[0].kept.facts.transactions
    assert after.document(merchant=True)["refunds"][0]["who"] == "anna"
    assert after.received - after.credited - after.surplus + after.shortfall == Money.zero(order.amount.asset)


def test_several_partial_refunds_add_up_and_never_to_more_than_was_received(shop: Make) -> None:
    at = shop()
    order = at.paid()

    for amount in ("5.00", "7.50"):
        at.bursar.refund(order.key, amount=amount, who="anna")
    with pytest.raises(Refused, match=r"7\.51 USD is more than can go back: 7\.50 USD is left"):
        at.bursar.refund(order.key, amount="7.51", who="anna")
    at.bursar.refund(order.key, amount=EUR("7.50 USD"), who="anna")

    assert [str(r.amount) for r in at.look(order).refunds] == ["5.00 USD", "7.50 USD", "7.50 USD"]
    with pytest.raises(Refused, match="no money that can go back"):
        at.bursar.refund(order.key, amount="0.01", who="anna")
    with pytest.raises(Refused, match="nothing of payment 1"):
        at.bursar.refund(order.key, payment=1, who="anna")
    assert len(at.made) == 3


def test_a_part_that_was_paid_out_makes_the_order_partially_refunded(shop: Make) -> None:
    at = shop()
    order = at.paid()
    refund = at.bursar.refund(order.key, amount="5.00", who="anna")

    at.pay_out(refund.kept.refund_id)
    at.wait(600)

    assert at.look(order).status is OrderStatus.PARTIALLY_REFUNDED
    assert at.look(order).refunded == EUR("5.00 USD")


def test_asking_twice_with_one_operation_makes_one_refund_even_when_nothing_is_left(shop: Make) -> None:
    at = shop()
    order = at.paid()

    first = at.bursar.refund(order.key, who="anna", operation="return-17")
    again = at.bursar.refund(order.key, who="anna", operation="return-17")
    named = at.bursar.refund(order.key, who="anna", operation="return-17", amount="20.00", payment=1)

    assert first.number == again.number == named.number
    assert len(at.made) == 1
    with pytest.raises(Refused, match="another refund needs another operation"):
        at.bursar.refund(order.key, who="anna", operation="return-17", amount="19.00")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"who": ""}, BadInput, "say who"),
        ({"amount": 1.5}, BadInput, "never a float"),
        ({"amount": "0"}, BadInput, "more than nothing"),
        ({"amount": "-1"}, BadInput, "more than nothing"),
        ({"amount": "1.001"}, BadInput, "more than 2 decimals"),
        ({"amount": "1", "currency": "EUR"}, BadInput, "different assets"),
        ({"payment": 7}, BadInput, "no payment 7"),
        ({"operation": " x"}, BadInput, "blanks"),
        ({"operation": "x\x00"}, BadInput, "control character"),
        ({"reason": "\ud800"}, BadInput, "half a character"),
    ],
)
def test_a_refund_that_cannot_be_is_refused_and_nothing_is_kept(
    shop: Make, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    at = shop()
    order = at.paid()

    with pytest.raises(error, match=words):
        at.bursar.refund(order.key, **{"who": "anna", **given})

    assert at.look(order).refunds == ()
    assert at.made == []


def test_an_order_without_money_has_nothing_to_refund(shop: Make) -> None:
    at = shop()
    order = at.order()

    with pytest.raises(Refused, match="no money that can go back"):
        at.bursar.refund(order.key, who="anna")


def test_refunds_asked_for_at_the_same_moment_never_exceed_what_was_received(shop: Make) -> None:
    at = shop()
    order, gate = at.paid(), threading.Barrier(8)
    # As two processes would: each has its own store, writer and connection.
    other = Bursar(at.config, clock=lambda: at.now, transport=at.transport)

    def ask(number: int) -> str:
        gate.wait()
        try:
            (at.bursar, other)[number % 2].refund(order.key, amount="6.00", who=f"clerk {number}")
        except Refused as error:
            return str(error)
        return "made"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    other.close()

    assert answers.count("made") == 3
    assert sum(pull.offer.amount for pull in at.made) == Decimal(18)
    assert len(at.look(order).refunds) == 3


@pytest.mark.parametrize("effect", [True, False])
def test_a_refund_of_unknown_outcome_is_looked_up_and_never_made_twice(shop: Make, effect: bool) -> None:
    at = shop()
    order = at.paid()

    def lose(request: httpx.Request) -> httpx.Response | None:
        if is_refund(request):
            assert isinstance(at.transport, Wire)
            if effect:
                at.transport.inner.handle_request(request)
            raise httpx.ReadTimeout("no answer", request=request)
        return None

    at.fault(lose)
    refund = at.bursar.refund(order.key, who="anna")
    assert refund.status is RefundStatus.UNKNOWN
    at.fault(lambda request: None)

    at.wait(300)

    assert at.look(order).refunds[0].status is RefundStatus.WAITING_FOR_BUYER
    assert len(at.made) == 1


def test_a_provider_that_refuses_to_be_asked_about_a_refund_leaves_it_to_a_person_after_an_hour(
    shop: Make,
) -> None:
    at = shop()
    order = at.paid()

    def lose(request: httpx.Request) -> httpx.Response | None:
        if is_refund(request):
            assert isinstance(at.transport, Wire)
            at.transport.inner.handle_request(request)
            raise httpx.ReadTimeout("no answer", request=request)
        return None

    at.fault(lose)
    at.lose = lambda event: True
    at.bursar.refund(order.key, who="anna")
    at.fault(lambda request: httpx.Response(401))
    at.wait(3_000)
    assert at.look(order).reviews == ()
    at.wait(4_500)
    assert [r.reason for r in at.look(order).reviews] == [Reason.OUTCOME_UNKNOWN]
    at.fault(lambda request: None)

    assert at.bursar.sync(order.key).refunds[0].status is RefundStatus.WAITING_FOR_BUYER
    assert at.look(order).reviews == ()
    assert len(at.made) == 1


def test_syncing_looks_up_a_refund_of_unknown_outcome_and_one_that_was_paid_out(shop: Make) -> None:
    at = shop()
    order = at.paid()

    def lose(request: httpx.Request) -> httpx.Response | None:
        if is_refund(request):
            assert isinstance(at.transport, Wire)
            at.transport.inner.handle_request(request)
            raise httpx.ReadTimeout("no answer", request=request)
        return None

    at.fault(lose)
    at.bursar.refund(order.key, who="anna")
    at.fault(lambda request: None)

    found = at.bursar.sync(order.key)
    assert found.refunds[0].status is RefundStatus.WAITING_FOR_BUYER
    at.pay_out(found.refunds[0].kept.refund_id)
    assert at.bursar.sync(order.key).status is OrderStatus.REFUNDED


@pytest.mark.parametrize("nth", [2, 3])
@pytest.mark.parametrize("edge", ["database busy", "kept, database's answer lost"])
def test_once_a_refund_is_kept_no_error_invites_the_clerk_to_ask_for_it_again(
    shop: Make, edge: str, nth: int
) -> None:
    at = shop()
    order = at.paid()
    driver = BreakingDriver(at.bursar.writer, at.bursar.client)
    driver.trap = Trap(next(one for one in EDGES if one.name == edge), nth=nth, armed=True)
    at.bursar.driver = driver

    refund = at.bursar.refund(order.key, amount="5.00", who="anna")
    at.bursar.driver = Driver(at.bursar.writer, at.bursar.client)
    at.wait(600)

    assert driver.trap.hits == 1
    assert [r.number for r in at.look(order).refunds] == [refund.number]
    assert at.look(order).refunds[0].status is RefundStatus.WAITING_FOR_BUYER
    assert len(at.made) == 1


def test_a_refund_that_could_not_be_sent_is_sent_by_the_courier(shop: Make) -> None:
    at = shop()
    order = at.paid()
    at.fault(lambda request: httpx.Response(429, headers={"Retry-After": "30"}))

    refund = at.bursar.refund(order.key, who="anna")
    assert refund.status is RefundStatus.REQUESTED
    at.fault(lambda request: None)
    at.wait(120)

    assert at.look(order).refunds[0].status is RefundStatus.WAITING_FOR_BUYER
    assert len(at.made) == 1


def test_a_refund_that_the_provider_refuses_has_failed_and_the_money_can_be_refunded_again(
    shop: Make,
) -> None:
    at = shop()
    order = at.paid()
    at.fault(
        lambda r: httpx.Response(422, json={"code": "no", "message": "not now"}) if is_refund(r) else None
    )

    refund = at.bursar.refund(order.key, who="anna")
    at.fault(lambda request: None)

    assert refund.status is RefundStatus.FAILED
    assert "not now" in refund.document(merchant=True)["problem"]
    assert at.bursar.refund(order.key, who="anna").status is RefundStatus.WAITING_FOR_BUYER


def test_a_refund_is_not_withdrawn_with_a_key_that_may_not(shop: Make) -> None:
    at = shop()
    order = at.paid()
    at.bursar.refund(order.key, who="anna")

    with pytest.raises(Declined, match="canarchivepullpayments"):
        at.bursar.withdraw_refund(order.key, 1, who="anna")

    assert at.look(order).refunds[0].status is RefundStatus.WAITING_FOR_BUYER


def test_a_refund_that_was_not_paid_out_is_withdrawn(shop: Make) -> None:
    at = shop()
    key = at.sandbox.make_key("All", [*MERCHANT, "btcpay.store.canarchivepullpayments"])
    own = at.config.accounts["main"]
    able = attrs.evolve(own, settings=attrs.evolve(own.settings, api_key=Secret(key)))
    at.bursar.close()
    config = attrs.evolve(at.config, accounts={"main": able})
    at.bursar = Bursar(config, clock=lambda: at.now, transport=at.transport)
    order = at.paid()
    refund = at.bursar.refund(order.key, who="anna")

    with pytest.raises(BadInput, match="say who"):
        at.bursar.withdraw_refund(order.key, refund.number, who="")
    after = at.bursar.withdraw_refund(order.key, refund.number, who="anna")

    assert after.refunds[0].status is RefundStatus.CANCELLED
    assert at.bursar.refund(order.key, who="anna").amount == order.amount


def test_coinpay_cannot_refund_so_a_person_does_and_records_it(shop: Make) -> None:
    at = shop("coinpay")
    order = at.paid()

    refund = at.bursar.refund(order.key, amount="5.00", who="anna")
    assert (refund.status, refund.manual) == (RefundStatus.WAITING_FOR_PERSON, True)
    at.wait(4_000)
    assert at.look(order).refunds[0].status is RefundStatus.WAITING_FOR_PERSON
    with pytest.raises(BadInput, match="name the transaction"):
        at.bursar.record_refund(order.key, 1, transaction=" ", who="anna")
    with pytest.raises(BadInput, match="no refund 2"):
        at.bursar.record_refund(order.key, 2, transaction="0xabc", who="anna")
    after = at.bursar.record_refund(order.key, 1, transaction="0xabc", who="anna")

    assert (after.status, after.refunded) == (OrderStatus.PARTIALLY_REFUNDED, EUR("5.00 USD"))
    assert after.document(merchant=True)["refunds"][0]["transactions"] == ["0xabc"]
    assert (
        at.bursar.record_refund(order.key, 1, transaction="0xabc", who="anna").kept.number
        == after.kept.number
    )


def test_a_manual_refund_can_be_withdrawn_before_it_is_sent(shop: Make) -> None:
    at = shop("coinpay")
    order = at.paid()
    at.bursar.refund(order.key, who="anna")

    assert at.bursar.withdraw_refund(order.key, 1, who="anna").refunds[0].status is RefundStatus.CANCELLED


def test_a_refund_made_in_the_providers_dashboard_is_found_and_counted(shop: Make) -> None:
    at = shop()
    order = at.paid()
    key = at.config.accounts["main"].settings.api_key.reveal()
    store, invoice = at.sandbox.store_id, order.payments[0].payment_id
    made = at.transport.handle_request(
        httpx.Request(
            "POST",
            f"{at.config.accounts['main'].settings.url}/api/v1/stores/{store}/invoices/{invoice}/refund",
            headers={"Authorization": f"token {key}"},
            json={"refundVariant": "Custom", "customAmount": "12.00", "customCurrency": "USD"},
        )
    )
    assert made.status_code == 200
    at.wait(60)

    (refund,) = at.look(order).refunds
    assert (refund.kept.origin, refund.amount) == (RefundOrigin.PROVIDER, EUR("12.00 USD"))
    with pytest.raises(Refused, match=r"8\.00 USD is left"):
        at.bursar.refund(order.key, amount="8.01", who="anna")


@pytest.mark.parametrize("provider", ["btcpay", "coinpay"])
def test_late_money_goes_back_by_itself_where_the_policy_says_so(shop: Make, provider: str) -> None:
    at = shop(provider, policy={"late": "refund"})
    order = at.order("20.00")
    payment = at.start(order)
    at.wait(17 * 60)
    assert at.look(order).status is OrderStatus.EXPIRED
    at.sandbox.pay(payment.payment_id)
    at.sandbox.confirm(payment.payment_id)
    at.wait(5 * 3_600)

    (refund,) = at.look(order).refunds
    assert (refund.kept.origin, refund.kept.reason) == (RefundOrigin.POLICY, "late")
    assert refund.amount == at.look(order).received
    if provider == "coinpay":
        assert [r.reason for r in at.look(order).reviews] == [Reason.REFUND_BY_HAND]
    else:
        assert len(at.made) == 1
        assert at.look(order).reviews == ()


@pytest.mark.parametrize("provider", ["btcpay", "coinpay"])
def test_a_surplus_goes_back_by_itself_where_the_policy_says_so(shop: Make, provider: str) -> None:
    at = shop(provider, policy={"surplus": "refund"})
    order = at.order("20.00")
    payment = at.start(order)
    if provider == "coinpay":
        # The worker that tells how much arrived.
        at.sandbox.choose_worker(payment.payment_id, "C")
    at.sandbox.pay(payment.payment_id, share=Decimal("1.5"))
    at.sandbox.confirm(payment.payment_id)
    at.wait(3_600)

    look = at.look(order)
    (refund,) = look.refunds
    assert look.status is OrderStatus.PAID
    assert (refund.kept.origin, refund.kept.reason) == (RefundOrigin.POLICY, "surplus")
    assert refund.amount == look.surplus
    if provider == "coinpay":
        assert refund.status is RefundStatus.WAITING_FOR_PERSON
        assert [r.reason for r in look.reviews] == [Reason.REFUND_BY_HAND]
    else:
        assert refund.status is RefundStatus.WAITING_FOR_BUYER
        assert len(at.made) == 1
        assert look.reviews == ()


def test_with_money_from_two_payments_one_says_which_is_refunded(shop: Make) -> None:
    at = shop("coinpay")
    order = at.order("20.00")
    for method in ("USDC_POL", "BTC"):
        payment = at.start(order, method=method)
        at.sandbox.pay(payment.payment_id)
    for payment in at.look(order).payments:
        at.sandbox.confirm(payment.payment_id)
    at.wait(120)
    assert [r.reason for r in at.look(order).reviews] == [Reason.PAID_TWICE]

    with pytest.raises(BadInput, match="paid by payments 1, 2; say which"):
        at.bursar.refund(order.key, who="anna")
    refund = at.bursar.refund(order.key, payment=2, who="anna")

    assert refund.amount == EUR("20.00 USD")
    (task,) = at.look(order).document(merchant=True)["reviews"]
    assert (task["reason"], task["payment"], task["refund"]) == ("refund_by_hand", 2, 1)
