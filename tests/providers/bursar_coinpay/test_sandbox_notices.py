import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import BadInput, NotFound
from bursar.testing.sandboxes import Outgoing
from bursar_coinpay.sandbox.outbox import QUEUE_MINUTES
from bursar_coinpay.sandbox.writing import number_text, reordered, to_json

URL = "http://coinpay.test"
Make = Callable[..., Any]


def signed_by(secret: str, outgoing: Outgoing) -> bool:
    header = dict(outgoing.headers)["X-CoinPay-Signature"]
    at, _, mac = header.removeprefix("t=").partition(",v1=")
    message = f"{at}.".encode() + outgoing.body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() == mac


def test_a_refused_notice_is_tried_twice_more_with_one_signature_and_then_queued_with_new_ones(
    bench: Make,
) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    start = at.clock.now
    tries: list[tuple[float, bytes, tuple[tuple[str, str], ...]]] = []
    while at.sandbox.outbox.wakes_at() is not None:
        at.clock.now = at.sandbox.outbox.wakes_at()
        for outgoing in at.sandbox.due():
            if outgoing.event == "payment.confirmed":
                tries.append((at.clock.now - start, outgoing.body, outgoing.headers))
                assert signed_by(at.account["webhook_secret"], outgoing)
            at.sandbox.answered(outgoing, 500)

    assert [at for at, _, _ in tries] == [0, 1, 3, *(3 + minutes * 60 for minutes in QUEUE_MINUTES)]
    assert len({(body, headers) for _, body, headers in tries[:3]}) == 1
    assert len({headers for _, _, headers in tries[3:]}) == 8
    first, queued = json.loads(tries[0][1]), json.loads(tries[3][1])
    assert first == queued
    assert list(first["data"]) != list(queued["data"])
    assert list(queued["data"])[:2] == ["amount", "status"]


def test_a_notice_that_got_no_answer_goes_to_the_queue_at_once(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.told(None)

    assert at.sandbox.outbox.wakes_at() == at.clock.now + 60


def test_a_notice_of_the_cron_is_never_tried_again(bench: Make) -> None:
    at = bench(worker="B")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.told(500)
    at.after(180)
    kinds = at.told()
    at.after(86_400)

    assert "payment.confirmed" not in kinds
    assert at.told() == []


def test_two_events_of_one_second_share_an_id(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)

    ids = {json.loads(outgoing.body)["id"] for outgoing in at.sandbox.due()}

    assert ids == {f"evt_{payment_id}_{int(at.clock.now)}"}


def test_another_address_makes_another_secret_and_the_queue_signs_with_it(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    at.told(None)
    moved = at.sandbox.account(webhook_url="https://shop.test/other")
    at.after(60)

    (outgoing, *_) = at.sandbox.due()

    assert moved["webhook_secret"] != at.account["webhook_secret"]
    assert outgoing.url == "https://shop.test/other"
    assert signed_by(moved["webhook_secret"], outgoing)
    assert at.sandbox.account(webhook_url="https://shop.test/other") == moved


def test_an_answer_to_nothing_is_refused(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create()
    at.sandbox.pay(payment_id)
    at.sandbox.confirm(payment_id)
    outgoing = at.sandbox.due()[0]
    at.sandbox.answered(outgoing, 200)

    with pytest.raises(BadInput, match="not under way"):
        at.sandbox.answered(outgoing, 200)
    with pytest.raises(NotFound):
        at.sandbox.pay("none")


def test_the_panel_plays_a_payment_from_a_browser_without_scripts(bench: Make) -> None:
    at = bench(worker="A")
    payment_id = at.create(description="<script>alert(1)</script>")
    panel = at.client.get(f"{URL}/panel")
    assert payment_id in panel.text
    assert "<script" not in panel.text

    for verb in ("pay-part", "double-spend", "pay", "confirm"):
        answer = at.client.post(f"{URL}/panel/{payment_id}/{verb}")
        assert answer.status_code == 303

    assert at.status(payment_id) == "forwarded"
    assert "delivered" not in at.client.get(f"{URL}/panel").text
    at.told()
    assert "delivered" in at.client.get(f"{URL}/panel").text
    assert at.client.post(f"{URL}/panel/none/pay").status_code == 303
    assert "is not" not in at.client.get(f"{URL}/pay/{payment_id}").text


def test_the_panel_pays_late_and_sends_tests_and_sets_faults(bench: Make) -> None:
    at = bench(worker="D")
    payment_id = at.create(payment_method="both")

    at.client.post(f"{URL}/panel/{payment_id}/pay-late")
    at.client.post(f"{URL}/panel/{payment_id}/card-decline")
    at.client.post(f"{URL}/panel/test")
    at.client.post(f"{URL}/panel/{payment_id}/worker", data={"worker": "B"})
    at.client.post(f"{URL}/panel/fault", data={"fault": "crash"})

    assert at.told()[:3] == ["payment.confirmed", "payment.failed", "test.webhook"]
    assert at.sandbox.row(payment_id).worker == "B"
    assert at.post("/payments/create", {"amount": 5, "blockchain": "BTC"}).status_code == 500
    assert "there is no" in at.client.post(f"{URL}/panel/{payment_id}/rob").headers["location"].replace(
        "+", " "
    ).replace("%20", " ")


def test_the_card_page_declines_pays_and_leads_back(bench: Make) -> None:
    at = bench()
    payment_id = at.create(payment_method="both", success_url="https://shop.test/done")
    card = at.sandbox.row(payment_id).card
    assert card is not None

    assert "Pay 50.00 USD by card" in at.client.get(card.url).text
    assert "declined" in at.client.post(card.url, data={"decline": "1"}).text
    assert at.client.post(card.url, data={"pay": "1"}).headers["location"] == "https://shop.test/done"
    assert at.status(payment_id) == "confirmed"


@settings(deadline=None)
@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=0, max_value=10**9))
def test_numbers_are_written_as_javascript_does_and_stay_what_they_are(number: Decimal) -> None:
    text = number_text(number)

    assert Decimal(text) == number
    assert ("e" in text) == (0 < number < Decimal("0.000001"))


def test_a_stored_body_has_its_members_in_the_databases_order() -> None:
    body = {"payment_id": 1, "amount": {"b": 1, "aa": 2, "a": [{"yy": 1, "x": Decimal("1.20")}]}, "status": 3}

    assert (
        to_json(reordered(body))
        == '{"amount":{"a":[{"x":1.2,"yy":1}],"b":1,"aa":2},"status":3,"payment_id":1}'
    )
