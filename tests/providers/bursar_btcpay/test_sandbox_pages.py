"""The sandbox's pages: consent for an API key, the checkout, refunds, and the panel."""

import html
import json
import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from bursar_btcpay.sandbox import BTCPaySandbox
from bursar_btcpay.sandbox.ids import Ids
from bursar_btcpay.sandbox.permissions import MERCHANT
from bursar_btcpay.sandbox.transport import AppTransport

SERVER = "http://btcpay.test"
CALLBACK = "https://shop.example/bursar/connect?nonce=a%26b&x=1"


class Visit:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0
        self.sandbox = BTCPaySandbox(clock=lambda: self.now, url=SERVER)
        self.settings = self.sandbox.account(webhook_url="https://shop.example/hooks")
        self.http = httpx.Client(transport=AppTransport(self.sandbox.app), base_url=SERVER)

    def invoice(self, **members: Any) -> str:
        answer = self.http.post(
            f"/api/v1/stores/{self.settings['store_id']}/invoices",
            json={"amount": "20.00", "currency": "EUR", **members},
            headers={"Authorization": f"token {self.settings['api_key']}"},
        )
        id: str = answer.json()["id"]
        return id

    def status(self, id: str) -> str:
        invoice = self.sandbox.server.invoice(id)
        return f"{invoice.status}/{invoice.extra}"

    def press(self, action: str, id: str = "") -> httpx.Response:
        return self.http.post("/panel", data={"action": action, "id": id})

    def buttons(self) -> list[tuple[str, str]]:
        page = self.http.get("/panel").text
        return re.findall(r'name="id" value="(\w*)">\s*<button name="action" value="([\w-]+)"', page)


@pytest.fixture
def visit() -> Visit:
    return Visit()


def consent(visit: Visit, *, redirect: str = CALLBACK, **more: str) -> httpx.Response:
    query = {
        "permissions": [*MERCHANT, "btcpay.store.nobodyknows"],
        "applicationName": "Tea <shop>",
        "strict": "true",
        "selectiveStores": "true",
        "redirect": redirect,
        **more,
    }
    page = visit.http.get(f"/api-keys/authorize?{urlencode(query, doseq=True)}")
    assert page.status_code == 200
    assert "Tea &lt;shop&gt;" in page.text
    fields = fields_of(page.text)
    stores = re.findall(r'<option value="(\w+)"', page.text)
    form = [*fields, ("store", stores[0])] if stores else fields
    data: dict[str, list[str]] = {}
    for name, value in [*form, ("command", "Authorize")]:
        data.setdefault(name, []).append(value)
    return visit.http.post("/api-keys/authorize", data=data)


def fields_of(page: str) -> list[tuple[str, str]]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return [(html.unescape(name), html.unescape(value)) for name, value in found]


def test_consent_posts_a_key_of_one_store_to_the_shop_and_keeps_its_query(visit: Visit) -> None:
    page = consent(visit).text
    action = re.search(r'<form method="post" action="([^"]+)"', page)
    assert action is not None
    assert html.unescape(action[1]) == CALLBACK
    fields = fields_of(page)
    key = dict(fields)["apiKey"]
    granted = [value for name, value in fields if name == "permissions[]"]
    assert granted == [f"{name}:{visit.sandbox.store_id}" for name in sorted(MERCHANT)]
    answer = visit.http.get("/api/v1/api-keys/current", headers={"Authorization": f"token {key}"})
    assert answer.json() == {"apiKey": key, "label": "Tea <shop>", "permissions": granted}


def test_the_same_identifier_and_address_get_the_same_key_and_another_address_a_new_one(visit: Visit) -> None:
    keys = [
        dict(fields_of(consent(visit, applicationIdentifier="tea", redirect=url).text))["apiKey"]
        for url in (CALLBACK, CALLBACK, f"{CALLBACK}2")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_cancelled_consent_sends_nothing_and_makes_no_key(visit: Visit) -> None:
    before = dict(visit.sandbox.server.keys)
    page = visit.http.post("/api-keys/authorize", data={"redirect": CALLBACK, "command": "Cancel"})
    assert "shop.example" not in page.text
    assert visit.sandbox.server.keys == before


@pytest.mark.parametrize("redirect", ["/relative", "javascript:alert(1)", "https://", ""])
def test_a_key_is_never_posted_to_what_is_no_web_address(visit: Visit, redirect: str) -> None:
    page = consent(visit, redirect=redirect)
    assert "postback" not in page.text
    assert "A new key was made" in page.text


def test_a_buyer_pays_on_the_checkout_page_without_a_script(visit: Visit) -> None:
    id = visit.invoice(
        metadata={"orderId": "a&b"}, checkout={"redirectURL": "https://shop.example/r?o={OrderId}&s={status}"}
    )
    page = visit.http.get(f"/i/{id}").text
    address = visit.sandbox.server.invoice(id).address
    assert f"bitcoin:{address}?amount=0.0005" in page
    assert "https://shop.example/r?o=a%26b&amp;s=New" in page
    paid = visit.http.post(f"/i/{id}/test-payment", data={"Amount": "0.0002"})
    assert paid.headers["location"] == f"../{id}"
    assert visit.status(id) == "New/PaidPartial"
    visit.http.post(f"/i/{id}/test-payment")
    visit.http.post(f"/i/{id}/mine-blocks", data={"BlockCount": "1"})
    assert visit.status(id) == "Settled/None"
    assert "This invoice is paid." in visit.http.get(f"/i/{id}").text


@pytest.mark.parametrize(
    ("amount", "said"), [("nonsense", "not a number"), ("-1", "satoshi"), ("0.000000001", "satoshi")]
)
def test_a_wrong_amount_is_told_on_the_page(visit: Visit, amount: str, said: str) -> None:
    id = visit.invoice()
    page = visit.http.post(f"/i/{id}/test-payment", data={"Amount": amount})
    assert page.status_code == 422
    assert said in page.text
    assert visit.status(id) == "New/None"


def test_a_link_of_another_scheme_is_not_shown_to_the_buyer(visit: Visit) -> None:
    id = visit.invoice(checkout={"redirectURL": "javascript:alert(1)"})
    assert "javascript:" not in visit.http.get(f"/i/{id}").text


def test_the_status_of_the_checkout_is_open_to_anyone(visit: Visit) -> None:
    id = visit.invoice()
    visit.sandbox.pay(id)
    model = json.loads(visit.http.get(f"/i/{id}/status").text)
    assert (model["status"], model["due"], model["requiredConfirmations"]) == ("Processing", "0", 1)
    assert visit.http.get("/i/unknown/status").status_code == visit.http.get("/i/unknown").status_code == 404


def test_the_modal_offers_what_a_shop_calls(visit: Visit) -> None:
    answer = visit.http.get("/modal/btcpay.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    names = [
        "showFrame",
        "hideFrame",
        "showInvoice",
        "appendInvoiceFrame",
        "appendAndShowInvoiceFrame",
        "onModalWillEnter",
    ]
    names += ["onModalWillLeave", "setApiUrlPrefix", "onModalReceiveMessage"]
    assert all(f"{name}:" in answer.text for name in names)
    assert "x-frame-options" not in visit.http.get(f"/i/{visit.invoice()}").headers


def test_whoever_has_the_link_claims_the_refund(visit: Visit) -> None:
    id = visit.invoice()
    visit.sandbox.mark(id, "Settled")
    headers = {"Authorization": f"token {visit.settings['api_key']}"}
    body = {"refundVariant": "Custom", "customAmount": "5.00", "customCurrency": "EUR"}
    pull = visit.http.post(f"/api/v1/invoices/{id}/refund", json=body, headers=headers).json()
    page = visit.http.get(pull["viewLink"])
    assert "5.00 EUR" in page.text
    wrong = visit.http.post(pull["viewLink"], data={"Destination": "nowhere", "ClaimedAmount": ""})
    assert (wrong.status_code, "valid address" in wrong.text) == (422, True)
    visit.http.post(pull["viewLink"], data={"Destination": Ids(5).address(), "ClaimedAmount": ""})
    assert "AwaitingApproval" in visit.http.get(pull["viewLink"]).text


def test_the_panel_plays_a_whole_life_with_nothing_but_forms(visit: Visit) -> None:
    id = visit.invoice(metadata={"orderId": "<b>7</b>"})
    assert "&lt;b&gt;7&lt;/b&gt;" in visit.http.get("/panel").text
    for action, status in (
        ("pay-part", "New/PaidPartial"),
        ("pay-rest", "Processing/None"),
        ("double-spend", "New/None"),
        ("pay-over", "Processing/PaidOver"),
        ("replace", "Processing/PaidOver"),
        ("confirm", "Settled/PaidOver"),
    ):
        assert (id, action) in visit.buttons()
        answer = visit.press(action, id)
        assert (answer.status_code, answer.headers["location"]) == (303, "/panel")
        assert visit.status(id) == status
    assert (id, "invalid") not in visit.buttons()
    assert visit.press("invalid", id).status_code == 422


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        (["expire"], "Expired/None"),
        (["pay-late"], "Expired/PaidLate"),
        (["pay-part", "expire"], "Expired/PaidPartial"),
        (["pay", "end-monitoring"], "Invalid/None"),
        (["settled", "invalid"], "Invalid/Marked"),
        (["pay-replaceable", "mine"], "Settled/None"),
    ],
)
def test_each_button_leads_where_it_says(visit: Visit, actions: list[str], status: str) -> None:
    id = visit.invoice()
    for action in actions:
        assert visit.press(action, id).status_code == 303
    assert visit.status(id) == status


def test_the_panel_claims_approves_and_pays_a_refund(visit: Visit) -> None:
    id = visit.invoice()
    visit.press("settled", id)
    headers = {"Authorization": f"token {visit.settings['api_key']}"}
    body = {"refundVariant": "Fiat"}
    pull = visit.http.post(f"/api/v1/invoices/{id}/refund", json=body, headers=headers).json()["id"]
    visit.press("claim", pull)
    (payout,) = visit.sandbox.server.refunds.payouts
    for action in ("approve", "send", "mine"):
        visit.press(action, payout)
    assert visit.sandbox.server.refunds.payouts[payout].state == "Completed"
    assert "Completed" in visit.http.get("/panel").text


def test_the_panel_shows_what_was_sent_and_what_waits(visit: Visit) -> None:
    visit.invoice()
    visit.invoice()
    (outgoing,) = visit.sandbox.due()
    visit.sandbox.answered(outgoing, 500)
    page = visit.http.get("/panel").text
    assert "HttpError: HTTP Error Code 500" in page
    assert re.search(r"waits, in 10 s, retry 1\s*</td>", page)
    assert visit.settings["webhook_secret"] not in page
    assert visit.settings["api_key"] not in page


def test_a_button_that_there_is_not_is_refused(visit: Visit) -> None:
    assert visit.press("explode").status_code == 422
    assert visit.press("pay", "unknown").status_code == 422
