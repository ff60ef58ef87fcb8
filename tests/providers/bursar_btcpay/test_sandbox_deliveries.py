"""How the sandbox delivers: signatures, one strict queue for each webhook, retries, restarts, redeliveries."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.testing.sandboxes import Outgoing
from bursar_btcpay.sandbox import BTCPaySandbox
from bursar_btcpay.sandbox.transport import AppTransport

START = 1_790_000_000.5
SERVER = "https://btcpay.example"
HOOK = "https://shop.example/hooks/one"


class Shop:
    def __init__(self, *, seed: int = 0) -> None:
        self.now = START
        self.sandbox = BTCPaySandbox(clock=lambda: self.now, url=SERVER, seed=seed)
        self.settings = self.sandbox.account(webhook_url=HOOK)
        headers = {"Authorization": f"token {self.settings['api_key']}"}
        base = f"{SERVER}/api/v1/stores/{self.settings['store_id']}"
        self.http = httpx.Client(transport=AppTransport(self.sandbox.app), base_url=base, headers=headers)

    def invoice(self, *, minutes: int = 15) -> str:
        body = {"amount": "20.00", "currency": "EUR", "checkout": {"expirationMinutes": minutes}}
        answer = self.http.post("/invoices", json=body)
        id: str = answer.json()["id"]
        return id

    def due(self, count: int = 1) -> Outgoing:
        batch = self.sandbox.due()
        assert len(batch) == count
        return batch[0]

    def drain(self, status: int | None = 200) -> list[dict[str, Any]]:
        bodies: list[dict[str, Any]] = []
        while batch := self.sandbox.due():
            for outgoing in batch:
                bodies.append(json.loads(outgoing.body))
                self.sandbox.answered(outgoing, status)
        return bodies

    @property
    def webhook(self) -> str:
        id: str = self.http.get("/webhooks").json()[0]["id"]
        return id

    def records(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self.http.get(f"/webhooks/{self.webhook}/deliveries").json()
        return answer


def signature(outgoing: Outgoing) -> str:
    return dict(outgoing.headers)["BTCPay-Sig"]


def signed(outgoing: Outgoing, secret: str) -> bool:
    mac = hmac.new(secret.encode(), outgoing.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature(outgoing), f"sha256={mac}")


def test_a_delivery_has_the_headers_of_the_server_in_their_order() -> None:
    shop = Shop()
    shop.invoice()
    outgoing = shop.due()
    assert [name for name, _ in outgoing.headers] == [
        "Host",
        "User-Agent",
        "Content-Type",
        "BTCPay-Sig",
        "Content-Length",
    ]
    assert dict(outgoing.headers)["User-Agent"] == "BTCPayServer/2.4.1"
    assert dict(outgoing.headers)["Content-Length"] == str(len(outgoing.body))
    assert signed(outgoing, shop.settings["webhook_secret"])


@pytest.mark.parametrize("status", [500, 503, 599, 408, 429, None])
def test_a_failed_delivery_is_tried_nine_times_in_an_hour_and_then_given_up(status: int | None) -> None:
    shop = Shop()
    id = shop.invoice(minutes=1000)
    expires = shop.http.get(f"/invoices/{id}").json()["expirationTime"]
    waits: list[float] = []
    while (at := shop.sandbox.wakes_at()) != expires + 1:
        assert at is not None
        waits.append(at - shop.now)
        shop.now = at
        shop.sandbox.answered(shop.due(), status)
    assert waits == [0, 10, 60, *[600] * 6]
    assert len(shop.records()) == 9


@pytest.mark.parametrize("status", [200, 204, 299, 301, 302, 400, 401, 403, 404, 410, 422])
def test_any_other_answer_is_final(status: int) -> None:
    shop = Shop()
    shop.invoice()
    shop.sandbox.answered(shop.due(), status)
    shop.now += 700
    assert shop.sandbox.due() == []
    assert shop.records()[0]["status"] == ("HttpSuccess" if status < 300 else "HttpError")


def test_a_failing_event_holds_back_all_later_ones_which_keep_their_old_time() -> None:
    shop = Shop()
    first = shop.invoice()
    shop.sandbox.answered(shop.due(), 500)
    shop.now += 5
    second = shop.invoice()
    assert shop.sandbox.due() == []
    shop.now += 5
    retried, held = shop.drain()
    assert (retried["invoiceId"], retried["isRedelivery"]) == (first, True)
    assert (held["invoiceId"], held["isRedelivery"]) == (second, False)
    assert held["timestamp"] == int(START + 5)


def test_another_webhook_is_not_held_back() -> None:
    shop = Shop()
    shop.http.post("/webhooks", json={"url": "https://shop.example/hooks/two"})
    shop.invoice()
    batch = shop.sandbox.due()
    assert [outgoing.url.rsplit("/", 1)[1] for outgoing in batch] == ["one", "two"]
    shop.sandbox.answered(batch[0], 500)
    shop.sandbox.answered(batch[1], 200)
    shop.invoice()
    assert shop.due().url.endswith("two")


def test_a_restart_forgets_what_waits_and_keeps_what_was_recorded() -> None:
    shop = Shop()
    shop.invoice()
    shop.sandbox.answered(shop.due(), 500)
    shop.invoice()
    shop.sandbox.restart()
    shop.now += 4000
    assert [body["type"] for body in shop.drain()] == ["InvoiceExpired", "InvoiceExpired"]
    assert (shop.records()[-1]["status"], shop.records()[-1]["httpCode"]) == ("HttpError", 500)


def test_an_answer_that_comes_after_a_restart_is_ignored() -> None:
    shop = Shop()
    shop.invoice()
    outgoing = shop.due()
    shop.sandbox.restart()
    shop.sandbox.answered(outgoing, 500)
    assert (shop.sandbox.due(), shop.records()) == ([], [])


def test_a_redelivery_has_a_new_id_the_first_ones_original_and_its_members_in_another_order() -> None:
    shop = Shop()
    id = shop.invoice()
    shop.sandbox.mark(id, "Settled")
    first = shop.drain()[-1]
    shop.now += 3
    new = shop.http.post(f"/webhooks/{shop.webhook}/deliveries/{first['deliveryId']}/redeliver").json()
    outgoing = shop.due()
    again = json.loads(outgoing.body)
    assert [name for name, _ in outgoing.headers][2] == "traceparent"
    assert again == {**first, "deliveryId": new, "isRedelivery": True}
    assert again["originalDeliveryId"] == first["deliveryId"]
    assert list(first)[:2] == ["manuallyMarked", "overPaid"]
    assert list(again)[4:8] == ["type", "timestamp", "manuallyMarked", "overPaid"]
    shop.sandbox.answered(outgoing, 200)
    newest = shop.records()[0]
    assert (newest["id"], newest["timestamp"]) == (new, int(START + 3))
    for _ in range(2):
        new = shop.http.post(f"/webhooks/{shop.webhook}/deliveries/{new}/redeliver").json()
        (last,) = shop.drain()
        assert (last["deliveryId"], last["originalDeliveryId"]) == (new, first["deliveryId"])


def test_a_first_delivery_keeps_the_secret_it_was_queued_with_and_a_repeated_one_has_the_new() -> None:
    shop = Shop()
    shop.invoice()
    old, url = shop.settings["webhook_secret"], f"/webhooks/{shop.webhook}"
    shop.http.put(url, json={"url": HOOK, "secret": "the new one"})
    outgoing = shop.due()
    assert signed(outgoing, old)
    shop.sandbox.answered(outgoing, 500)
    shop.http.put(url, json={"url": HOOK, "secret": "the newest one"})
    shop.now += 10
    assert signed(shop.due(), "the newest one")


def test_a_changed_webhook_without_a_secret_keeps_the_old_one() -> None:
    shop = Shop()
    shop.http.put(f"/webhooks/{shop.webhook}", json={"url": HOOK})
    shop.invoice()
    assert signed(shop.due(), shop.settings["webhook_secret"])
    assert shop.sandbox.account(webhook_url=HOOK) == shop.settings


def test_an_account_whose_webhook_was_deleted_gets_a_new_one() -> None:
    shop = Shop()
    shop.http.delete(f"/webhooks/{shop.webhook}")
    again = shop.sandbox.account(webhook_url=HOOK)
    shop.invoice()
    assert signed(shop.due(), again["webhook_secret"])
    assert again["webhook_secret"] != shop.settings["webhook_secret"]


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"authorizedEvents": {"everything": False, "specificEvents": ["InvoiceSettled"]}}],
)
def test_what_a_webhook_no_longer_wants_is_dropped_without_a_record(change: dict[str, Any]) -> None:
    shop = Shop()
    shop.invoice()
    shop.http.put(f"/webhooks/{shop.webhook}", json={"url": HOOK, **change})
    assert (shop.sandbox.due(), shop.records()) == ([], [])


def test_a_retry_is_not_made_once_automatic_redelivery_is_off() -> None:
    shop = Shop()
    shop.invoice()
    shop.sandbox.answered(shop.due(), 500)
    shop.http.put(f"/webhooks/{shop.webhook}", json={"url": HOOK, "automaticRedelivery": False})
    shop.now += 10
    assert shop.sandbox.due() == []


def test_a_deleted_webhook_is_known_to_be_gone_for_ten_minutes_after_it_was_last_asked_for() -> None:
    shop = Shop()
    url = f"/webhooks/{shop.webhook}"
    shop.http.delete(url)
    for wait, status in ((599, 404), (599, 404), (601, 403), (0, 403)):
        shop.now += wait
        assert shop.http.get(url).status_code == status


def test_an_expiry_is_told_one_second_after_it_though_the_clock_jumped_far_ahead() -> None:
    shop = Shop()
    id = shop.invoice()
    shop.drain()
    expires = shop.http.get(f"/invoices/{id}").json()["expirationTime"]
    assert shop.sandbox.wakes_at() == expires + 1
    shop.now = expires + 0.99
    assert shop.http.get(f"/invoices/{id}").json()["status"] == "New"
    shop.now += 5_000
    (expired,) = shop.drain()
    assert (expired["type"], expired["timestamp"]) == ("InvoiceExpired", expires + 1)


def test_nothing_wakes_the_server_for_an_invoice_that_is_done() -> None:
    shop = Shop()
    id, moved = shop.invoice(), shop.invoice()
    shop.sandbox.mark(id, "Settled")
    shop.sandbox.expire(moved)
    shop.drain()
    assert shop.sandbox.wakes_at() is None


def test_an_expiry_moved_by_hand_is_told_now_and_its_old_time_is_forgotten() -> None:
    shop = Shop()
    id = shop.invoice()
    shop.drain()
    shop.sandbox.pay(id)
    shop.drain()
    shop.sandbox.expire(id)
    # One that waits for confirmations passes its expiry in silence.
    assert shop.sandbox.wakes_at() == shop.http.get(f"/invoices/{id}").json()["monitoringExpiration"] + 1
    shop.sandbox.end_monitoring(id)
    assert [body["type"] for body in shop.drain()] == ["InvoiceInvalid"]
    assert shop.sandbox.wakes_at() is None


def test_the_same_seed_tells_the_same_story_and_another_one_other_ids() -> None:
    def story(seed: int) -> list[dict[str, Any]]:
        shop = Shop(seed=seed)
        id = shop.invoice()
        shop.sandbox.pay(id)
        shop.sandbox.confirm(id)
        return shop.drain()

    assert story(3) == story(3)
    ids = [{body["deliveryId"] for body in story(seed)} for seed in (3, 4)]
    assert ids[0].isdisjoint(ids[1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 3), max_size=6), st.integers(0, 20))
def test_the_date_of_an_answer_is_never_ahead_and_less_than_two_seconds_behind(
    waits: Sequence[float], seed: int
) -> None:
    shop = Shop(seed=seed)
    dates: list[float] = []
    for wait in [0.0, *waits]:
        shop.now += wait
        answer = shop.http.get("/invoices")
        date = httpx.Headers(answer.headers)["date"]
        dates.append(parse(date))
        assert 0 <= shop.now - dates[-1] < 2
    assert dates == sorted(dates)


def parse(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["create", "answer", "wait"]), st.sampled_from([200, 400, 429, 500, None])),
        max_size=40,
    )
)
def test_a_queue_never_lets_an_event_overtake_another(steps: list[tuple[str, int | None]]) -> None:
    shop = Shop()
    made: list[str] = []
    finished: list[str] = []
    for what, status in steps:
        if what == "create":
            made.append(shop.invoice())
        elif what == "wait":
            shop.now += 30
        elif batch := shop.sandbox.due():
            body = json.loads(batch[0].body)
            assert body["type"] == "InvoiceCreated"
            # Whatever goes out is the first that is not finished.
            assert body["invoiceId"] == made[len(finished)]
            attempts = [record for record in shop.records() if record["id"] == body["originalDeliveryId"]]
            assert body["isRedelivery"] is bool(attempts)
            shop.sandbox.answered(batch[0], status)
            if status in {200, 400}:
                finished.append(body["invoiceId"])
    assert finished == made[: len(finished)]
