"""What the sandbox refuses, and how: beyond the recorded refusals, which the stories play."""

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bursar.errors import BadInput, NotFound, Refused
from bursar_btcpay.sandbox import BTCPaySandbox
from bursar_btcpay.sandbox.permissions import KNOWN, MERCHANT
from bursar_btcpay.sandbox.transport import AppTransport

NOW = 1_790_000_000.0
SERVER = "https://btcpay.example/btcpay"


class Shop:
    def __init__(self, permissions: tuple[str, ...] = MERCHANT) -> None:
        self.now = NOW
        self.sandbox = BTCPaySandbox(clock=lambda: self.now, url=SERVER)
        self.key = self.sandbox.make_key("shop", permissions)
        self.store = f"/stores/{self.sandbox.store_id}"
        transport = AppTransport(self.sandbox.app)
        self.http = httpx.Client(
            transport=transport,
            base_url="https://inside.example/api/v1",
            headers={"Authorization": f"token {self.key}"},
        )

    def create(self, body: Any) -> httpx.Response:
        return self.http.post(f"{self.store}/invoices", json=body)

    def invoice(self, **members: Any) -> str:
        answer = self.create({"amount": "20.00", "currency": "EUR", **members})
        assert answer.status_code == 200, answer.text
        id: str = answer.json()["id"]
        return id


@pytest.fixture
def shop() -> Shop:
    return Shop()


def exact(answer: httpx.Response) -> Any:
    return json.loads(answer.text, parse_float=Decimal)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("10.005", "10.01"),
        ("10.999", "11.00"),
        ("1,000.00", "1000.00"),
        (" 10", "10"),
        ("10", "10"),
        (0, "0.0"),
        ("0.004", None),
        (None, "0.0"),
        ("  ", "0.0"),
    ],
)
def test_an_amount_is_rounded_as_the_server_rounds_it(shop: Shop, sent: Any, answered: str | None) -> None:
    answer = shop.create({"amount": sent, "currency": "usd"})
    if answered is None:
        assert (answer.status_code, answer.json()["code"]) == (400, "generic-error")
    else:
        assert (answer.json()["amount"], answer.json()["currency"]) == (answered, "USD")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"amount": "-1"}, "Amount"),
        ({"amount": "18446744073709551616"}, "Amount"),
        ({"amount": "1e30"}, "amount"),
        ({"amount": "1 0"}, "amount"),
        ({"amount": True}, "amount"),
        ({"metadata": [1]}, "metadata"),
        ({"checkout": {"speedPolicy": "Fast"}}, "checkout.speedPolicy"),
        ({"checkout": {"expirationMinutes": 1.5}}, "checkout.expirationMinutes"),
        ({"checkout": {"paymentMethods": ["BTC-CHAIN", "NOPE"]}}, "Checkout.PaymentMethods[1]"),
        ({"checkout": {"defaultLanguage": "xx"}}, "Checkout.DefaultLanguage"),
        ({"checkout": {"paymentTolerance": 100.01}}, "Checkout.PaymentTolerance"),
        ({"checkout": "no object"}, "checkout"),
        ({"additionalSearchTerms": "no list"}, "additionalSearchTerms"),
    ],
)
def test_an_order_that_cannot_be_read_is_422_and_names_the_member(shop: Shop, body: Any, path: str) -> None:
    answer = shop.create({"amount": "10", "currency": "EUR", **body})
    assert answer.status_code == 422
    assert path in {error["path"] for error in answer.json()}
    assert shop.sandbox.payments() == ()


def test_a_permission_is_checked_before_the_body_and_before_the_object() -> None:
    shop = Shop(("btcpay.store.canviewinvoices",))
    for method, path in (("POST", "invoices"), ("POST", "invoices/unknown/status"), ("POST", "webhooks")):
        answer = shop.http.request(method, f"{shop.store}/{path}", content=b"\xff")
        assert (answer.status_code, answer.json()["code"]) == (403, "missing-permission")


def test_a_key_that_holds_the_parent_has_the_children() -> None:
    shop = Shop(("btcpay.store.canmodifystoresettings",))
    id = shop.invoice()
    for path in ("invoices", f"invoices/{id}", "webhooks", "payouts", "pull-payments", "rates"):
        assert shop.http.get(f"{shop.store}/{path}").status_code == 200


def test_an_unknown_object_is_403_and_never_tells_whether_it_exists(shop: Shop) -> None:
    other = shop.sandbox.server.add_store("other").id
    key = shop.sandbox.make_key("other", sorted(KNOWN), store_id=other)
    foreign = shop.http.get(f"/invoices/{shop.invoice()}", headers={"Authorization": f"token {key}"})
    unknown = shop.http.get("/invoices/unknown", headers={"Authorization": f"token {key}"})
    assert (foreign.status_code, foreign.text) == (403, unknown.text)


def test_an_object_is_not_found_below_a_store_that_it_is_not_of(shop: Shop) -> None:
    other, id = shop.sandbox.server.add_store("other").id, shop.invoice()
    # A key for all stores of its user.
    key = shop.sandbox.server.add_key("all", ["btcpay.store.canviewinvoices"]).secret
    headers = {"Authorization": f"token {key}"}
    assert shop.http.get(f"{shop.store}/invoices/{id}", headers=headers).status_code == 200
    assert shop.http.get(f"/stores/{other}/invoices/{id}", headers=headers).status_code == 403


def test_a_refund_is_claimed_in_parts_and_never_beyond_its_amount(shop: Shop) -> None:
    id = shop.invoice()
    shop.sandbox.mark(id, "Settled")
    pull = shop.http.post(f"/invoices/{id}/refund", json={"refundVariant": "Fiat"}).json()["id"]
    first = shop.sandbox.claim_refund(pull, amount=Decimal("12.00"))
    with pytest.raises(Refused, match="overdraft"):
        shop.sandbox.claim_refund(pull, amount=Decimal("8.01"))
    shop.sandbox.cancel_payout(first)
    shop.sandbox.claim_refund(pull, amount=Decimal("20.00"))


def test_no_answer_and_no_message_shows_a_key_but_the_one_about_the_key_itself(shop: Shop) -> None:
    settings = shop.sandbox.account(webhook_url="https://shop.example/hooks")
    hidden = (settings["api_key"], settings["webhook_secret"])
    texts = [
        shop.http.get(f"{shop.store}{path}").text for path in ("", "/webhooks", "/invoices", "/nonsense")
    ]
    texts += [repr(shop.sandbox.server.keys), repr(shop.sandbox.server.post.webhooks)]
    assert not any(secret in text for secret in hidden for text in texts[:-2])
    assert settings["webhook_secret"] not in texts[-1]


def test_links_are_built_from_the_host_that_the_request_named(shop: Shop) -> None:
    # As on a real server: a shop that calls an inner address gets links that no buyer can follow.
    id = shop.invoice()
    link = shop.http.get(f"/invoices/{id}").json()["checkoutLink"]
    assert link == f"https://inside.example/btcpay/i/{id}"


def test_marking_answers_with_the_invoice_as_it_was_before(shop: Shop) -> None:
    id = shop.invoice()
    marked = shop.http.post(f"/invoices/{id}/status", json={"status": "settled"})
    assert (marked.status_code, marked.json()["status"]) == (200, "New")
    read = shop.http.get(f"/invoices/{id}").json()
    assert (read["status"], read["additionalStatus"]) == ("Settled", "Marked")


def test_an_invoice_of_nothing_settles_at_once_and_its_answer_still_says_new(shop: Shop) -> None:
    answer = shop.create({"amount": "0", "currency": "EUR"}).json()
    assert (answer["status"], answer["amount"], answer["checkout"]["paymentMethods"]) == ("New", "0.0", [])
    read = shop.http.get(f"/invoices/{answer['id']}").json()
    assert (read["status"], read["additionalStatus"]) == ("Settled", "None")
    assert shop.http.get(f"/invoices/{answer['id']}/payment-methods").json() == []
    with pytest.raises(Refused, match="no address"):
        shop.sandbox.pay(answer["id"])


def test_an_invoice_only_marked_settled_can_be_refunded_in_full_and_that_often(shop: Shop) -> None:
    id = shop.invoice()
    shop.sandbox.mark(id, "Settled")
    body = {"refundVariant": "Fiat", "payoutMethods": ["BTC-CHAIN"], "name": "operation 1"}
    answers = [shop.http.post(f"/invoices/{id}/refund", json=body).json() for _ in range(3)]
    assert [answer["amount"] for answer in answers] == ["20.00"] * 3
    pulls = shop.http.get(
        f"{shop.store}/pull-payments", headers={"Authorization": f"token {shop.key}"}
    ).json()
    assert [pull["name"] for pull in pulls] == ["operation 1"] * 3


def test_a_refund_of_everything_less_everything_crashes_the_server(shop: Shop) -> None:
    id = shop.invoice()
    shop.sandbox.mark(id, "Settled")
    body = {"refundVariant": "Fiat", "subtractPercentage": "100"}
    answer = shop.http.post(f"/invoices/{id}/refund", json=body)
    assert (answer.status_code, answer.text) == (500, "")


def test_a_search_finds_an_order_id_exactly_and_no_other_metadata(shop: Shop) -> None:
    id = shop.invoice(metadata={"orderId": 42, "attempt": "needle"}, additionalSearchTerms=["attempt-1"])

    def found(query: str) -> list[str]:
        return [invoice["id"] for invoice in shop.http.get(f"{shop.store}/invoices?{query}").json()]

    assert found("orderId=42") == found("textSearch=attempt") == found(f"textSearch={id[:8]}") == [id]
    assert found("orderId=4") == found("textSearch=needle") == found("status=settled") == []
    assert found("status=Typo") == [id]


def test_numbers_in_metadata_come_back_as_they_were_sent(shop: Shop) -> None:
    content = b'{"amount": 10.10, "currency": "EUR", "metadata": {"big": 1e400, "small": 0.10, "int": 12345678901234567890123}}'
    headers = {"Content-Type": "application/json"}
    answer = shop.http.post(f"{shop.store}/invoices", content=content, headers=headers)
    assert exact(answer)["amount"] == "10.10"
    assert exact(answer)["metadata"] == {
        "big": Decimal("1e400"),
        "small": Decimal("0.10"),
        "int": 12345678901234567890123,
    }


def test_an_unpaid_invoice_is_deleted_half_a_year_after_it_expired(shop: Shop) -> None:
    id, paid = shop.invoice(), shop.invoice()
    shop.sandbox.pay(paid)
    shop.now += 185 * 86_400
    assert shop.http.get(f"/invoices/{id}").status_code == 403
    assert shop.http.get(f"/invoices/{paid}").json()["status"] == "Invalid"
    assert shop.sandbox.payments() == (paid,)


def test_the_verbs_say_what_is_wrong(shop: Shop) -> None:
    id = shop.invoice()
    with pytest.raises(NotFound, match="no invoice 'nope'"):
        shop.sandbox.pay("nope")
    with pytest.raises(BadInput, match="whole satoshi"):
        shop.sandbox.send(id, Decimal("0.000000001"))
    with pytest.raises(Refused, match="no unconfirmed payment"):
        shop.sandbox.replace(id)
    with pytest.raises(NotFound, match="no payout"):
        shop.sandbox.approve_payout("nope")
    with pytest.raises(BadInput, match="not 'Expired'"):
        shop.sandbox.mark(id, "Expired")
    with pytest.raises(BadInput, match="no permission"):
        shop.sandbox.make_key("wrong", ["btcpay.store.nope"])
    shop.sandbox.mark(id, "Settled")
    with pytest.raises(Refused, match="not to be marked Settled"):
        shop.sandbox.mark(id, "Settled")
    pull = shop.http.post(f"/invoices/{id}/refund", json={"refundVariant": "Fiat"}).json()["id"]
    payout = shop.sandbox.claim_refund(pull)
    with pytest.raises(Refused, match="overdraft"):
        shop.sandbox.claim_refund(pull, amount=Decimal("0.01"))
    with pytest.raises(Refused, match="not in a state"):
        shop.sandbox.pay_payout(payout)
