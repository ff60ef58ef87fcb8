import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bursar.effects import Driver
from bursar.errors import BadDelivery, Busy, ConfigError, CurrencyMismatch, OutcomeUnknown
from bursar.lifecycle import OrderStatus
from bursar.providers import Delivery, Reading
from bursar.receiving import receive
from bursar.signatures import STANDARD_WEBHOOKS
from bursar.testing.stage import Stage
from bursar.work import Applied, Work


class Inbox(Stage):
    """A BTCPay account, and deliveries signed as its server would sign them."""

    def signed(self, body: bytes) -> dict[str, str]:
        secret = self.config.accounts["main"].settings.webhook_secret.reveal().encode()
        return {"BTCPay-Sig": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}

    def event(self, **members: Any) -> bytes:
        told = {"type": "InvoiceCreated", "storeId": self.sandbox.store_id, "timestamp": int(self.now)}
        return json.dumps(told | members).encode()

    def take(self, body: bytes, **headers: str) -> int:
        return self.bursar.receive("main", body, self.signed(body) | headers).status


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with Inbox("btcpay", tmp_path_factory.mktemp("inbox")) as one:
        yield one


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox("btcpay", tmp_path) as one:
        yield one


def test_a_genuine_delivery_is_kept_byte_for_byte_before_it_is_answered(fresh: Inbox) -> None:
    order = fresh.order()
    invoice = fresh.start(order).payment_id
    body = b'  {"type": "InvoiceProcessing", "storeId": "%s", "invoiceId": "%s", "timestamp": %d}\n' % (
        fresh.sandbox.store_id.encode(),
        str(invoice).encode(),
        int(fresh.now),
    )

    assert fresh.take(body, **{"X-Trace": "7"}) == 200

    kept = next(d for d in fresh.bursar.deliveries(order.key) if d.event == "InvoiceProcessing")
    assert kept.body == body
    assert kept.headers["x-trace"] == "7"
    assert fresh.look(order).status is OrderStatus.PROCESSING


def test_a_delivery_that_comes_again_is_answered_well_and_changes_nothing(fresh: Inbox) -> None:
    order = fresh.order()
    body = fresh.event(invoiceId=fresh.start(order).payment_id, type="InvoiceProcessing")

    answers = [fresh.bursar.receive("main", body, fresh.signed(body)) for _ in range(3)]

    assert [(a.status, a.text) for a in answers] == [
        (200, "kept"),
        (200, "kept already"),
        (200, "kept already"),
    ]
    assert len([d for d in fresh.bursar.deliveries(order.key) if d.body == body]) == 1


@pytest.mark.parametrize("account", ["", "other", "../main", "\x00", "MAIN"])
def test_an_unknown_account_is_not_found(inbox: Inbox, account: str) -> None:
    body = inbox.event(invoiceId="i")

    assert inbox.bursar.receive(account, body, inbox.signed(body)).status == 404


@settings(max_examples=60)
@given(body=st.binary(max_size=400), signature=st.text(max_size=90))
def test_a_forgery_is_always_refused_for_good_and_leaves_nothing(
    inbox: Inbox, body: bytes, signature: str
) -> None:
    before = inbox.bursar.deliveries("")

    answer = inbox.bursar.receive("main", body, {"btcpay-sig": signature})

    assert answer.status == 401
    assert inbox.bursar.deliveries("") == before


@settings(max_examples=80)
@given(
    body=st.binary(max_size=300)
    | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_whatever_is_genuine_is_kept_and_answered_well_even_what_nobody_can_read(
    inbox: Inbox, body: bytes
) -> None:
    assert inbox.take(body) == 200
    assert body in [kept.body for kept in inbox.bursar.deliveries("")]


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["InvoiceCreated", "InvoiceReceivedPayment", "PayoutCreated", "InvoiceRefund"]),
    members=st.dictionaries(
        st.sampled_from(["invoiceId", "pullPaymentId", "payoutId", "timestamp", "deliveryId", "payment"]),
        st.none()
        | st.text(max_size=12)
        | st.integers()
        | st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    ),
    escaped=st.booleans(),
)
def test_a_genuine_event_with_any_members_at_all_is_answered_well(
    inbox: Inbox, kind: str, members: dict[str, Any], *, escaped: bool
) -> None:
    told = {"type": kind, "storeId": inbox.sandbox.store_id, "timestamp": 1, **members}
    body = json.dumps(told, ensure_ascii=escaped).encode("utf-8", "surrogatepass")

    assert inbox.take(body) == 200


@pytest.mark.parametrize(
    "headers",
    [{"x": "\ud800"}, {"x\ud800": "y"}, {"x": "\x00"}, {f"x{n}": "y" * 500 for n in range(500)}],
)
def test_headers_that_no_database_keeps_do_not_cost_the_delivery(
    fresh: Inbox, headers: dict[str, str]
) -> None:
    body = fresh.event(invoiceId="i")

    assert fresh.take(body, **headers) == 200
    assert len(fresh.bursar.parked()) + len(fresh.bursar.deliveries("")) == 1


class Store:
    """Take work, or fail as *failures* say, one after another."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.taken = list(failures), list[Any]()

    def submit(self, work: Work) -> "Future[Applied]":
        future = Future[Applied]()
        if self.failures:
            future.set_exception(self.failures.pop(0))
        else:
            self.taken.append(work)
            future.set_result(Applied(None))
        return future


Take = Callable[..., tuple[int, int | None]]


@pytest.fixture
def take(inbox: Inbox) -> Take:
    def carry(store: Store, desk: Any = None) -> tuple[int, int | None]:
        body = inbox.event(invoiceId="i")
        operation = receive(desk or inbox.bursar.desk, "main", body, inbox.signed(body))
        answer = Driver(store, inbox.bursar.client)(operation)
        return answer.status, answer.retry_after

    return carry


@pytest.mark.parametrize(
    "failure", [Busy("full"), OutcomeUnknown("the database went away"), OSError("disk full"), LookupError()]
)
def test_our_own_trouble_asks_the_service_to_come_again(take: Take, failure: Exception) -> None:
    store = Store(failure)

    status, again = take(store)

    assert (status, store.taken) == (503, [])
    assert again


@pytest.mark.parametrize("failure", [BadDelivery("a NUL"), CurrencyMismatch("EUR and USD met")])
def test_a_delivery_that_would_fail_every_time_is_kept_without_its_effect_and_blocks_nothing(
    take: Take, failure: Exception
) -> None:
    store = Store(failure)

    with capture_logs() as logs:
        status, _ = take(store)

    (kept,) = store.taken
    assert status == 200
    assert (kept.event, kept.seen) == ("unreadable", ())
    assert any(line["log_level"] == "error" for line in logs)


def test_where_even_that_fails_the_service_is_asked_to_come_again(take: Take) -> None:
    assert take(Store(BadDelivery("a NUL"), BadDelivery("still")))[0] == 503


@pytest.mark.parametrize(
    "fault", [BadDelivery("no"), ConfigError("half set up"), RecursionError(), LookupError("x")]
)
def test_what_a_plugin_fails_to_read_is_kept_as_it_came(inbox: Inbox, take: Take, fault: Exception) -> None:
    class Broken:
        scheme = inbox.bursar.desk.accounts["main"].provider.scheme
        secrets = inbox.bursar.desk.accounts["main"].provider.secrets

        def read_webhook(self, delivery: Delivery) -> Reading:
            raise fault

    account = attrs.evolve(inbox.bursar.desk.accounts["main"], provider=Broken())  # type: ignore[arg-type]
    store = Store()

    status, _ = take(store, attrs.evolve(inbox.bursar.desk, accounts={"main": account}))

    assert status == 200
    assert (store.taken[0].event, store.taken[0].seen) == ("unreadable", ())


def test_a_secret_that_is_no_key_is_our_trouble_not_the_services(inbox: Inbox, take: Take) -> None:
    class Misconfigured:
        scheme = STANDARD_WEBHOOKS

        def secrets(self) -> list[bytes]:
            return [b"whsec_???"]

    account = attrs.evolve(inbox.bursar.desk.accounts["main"], provider=Misconfigured())  # type: ignore[arg-type]
    desk = attrs.evolve(inbox.bursar.desk, accounts={"main": account})
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(desk.now),
        "webhook-signature": "v1," + "A" * 43 + "=",
    }

    answer = Driver(Store(), inbox.bursar.client)(receive(desk, "main", b"{}", headers))

    assert answer.status == 503
