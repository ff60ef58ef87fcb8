import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bursar.errors import Declined, OutcomeUnknown, ProviderError, Unavailable
from bursar.money import Asset, Money, fiat
from bursar.providers import OpenRequest
from bursar_btcpay.provider import BTCPay

Play = Callable[..., tuple[list[httpx.Request], Any]]
Answer = Callable[[str, int], httpx.Response]
USD, BTC = fiat("USD"), Asset("BTC", 8)
STORE = "3aHNkVeHX9QkMYRRLiYjJn25JPhWnBmkvRVzWSW57Khn"
INVOICE = "68G9iNYtYg5Hu6DDoGQmDU"
TEN = Money(1000, USD)
ATTEMPT = "a7c1f0c2-5f1e-4c58-9a9c-2f6f3a2b9d10"
ASKED = OpenRequest(attempt=ATTEMPT, reference="ord-1001", amount=TEN)
MISSING = httpx.Response(
    403,
    json={"missingPermission": "btcpay.store.canviewinvoices", "code": "missing-permission", "message": "…"},
)


def body(request: httpx.Request) -> Any:
    return json.loads(request.content, parse_float=Decimal)


def changed(response: httpx.Response, **members: Any) -> httpx.Response:
    """A recorded answer with some of its members changed."""
    return httpx.Response(
        response.status_code, headers={"Date": response.headers["Date"]}, json=response.json() | members
    )


ERRORS: list[tuple[int, Any, type[ProviderError], type[ProviderError], str]] = [
    (
        401,
        {"code": "unauthenticated", "message": "ApiKey authentication failed: Unknown API Key"},
        Declined,
        Declined,
        "revoked",
    ),
    (
        403,
        {"missingPermission": "btcpay.store.cancreateinvoice", "code": "missing-permission", "message": "…"},
        Declined,
        Declined,
        "cancreateinvoice",
    ),
    (403, "<html>blocked</html>", Declined, Declined, "firewall"),
    (404, "", Declined, Declined, "is url the address"),
    (
        404,
        {"code": "invoice-not-found", "message": "The invoice was not found"},
        Declined,
        Declined,
        "invoice-not-found",
    ),
    (
        400,
        {"code": "generic-error", "message": "No wallet has been linked\nto your BTCPay Store"},
        Declined,
        Declined,
        "linked to your",
    ),
    (
        422,
        [
            {"path": "Checkout.PaymentTolerance", "message": "Percentage"},
            {"path": "Amount", "message": "0 or more"},
        ],
        Declined,
        Declined,
        "Checkout.PaymentTolerance: Percentage; Amount: 0 or more",
    ),
    (
        422,
        [
            {"path": "request", "message": "The request field is required."},
            {"path": "", "message": "not JSON"},
        ],
        Declined,
        Declined,
        "request: not JSON",
    ),
    (405, "", Declined, Declined, "405"),
    (409, {"code": "webhookdelivery-pruned", "message": "pruned"}, Declined, Declined, "pruned"),
    (
        415,
        {"type": "x", "title": "Unsupported Media Type", "status": 415, "traceId": "0"},
        Declined,
        Declined,
        "Unsupported",
    ),
    (408, "", OutcomeUnknown, Unavailable, "408"),
    (429, "", Unavailable, Unavailable, "too many"),
    (500, "", OutcomeUnknown, Unavailable, "500"),
    (502, "<html>Bad Gateway</html>", OutcomeUnknown, Unavailable, "502"),
    (503, "", OutcomeUnknown, Unavailable, "503"),
    (504, "<html/>", OutcomeUnknown, Unavailable, "504"),
    (200, "<html>Welcome</html>", OutcomeUnknown, Unavailable, "is this a BTCPay Server"),
    (200, [], OutcomeUnknown, Unavailable, "not a JSON object"),
    (200, {"id": "x"}, OutcomeUnknown, Unavailable, "cannot be read"),
]


def _response(status: int, content: Any) -> httpx.Response:
    headers = {"Retry-After": "17"} if status in (429, 503) else {}
    if isinstance(content, str):
        return httpx.Response(status, text=content, headers=headers)
    return httpx.Response(status, json=content, headers=headers)


@pytest.mark.parametrize(("status", "content", "creating", "reading", "named"), ERRORS)
def test_every_error_says_whether_anything_can_have_happened(
    btcpay: BTCPay,
    play: Play,
    status: int,
    content: Any,
    creating: type[Exception],
    reading: type[Exception],
    named: str,
) -> None:
    with pytest.raises(ProviderError) as posted:
        play(btcpay.open_payment(ASKED, now=1), _response(status, content))
    answers = [_response(status, content)]
    if status == 403 and isinstance(content, dict):
        answers *= 2
    if content != {"code": "invoice-not-found", "message": "The invoice was not found"}:
        with pytest.raises(ProviderError) as got:
            play(btcpay.look_up(INVOICE, billed=TEN, now=1), *answers)
        assert type(got.value) is reading

    assert type(posted.value) is creating
    assert named in str(posted.value)
    assert posted.value.status in (status, None)
    assert posted.value.retry_after == (17 if status in (429, 503) else None)
    assert "0123456789abcdef" not in str(posted.value)


def test_a_pause_may_be_asked_for_by_a_date(btcpay: BTCPay, play: Play) -> None:
    busy = httpx.Response(
        429,
        headers={"Retry-After": "Sun, 22 Nov 2026 20:51:45 GMT", "Date": "Sun, 22 Nov 2026 20:50:45 GMT"},
    )
    with pytest.raises(Unavailable) as error:
        play(btcpay.open_payment(ASKED, now=1), busy)

    assert error.value.retry_after == 60


def test_a_lost_invoice_is_found_by_its_attempt_and_by_nothing_else(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    invoice = answer("paid_1conf", 4).json()
    ours = invoice | {"id": "ours", "metadata": {"orderId": "ord-1001", "attemptId": ATTEMPT}}
    lookalikes = [
        invoice,
        invoice | {"metadata": None},
        invoice | {"metadata": {"orderId": "ord-1001", "attemptId": ATTEMPT + "0"}},
        ours | {"storeId": "Another"},
    ]
    requests, found = play(
        btcpay.find_payment(ASKED, now=1),
        httpx.Response(200, json=lookalikes),
        httpx.Response(200, json=[*lookalikes, ours]),
        answer("paid_1conf", 3),
    )

    assert found.payment_id == "ours"
    assert [dict(request.url.params) for request in requests[:2]] == [
        {"textSearch": ATTEMPT, "includeArchived": "true", "take": "100"},
        {"orderId": "ord-1001", "includeArchived": "true", "take": "100"},
    ]
    assert all(request.method == "GET" for request in requests)


def test_what_was_never_opened_is_not_found(btcpay: BTCPay, play: Play) -> None:
    _, found = play(
        btcpay.find_payment(ASKED, now=1), httpx.Response(200, json=[]), httpx.Response(200, json=[])
    )

    assert found is None


def test_a_search_that_fails_does_not_pass_for_an_empty_one(btcpay: BTCPay, play: Play) -> None:
    with pytest.raises(Unavailable):
        play(btcpay.find_payment(ASKED, now=1), httpx.Response(200, json=[]), httpx.Response(503))
