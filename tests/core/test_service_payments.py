import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar import plugins
from bursar.config import read_config
from bursar.errors import BadInput, Busy, Declined, NotFound, OutcomeUnknown, Refused, Unavailable
from bursar.lifecycle import OrderStatus, Reason
from bursar.money import Money
from bursar.service import Bursar
from bursar.standing import PaymentStatus
from bursar.testing.stage import Bridge, account_table
from bursar.views import OrderView

NOW = 1_790_000_000.0


class Street:
    """A shop between both sandboxes, on one clock: what `account` says in the configuration decides where it pays."""

    def __init__(self, folder: Path, *, account: str = "btc", more: str = "", policy: str = "") -> None:
        self.now = NOW
        self.sandboxes: dict[str, Any] = {}
        self.fault: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.asked: list[tuple[str, str]] = []
        tables: list[str] = []
        for name, provider in (("btc", "btcpay"), ("usd", "coinpay")):
            sandbox = plugins.sandbox(provider)(clock=lambda: self.now, url=f"http://{provider}")
            settings = sandbox.account(webhook_url=f"http://pay/webhooks/{name}")
            if provider == "coinpay":
                settings["blockchain"] = "USDC_POL"
            tables.append(account_table(provider, settings, name=name))
            if policy:
                tables.append(f"[accounts.{name}.policy]\n{policy}\n")
            self.sandboxes[name] = sandbox
        self.bridges = {p: Bridge(self.sandboxes[n].app) for n, p in (("btc", "btcpay"), ("usd", "coinpay"))}
        self.text = (
            f'[bursar]\ndatabase = "sqlite:///{(folder / "b.db").as_posix()}"\naccount = "{account}"\n'
        )
        self.text += "".join(tables) + more
        self.bursar = self.open()

    def open(self) -> Bursar:
        """Start another Bursar on the same database."""
        config = read_config(self.text, env={})
        return Bursar(config, clock=lambda: self.now, transport=httpx.MockTransport(self._carry))

    def _carry(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        answer = self.fault(request)
        return answer if answer is not None else self.bridges[request.url.host].handle_request(request)

    def order(
        self, amount: str = "20.00", currency: str = "USD", reference: str = "1001", **more: Any
    ) -> OrderView:
        return self.bursar.open_order(reference=reference, amount=amount, currency=currency, **more)

    def look(self, order: OrderView) -> OrderView:
        return self.bursar.order(order.key)

    def deliver(self, *accounts: str) -> list[int]:
        """Carry what the sandboxes have to tell; return how it was answered."""
        statuses: list[int] = []
        for name in accounts or tuple(self.sandboxes):
            sandbox = self.sandboxes[name]
            while due := sandbox.due():
                for outgoing in due:
                    answer = self.bursar.receive(name, outgoing.body, dict(outgoing.headers))
                    sandbox.answered(outgoing, answer.status)
                    statuses.append(answer.status)
        return statuses

    def lose(self) -> None:
        """Let every delivery that is due go astray for good."""
        for sandbox in self.sandboxes.values():
            while due := sandbox.due():
                for outgoing in due:
                    sandbox.answered(outgoing, 200)

    def pay(self, order: OrderView, account: str, **more: Any) -> None:
        payment = self.look(order).payments[-1]
        self.sandboxes[account].pay(payment.payment_id, **more)
        self.sandboxes[account].confirm(payment.payment_id)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.bursar.run_due()

    def reasons(self, order: OrderView) -> list[Reason]:
        return [review.reason for review in self.look(order).reviews]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Callable[..., Street]]:
    made: list[Street] = []

    def make(**options: Any) -> Street:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Street(folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.bursar.close()


Make = Callable[..., Street]


@pytest.mark.parametrize("account", ["btc", "usd"])
def test_one_line_of_configuration_moves_the_same_shop_from_one_provider_to_the_other(
    street: Make, account: str
) -> None:
    at = street(account=account)
    order = at.bursar.open_order(reference="1001", amount="49.90", currency="USD")
    payment = at.bursar.start_payment(order.key)
    at.sandboxes[account].pay(payment.payment_id)
    at.sandboxes[account].confirm(payment.payment_id)
    at.deliver()
    at.after(61)
    at.deliver()

    paid = at.bursar.order(order.key)
    assert (paid.status, paid.received, paid.reviews) == (OrderStatus.PAID, Money.parse("49.90 USD"), ())
    assert payment.checkout.instructions
    at.bursar.fulfil(order.key, who="shop")
    assert at.look(order).status is OrderStatus.FULFILLED
    assert [t.after.value for t in at.bursar.history(order.key)][-1] == "fulfilled"
    assert len(at.bursar.deliveries(order.key)) >= 1


@pytest.mark.parametrize("account", ["btc", "usd"])
def test_a_double_click_starts_one_payment(street: Make, account: str) -> None:
    at = street(account=account)
    order = at.order()

    first, second = at.bursar.start_payment(order.key), at.bursar.start_payment(order.key)

    assert first == second
    assert len(at.sandboxes[account].payments()) == 1


@pytest.mark.parametrize("account", ["btc", "usd"])
def test_many_clicks_at_the_same_moment_start_one_payment(street: Make, account: str) -> None:
    at = street(account=account)
    order, gate = at.order(), threading.Barrier(8)

    def click(_: int) -> str | None:
        gate.wait()
        try:
            return at.bursar.start_payment(order.key).payment_id
        except Busy:
            return "busy"

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(click, range(8)))

    (only,) = at.sandboxes[account].payments()
    assert answers - {"busy"} == {only}
    assert at.bursar.start_payment(order.key).payment_id == only
    assert len(at.look(order).payments) == 1


def test_another_method_of_the_same_account_is_another_payment(street: Make) -> None:
    at = street(account="usd")
    order = at.order()

    ids = {at.bursar.start_payment(order.key, method=m).payment_id for m in ("USDC_POL", "BTC", "USDC_POL")}

    assert ids == set(at.sandboxes["usd"].payments())
    assert len(ids) == 2


def test_an_order_in_euros_is_refused_without_rates_before_anything_is_created(street: Make) -> None:
    at = street(account="usd")
    order = at.order("20.00", "EUR")

    with pytest.raises(Refused, match=r"bills in USD only .* configure a rate source"):
        at.bursar.start_payment(order.key)

    assert at.asked == []
    assert at.look(order).payments == ()


def test_an_order_in_euros_is_billed_by_the_rate_source_and_the_rate_is_kept(street: Make) -> None:
    at = street(account="usd", more='[rates]\nsource = "fixed"\n[rates.table]\n"EUR/USD" = "1.085"\n')
    order = at.order("19.99", "EUR")

    payment = at.bursar.start_payment(order.key)

    rate = payment.kept.terms.rate
    assert rate is not None
    assert (rate.source, rate.sold, rate.bought, str(rate.value)) == ("fixed", "EUR", "USD", "1.085")
    # 19.99 EUR are 21.68915 USD, and a shop is never short of a cent.
    assert payment.billed == Money.parse("21.69 USD")
    assert payment.document(merchant=True)["rate"]["value"] == "1.085"
    at.pay(order, "usd")
    at.deliver()
    at.after(61)
    paid = at.look(order)
    assert (paid.status, paid.received) == (OrderStatus.PAID, Money.parse("19.99 EUR"))


def test_the_rate_can_come_from_the_provider_itself(street: Make) -> None:
    at = street(
        account="usd", more='[rates]\nsource = "coinpay"\nurl = "http://coinpay/api"\nallow_http = true\n'
    )
    order = at.order("20.00", "EUR")

    payment = at.bursar.start_payment(order.key)

    assert payment.kept.terms.rate is not None
    assert payment.kept.terms.rate.source == "coinpay"
    assert payment.billed.asset.code == "USD"


def test_a_rate_source_without_the_rate_creates_nothing(street: Make) -> None:
    at = street(account="usd", more='[rates]\nsource = "fixed"\n[rates.table]\n"GBP/USD" = "1.3"\n')
    order = at.order("20.00", "EUR")

    with pytest.raises(Declined, match="no rate for EUR/USD"):
        at.bursar.start_payment(order.key)
    assert at.look(order).payments == ()


def test_what_the_provider_cannot_be_asked_for_is_refused_and_leaves_no_intent_behind(street: Make) -> None:
    at = street(account="usd")
    order = at.order()

    with pytest.raises(BadInput, match="DOGECHAIN"):
        at.bursar.start_payment(order.key, method="DOGECHAIN")

    assert at.asked == []
    assert at.look(order).payments == ()
    assert at.bursar.start_payment(order.key).status is PaymentStatus.WAITING


def test_a_payment_that_expired_is_started_again(street: Make) -> None:
    at = street()
    order = at.order()
    first = at.bursar.start_payment(order.key)
    at.after(16 * 60)
    at.deliver()
    at.after(60)
    assert at.look(order).status is OrderStatus.EXPIRED

    second = at.bursar.start_payment(order.key)

    assert second.payment_id != first.payment_id
    assert at.look(order).status is OrderStatus.AWAITING_PAYMENT
    at.pay(order, "btc")
    at.deliver()
    assert at.look(order).status is OrderStatus.PAID


def test_an_order_can_be_paid_at_another_account_than_it_was_started_at(street: Make) -> None:
    at = street()
    order = at.order()
    at.bursar.start_payment(order.key)
    at.bursar.start_payment(order.key, account="usd")

    at.pay(order, "usd")
    at.deliver()
    at.after(61)

    paid = at.look(order)
    assert paid.status is OrderStatus.PAID
    assert [p.account for p in paid.payments] == ["btc", "usd"]


def test_what_was_paid_short_is_asked_for_by_the_next_payment(street: Make) -> None:
    at = street()
    order = at.order()
    first = at.bursar.start_payment(order.key)
    at.sandboxes["btc"].pay(first.payment_id, share=Decimal("0.25"))
    at.sandboxes["btc"].confirm(first.payment_id)
    at.after(16 * 60)
    at.deliver()
    at.after(240)
    assert at.look(order).status is OrderStatus.PARTIALLY_PAID

    rest = at.bursar.start_payment(order.key)

    left = order.amount - at.look(order).received
    assert rest.amount == left
    at.pay(order, "btc")
    at.deliver()
    assert at.look(order).status is OrderStatus.PAID


def test_a_paid_order_takes_no_further_payment(street: Make) -> None:
    at = street()
    order = at.order()
    at.bursar.start_payment(order.key)
    at.pay(order, "btc")
    at.deliver()

    with pytest.raises(Refused, match="needs no further payment"):
        at.bursar.start_payment(order.key)


@pytest.mark.parametrize("account", ["btc", "usd"])
def test_a_webhook_that_comes_before_the_answer_to_the_create_is_kept_and_joined(
    street: Make, account: str
) -> None:
    at = street(account=account)
    order = at.order()
    early: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method != "POST" or early:
            return None
        made = at.bridges[request.url.host].handle_request(request)
        (payment_id,) = at.sandboxes[account].payments()
        at.sandboxes[account].pay(payment_id)
        at.sandboxes[account].confirm(payment_id)
        at.now += 61
        early.extend(at.deliver())
        parked.extend(at.bursar.parked())
        return made

    parked: list[Any] = []
    if account == "usd":
        at.sandboxes["usd"].machine.worker = "D"
    at.fault = answer
    payment = at.bursar.start_payment(order.key)

    assert early
    assert set(early) == {200}
    assert {one.subject for one in parked} == {payment.payment_id}
    assert at.bursar.parked() == []
    assert at.look(order).status is OrderStatus.PAID
    assert len(at.bursar.deliveries(order.key)) == len(parked)


@pytest.mark.parametrize("account", ["btc", "usd"])
def test_a_payment_whose_webhooks_are_all_lost_is_found_by_the_courier(street: Make, account: str) -> None:
    at = street(account=account)
    order = at.order()
    at.bursar.start_payment(order.key)
    at.pay(order, account)
    at.lose()
    assert at.look(order).status is OrderStatus.AWAITING_PAYMENT

    at.after(120)

    assert at.look(order).status is OrderStatus.PAID
    assert at.bursar.deliveries(order.key) == []


def test_a_create_whose_answer_is_lost_is_found_at_once_and_not_made_again(street: Make) -> None:
    at = street()
    order, lost = at.order(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and not lost:
            at.bridges[request.url.host].handle_request(request)
            lost.append(request.url.path)
            raise httpx.ReadTimeout("no answer", request=request)
        return None

    at.fault = answer
    payment = at.bursar.start_payment(order.key)

    assert lost
    assert at.sandboxes["btc"].payments() == (payment.payment_id,)


def test_a_create_of_unknown_outcome_blocks_another_until_the_courier_has_found_it(street: Make) -> None:
    at = street()
    order, state = at.order(), {"down": True}

    def answer(request: httpx.Request) -> httpx.Response | None:
        if not state["down"]:
            return None
        if request.method == "POST":
            at.bridges[request.url.host].handle_request(request)
        raise httpx.ReadTimeout("no answer", request=request)

    at.fault = answer
    with pytest.raises(OutcomeUnknown):
        at.bursar.start_payment(order.key)
    with pytest.raises(Busy, match="being opened"):
        at.bursar.start_payment(order.key)
    state["down"] = False

    at.after(60)

    (only,) = at.sandboxes["btc"].payments()
    assert at.bursar.start_payment(order.key).payment_id == only


def test_syncing_looks_for_a_payment_of_unknown_outcome_without_waiting_for_the_courier(street: Make) -> None:
    at = street()
    order, state = at.order(), {"down": True}

    def answer(request: httpx.Request) -> httpx.Response | None:
        if state["down"]:
            if request.method == "POST":
                at.bridges[request.url.host].handle_request(request)
            raise httpx.ReadTimeout("no answer", request=request)
        return None

    at.fault = answer
    with pytest.raises(OutcomeUnknown):
        at.bursar.start_payment(order.key)
    state["down"] = False

    found = at.bursar.sync(order.key)

    assert [p.payment_id for p in found.payments] == list(at.sandboxes["btc"].payments())


def test_a_provider_that_refuses_to_be_asked_does_not_make_an_unknown_payment_a_refused_one(
    street: Make,
) -> None:
    at = street()
    order, state = at.order(), {"key": "good"}

    def answer(request: httpx.Request) -> httpx.Response | None:
        if state["key"] == "good":
            at.bridges[request.url.host].handle_request(request)
            state["key"] = "revoked"
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(401) if state["key"] == "revoked" else None

    at.fault = answer
    with pytest.raises(OutcomeUnknown):
        at.bursar.start_payment(order.key)
    for _ in range(40):
        at.after(60)
    assert at.reasons(order) == []
    with pytest.raises(Busy):
        at.bursar.start_payment(order.key)
    for _ in range(100):
        at.after(60)
    assert at.reasons(order) == [Reason.OUTCOME_UNKNOWN]
    assert "401" in at.look(order).document(merchant=True)["payments"][0]["problem"]
    state["key"] = "renewed"

    found = at.bursar.sync(order.key)

    assert [p.payment_id for p in found.payments] == list(at.sandboxes["btc"].payments())
    assert found.reviews == ()


def test_a_provider_that_cannot_be_reached_leaves_nothing_open(street: Make) -> None:
    at = street()
    order, state = at.order(), {"down": True}

    def answer(request: httpx.Request) -> httpx.Response | None:
        if state["down"]:
            raise httpx.ConnectError("refused", request=request)
        return None

    at.fault = answer
    with pytest.raises(Unavailable, match="never reached"):
        at.bursar.start_payment(order.key)
    state["down"] = False

    assert at.bursar.start_payment(order.key).status is PaymentStatus.WAITING
    assert len(at.sandboxes["btc"].payments()) == 1


def test_cancelling_an_order_marks_its_invoice_invalid_at_btcpay(street: Make) -> None:
    at = street()
    order = at.order()
    payment = at.bursar.start_payment(order.key)

    cancelled = at.bursar.cancel(order.key, who="merchant", why="changed their mind")
    at.after(1)

    assert cancelled.status is OrderStatus.CANCELLED
    invoice = at.sandboxes["btc"].server.invoice(payment.payment_id)
    assert invoice.status.value == "Invalid"
    at.deliver()
    assert at.look(order).status is OrderStatus.CANCELLED
    assert at.look(order).reviews == ()
    with pytest.raises(Refused, match="cancelled"):
        at.bursar.start_payment(order.key)


def test_cancelling_is_tried_again_until_the_provider_took_it(street: Make) -> None:
    at = street()
    order = at.order()
    payment = at.bursar.start_payment(order.key)
    at.bursar.cancel(order.key, who="merchant")
    at.fault = lambda request: httpx.Response(503)
    at.after(1)
    at.fault = lambda request: None

    at.after(60)

    assert at.sandboxes["btc"].server.invoice(payment.payment_id).status.value == "Invalid"


def test_money_that_comes_after_cancelling_is_for_a_person(street: Make) -> None:
    at = street(account="usd")
    order = at.order()
    at.bursar.start_payment(order.key)
    at.bursar.cancel(order.key, who="merchant")
    at.pay(order, "usd")
    at.deliver()
    at.after(120)

    assert at.look(order).status is OrderStatus.CANCELLED
    assert at.reasons(order) == [Reason.PAID_AFTER_CANCEL]


def test_late_money_waits_for_the_merchant_who_accepts_it(street: Make) -> None:
    at = street()
    order = at.order()
    at.bursar.start_payment(order.key)
    at.after(16 * 60)
    at.deliver()
    at.pay(order, "btc")
    at.deliver()
    at.after(60)
    held = at.look(order)
    assert (held.status, at.reasons(order)) == (OrderStatus.PROCESSING, [Reason.PAID_LATE])
    assert [one.order_key for one in at.bursar.orders(needs_review=True)] == [order.key]

    accepted = at.bursar.accept(order.key, who="merchant", why="close enough")

    assert (accepted.status, accepted.reviews) == (OrderStatus.PAID, ())
    assert at.bursar.orders(needs_review=True) == []


def test_resolving_a_review_keeps_who_when_and_why(street: Make) -> None:
    at = street()
    order = at.order()
    at.bursar.start_payment(order.key)
    at.sandboxes["btc"].pay(at.look(order).payments[0].payment_id, share=Decimal(2))
    at.sandboxes["btc"].confirm(at.look(order).payments[0].payment_id)
    at.deliver()
    (review,) = at.look(order).reviews
    assert review.reason is Reason.SURPLUS

    resolved = at.bursar.resolve(order.key, review.key, who="anna", why="a tip")

    assert resolved.reviews == ()
    (act,) = resolved.document(merchant=True)["acts"]
    assert (act["kind"], act["who"], act["why"], act["subject"]) == ("resolve", "anna", "a tip", review.key)
    assert act["at"] == int(at.now)
    assert (
        at.bursar.resolve(order.key, review.key, who="anna", why="again").kept.number == resolved.kept.number
    )
    with pytest.raises(Refused, match="no open review"):
        at.bursar.resolve(order.key, "tie:1:", who="anna")


@pytest.mark.parametrize("verb", ["cancel", "fulfil", "accept"])
def test_an_act_without_a_name_or_without_sense_is_refused(street: Make, verb: str) -> None:
    at = street()
    order = at.order()

    with pytest.raises(BadInput, match="say who"):
        getattr(at.bursar, verb)(order.key, who=" ")
    with pytest.raises(BadInput, match="control character"):
        getattr(at.bursar, verb)(order.key, who="me", why="\x00")
    with pytest.raises(NotFound):
        getattr(at.bursar, verb)("no-such-order", who="me")
    if verb != "cancel":
        with pytest.raises(Refused):
            getattr(at.bursar, verb)(order.key, who="me")


def test_a_payment_made_in_the_providers_dashboard_is_adopted(street: Make) -> None:
    at = street()
    order = at.order()
    elsewhere = at.bursar.start_payment(at.order(reference="other").key)
    made = at.bridges["btcpay"].handle_request(
        httpx.Request(
            "POST",
            f"http://btcpay/api/v1/stores/{at.sandboxes['btc'].store_id}/invoices",
            headers={"Authorization": f"token {at.bursar.config.accounts['btc'].settings.api_key.reveal()}"},
            json={"amount": "20.00", "currency": "USD"},
        )
    )
    invoice = made.json()["id"]

    adopted = at.bursar.adopt(order.key, account="btc", payment_id=invoice)
    at.sandboxes["btc"].pay(invoice)
    at.sandboxes["btc"].confirm(invoice)
    at.deliver()

    assert adopted.payments[0].payment_id == invoice
    assert at.look(order).status is OrderStatus.PAID
    assert (
        at.bursar.adopt(order.key, account="btc", payment_id=invoice).kept.number
        == at.look(order).kept.number
    )
    with pytest.raises(Refused, match="belongs to order"):
        at.bursar.adopt(order.key, account="btc", payment_id=elsewhere.payment_id or "")
    with pytest.raises(Declined):
        at.bursar.adopt(order.key, account="btc", payment_id="NoSuchInvoice")


def test_an_unknown_account_is_named_with_those_there_are(street: Make) -> None:
    at = street()
    order = at.order()

    with pytest.raises(NotFound, match=r"no account 'eur'; configured: btc, usd"):
        at.bursar.start_payment(order.key, account="eur")


def test_what_was_kept_is_there_after_a_restart(street: Make) -> None:
    at = street()
    order = at.order()
    payment = at.bursar.start_payment(order.key)
    at.bursar.close()

    at.bursar = at.open()

    assert at.look(order).payments[0].payment_id == payment.payment_id
    at.pay(order, "btc")
    at.deliver()
    assert at.look(order).status is OrderStatus.PAID


def test_the_doctor_asks_every_account_and_every_shop(street: Make) -> None:
    at = street(
        more='[shops.shop]\nadapter = "http"\nurl = "https://shop.example"\nsecret = "literal:'
        + "QUJD" * 10
        + '"\n'
    )
    at.fault = lambda request: httpx.Response(401) if request.url.host == "shop.example" else None

    found = {one.name: one for one in at.bursar.check()}

    assert sorted(found) == ["accounts.btc", "accounts.usd", "shops.shop"]
    assert found["accounts.btc"].healthy
    assert not found["shops.shop"].healthy


def test_the_doctor_reports_a_service_that_is_down_and_a_plugin_that_is_broken(street: Make) -> None:
    at = street()

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "btcpay":
            raise httpx.ConnectError("refused", request=request)
        raise LookupError("a plugin's fault")

    at.fault = answer

    found = {one.name: one for one in at.bursar.check()}

    assert not found["accounts.btc"].healthy
    assert "LookupError" in found["accounts.usd"].findings[0].message
