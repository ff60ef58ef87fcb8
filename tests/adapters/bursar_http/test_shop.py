import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

import bursar_http
from bursar import plugins
from bursar.adapters import Adapter, Converged, Standpoint
from bursar.errors import BadDelivery, BadSignature, BursarError, ConfigError, Unavailable
from bursar.flows import Flow, make_client, run
from bursar.providers import Level
from bursar.secrets import Secret
from bursar.signatures import STANDARD_WEBHOOKS, sign
from bursar_http.shop import HttpShop

NOW = 1_785_240_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "QUJD" * 10
Make = Callable[..., HttpShop]


def carry(flow: Flow[Any], *answers: httpx.Response) -> tuple[list[httpx.Request], Any]:
    requests: list[httpx.Request] = []
    try:
        requests.append(next(flow))
        for answer in answers:
            requests.append(flow.send(answer))
    except StopIteration as done:
        return requests, done.value
    pytest.fail(f"it asks for more: {requests[-1].url}")


def sent(shop: HttpShop, standpoint: Standpoint, *, now: int = NOW) -> httpx.Request:
    (request,), _ = carry(shop.converge(standpoint, now=now), httpx.Response(204))
    return request


def test_the_plugin_brings_an_adapter_of_the_name_it_is_configured_by(make_shop: Make) -> None:
    assert plugins.adapter("http") is HttpShop
    assert isinstance(make_shop(), Adapter)


def test_the_shop_is_told_the_order_as_it_stands_in_one_message(
    make_shop: Make, standpoint: Standpoint
) -> None:
    request = sent(make_shop(), standpoint)

    assert (request.method, str(request.url)) == ("POST", "https://shop.example/bursar?from=pay")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content, parse_float=Decimal) == {
        "type": "order.changed",
        "number": 7,
        "at": NOW,
        "order": {
            "key": "01890a5d-ac96-774b-bcce-b302099a8057",
            "shop": "shop",
            "reference": "1001 ü",
            "status": "paid",
            "flags": ["money_seen"],
            "reviews": [],
            "currency": "EUR",
            "amount": "49.90",
            "received": "49.90",
            "credited": "49.90",
            "surplus": "0.00",
            "shortfall": "0.00",
            "refunded": "0.00",
            "refund_under_way": "10.00",
            "refunds": [
                {
                    "number": 1,
                    "payment": 1,
                    "status": "waiting_for_buyer",
                    "amount": "10.00",
                    "paid": "0.00",
                    "links": ["https://pay.example/claim/1"],
                    "transactions": [],
                    "reason": "broken",
                }
            ],
            "payment_ids": ["inv-1"],
        },
    }


def test_neither_secret_nor_the_buyers_token_is_in_the_message(
    make_shop: Make, standpoint: Standpoint
) -> None:
    request = sent(make_shop(old_secrets=(Secret(OLD),)), standpoint)

    for secret in (SECRET, OLD, standpoint.order.token):
        assert secret.removeprefix("whsec_") not in str(request.headers.raw) + request.content.decode()


def test_the_standards_own_library_accepts_the_message(make_shop: Make, standpoint: Standpoint) -> None:
    # The library reads the clock itself, so this message is of now.
    request = sent(make_shop(), standpoint, now=int(time.time()))

    message = Webhook(SECRET).verify(request.content, dict(request.headers))

    assert message["order"]["status"] == "paid"
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(request.content, dict(request.headers))


def test_while_a_secret_changes_over_both_secrets_prove_the_message(
    make_shop: Make, standpoint: Standpoint
) -> None:
    request = sent(make_shop(old_secrets=(Secret(OLD),)), standpoint, now=int(time.time()))

    for secret in (SECRET, OLD):
        assert Webhook(secret).verify(request.content, dict(request.headers))["number"] == 7


def test_a_repetition_has_the_same_id_and_a_later_change_another(
    make_shop: Make, at_number: Callable[[int], Standpoint]
) -> None:
    ids = [
        sent(make_shop(), at_number(n), now=NOW + i).headers["webhook-id"] for i, n in enumerate([7, 7, 8])
    ]

    assert ids[0] == ids[1] != ids[2]
    assert "." not in ids[0], "the dot separates what is signed"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_means_that_the_shop_is_in_step(make_shop: Make, standpoint: Standpoint, status: int) -> None:
    _, result = carry(make_shop().converge(standpoint, now=NOW), httpx.Response(status))

    assert result == Converged(wrote=("change 7",))


@pytest.mark.parametrize("status", [100, 304, 400, 401, 404, 409, 410, 418, 429, 500, 503])
def test_any_other_answer_means_that_it_is_told_again(
    make_shop: Make, standpoint: Standpoint, status: int
) -> None:
    with pytest.raises(Unavailable, match=f"shop answered {status} to msg_"):
        carry(make_shop().converge(standpoint, now=NOW), httpx.Response(status))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Tue, 28 Jul 2026 12:10:00 GMT", 600),
        ("Tue, 28 Jul 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_the_shop_says_when_it_wants_to_be_told_again(
    make_shop: Make, standpoint: Standpoint, header: str, seconds: int | None
) -> None:
    answer = httpx.Response(503, headers={"Retry-After": header})

    with pytest.raises(Unavailable) as raised:
        carry(make_shop().converge(standpoint, now=NOW), answer)

    assert raised.value.retry_after == seconds


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_so_that_no_order_goes_astray(
    make_shop: Make, standpoint: Standpoint, status: int
) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(status, headers={"Location": "https://elsewhere.example/"})

    with (
        make_client(httpx.MockTransport(answer)) as client,
        pytest.raises(BursarError, match=r"elsewhere.*set the base URL"),
    ):
        run(make_shop().converge(standpoint, now=NOW), client)
    assert seen == ["shop.example"]


def test_the_time_limit_of_the_settings_holds_for_the_request(
    make_shop: Make, standpoint: Standpoint
) -> None:
    limits: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200)

    with make_client(httpx.MockTransport(answer)) as client:
        run(make_shop(timeout=7).converge(standpoint, now=NOW), client)

    assert limits == [7]


def test_the_doctor_sends_a_signed_ping(make_shop: Make) -> None:
    requests, findings = carry(make_shop().check(now=NOW), httpx.Response(200))

    message = bursar_http.verify(requests[0].content, requests[0].headers, SECRET, now=NOW)
    assert message == {"type": "ping", "at": NOW}
    assert [finding.level for finding in findings] == [Level.OK]


@pytest.mark.parametrize(
    ("status", "cure"),
    [(401, "secret is the same"), (404, "see that url"), (410, "take the shop out"), (500, "shop's log")],
)
def test_the_doctor_says_what_to_do_about_a_shop_that_refuses(
    make_shop: Make, status: int, cure: str
) -> None:
    _, (finding,) = carry(make_shop().check(now=NOW), httpx.Response(status))

    assert finding.level is Level.ERROR
    assert str(status) in finding.message
    assert cure in finding.cure


def test_a_python_shop_proves_the_message_with_one_call(make_shop: Make, standpoint: Standpoint) -> None:
    request = sent(make_shop(), standpoint)

    message = bursar_http.verify(request.content, request.headers, SECRET, now=NOW + 60)

    assert (message["type"], message["order"]["reference"]) == ("order.changed", "1001 ü")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "not base64"])
def test_a_shop_without_a_real_secret_trusts_nobody(
    make_shop: Make, standpoint: Standpoint, secret: str
) -> None:
    request = sent(make_shop(), standpoint)

    with pytest.raises(ConfigError, match="openssl rand"):
        bursar_http.verify(request.content, request.headers, secret, now=NOW)


@pytest.mark.parametrize("late", [-301, 301])
def test_a_message_of_another_time_is_not_trusted(make_shop: Make, standpoint: Standpoint, late: int) -> None:
    request = sent(make_shop(), standpoint)

    with pytest.raises(BadSignature):
        bursar_http.verify(request.content, request.headers, SECRET, now=NOW + late)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"type": 1}', b"[" * 100_000])
def test_signed_bytes_that_are_no_message_are_refused_as_such(body: bytes) -> None:
    signed = sign(STANDARD_WEBHOOKS, body, SECRET.encode(), now=NOW, message_id="msg_1")

    with pytest.raises(BadDelivery):
        bursar_http.verify(body, signed, SECRET, now=NOW)


@given(
    body=st.binary(max_size=200),
    signature=st.text(max_size=80) | st.binary(min_size=32, max_size=32).map(lambda b: f"v1,{b.hex()}"),
    at=st.integers(NOW - 400, NOW + 400).map(str) | st.text(max_size=12),
    name=st.text(max_size=20),
)
def test_a_forgery_is_always_a_bad_signature_and_nothing_else(
    body: bytes, signature: str, at: str, name: str
) -> None:
    headers = {"Webhook-Signature": signature, "Webhook-Timestamp": at, "Webhook-Id": name}

    with pytest.raises(BadSignature):
        bursar_http.verify(body, headers, SECRET, now=NOW)
