import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bursar.errors import BadInput, Declined, Unavailable
from bursar.facts import Facts, Flag, Stage, Word
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


def test_a_poll_tells_word_total_and_payments_at_the_server_s_time(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    requests, seen = play(
        btcpay.look_up(INVOICE, billed=TEN, now=1), answer("paid_1conf", 9), answer("paid_1conf", 10)
    )

    facts = seen.facts
    assert requests[1].url.params["onlyAccountedPayments"] == "false"
    assert facts.verdict == facts.polled
    assert (facts.verdict.at, facts.verdict.now) == (1795380646, {Word.PROCESSING})
    assert (facts.credited.at, facts.credited.now) == (1795380646, {TEN})
    assert facts.billed == {TEN}
    (transfer,) = facts.transfers
    assert (transfer.amount, transfer.stage.now, transfer.paid_at) == (
        Money(20_000, BTC),
        {Stage.SEEN},
        1795380646,
    )


@pytest.mark.parametrize(
    ("status", "additional", "word"),
    [
        ("New", "None", Word.NEW),
        ("New", "PaidPartial", Word.PARTIAL),
        ("Processing", "None", Word.PROCESSING),
        ("Processing", "PaidOver", Word.PROCESSING),
        ("Settled", "None", Word.SETTLED),
        ("Settled", "PaidOver", Word.SETTLED),
        ("Settled", "Marked", Word.SETTLED),
        ("Expired", "None", Word.EXPIRED),
        ("Expired", "PaidPartial", Word.UNDERPAID),
        ("Expired", "PaidLate", Word.LATE),
        ("Invalid", "None", Word.INVALID),
        ("Invalid", "PaidOver", Word.INVALID),
        ("Invalid", "Marked", Word.INVALID),
        ("Settled", "PaidLate", Word.SETTLED),
        ("Expired", "PaidOver", Word.EXPIRED),
        ("Invalid", "Invalid", Word.INVALID),
        ("Frozen", "None", None),
        ("Settled", "Disputed", None),
    ],
)
def test_the_two_status_members_are_one_word_and_an_unknown_one_is_none(
    btcpay: BTCPay, play: Play, answer: Answer, status: str, additional: str, word: Word | None
) -> None:
    invoice = changed(answer("paid_1conf", 9), status=status, additionalStatus=additional)
    _, seen = play(btcpay.look_up(INVOICE, billed=TEN, now=1), invoice, answer("paid_1conf", 10))

    assert (seen.facts.verdict.now if seen.facts.verdict else None) == ({word} if word else None)
    assert (Flag.BY_HAND in seen.facts.flags) == (additional == "Marked")
    assert (Flag.OVERPAID in seen.facts.flags) == ((status, additional) == ("Settled", "PaidOver"))


def test_money_counts_as_late_by_its_own_time_and_not_by_the_server_s_word(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    late = changed(answer("paid_1conf", 9), status="Expired", additionalStatus="PaidLate")
    in_time, after = answer("paid_1conf", 10), answer("paid_1conf", 10).json()
    after[0]["payments"][0]["receivedDate"] = 1795381547
    _, punctual = play(btcpay.look_up(INVOICE, billed=TEN, now=1), late, in_time)
    _, tardy = play(btcpay.look_up(INVOICE, billed=TEN, now=1), late, httpx.Response(200, json=after))

    assert Flag.LATE not in punctual.facts.flags
    assert Flag.LATE in tardy.facts.flags


def test_a_replaced_payment_is_reported_as_taken_back(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    methods = answer("paid_1conf", 10).json()
    methods[0]["payments"].append(methods[0]["payments"][0] | {"id": "other-0", "status": "Invalid"})
    methods[0]["payments"].append(methods[0]["payments"][0] | {"id": "strange-0", "status": "Odd"})
    _, seen = play(
        btcpay.look_up(INVOICE, billed=TEN, now=1), answer("paid_1conf", 9), httpx.Response(200, json=methods)
    )

    stages = {t.id[:5]: next(iter(t.stage.now)) for t in seen.facts.transfers}
    assert stages == {"6bcd0": Stage.SEEN, "other": Stage.INVALID, "stran": Stage.SEEN}


def test_an_old_server_that_does_not_tell_the_total_is_read_all_the_same(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    invoice = answer("paid_1conf", 9).json()
    del invoice["paidAmount"]
    method = answer("paid_1conf", 10).json()[0] | {
        "paymentMethod": "BTC-LightningNetwork",
        "cryptoCode": "BTC",
    }
    for name in ("paymentMethodId", "currency", "paymentMethodFee"):
        del method[name]
    _, seen = play(
        btcpay.look_up(INVOICE, billed=TEN, now=77),
        httpx.Response(200, json=invoice),
        httpx.Response(200, json=[method | {"networkFee": "0"}]),
    )

    assert seen.facts.credited is None
    assert seen.facts.transfers[0].amount == Money(20_000_000, Asset("BTC", 11))
    # Without a Date our own clock has to do.
    assert seen.facts.verdict.at == 77


def test_a_total_in_another_currency_than_was_agreed_is_not_counted(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    _, seen = play(
        btcpay.look_up(INVOICE, billed=TEN, now=1),
        changed(answer("paid_1conf", 9), currency="EUR"),
        answer("paid_1conf", 10),
    )

    assert seen.facts.credited is None
    assert {str(money) for money in seen.facts.billed} == {"10.00 EUR"}


def test_a_top_up_bills_nothing_until_its_payment_decides_it(
    btcpay: BTCPay, play: Play, answer: Answer
) -> None:
    nothing = Money(0, USD)
    top_up = "NhgcVjfCNqfG6dWbivSHw1"
    _, before = play(btcpay.look_up(top_up, billed=nothing, now=1), answer("top_up", 1), answer("top_up", 2))
    _, after = play(btcpay.look_up(top_up, billed=nothing, now=1), answer("top_up", 12), answer("top_up", 13))
    _, opened = play(btcpay.read_opened(top_up, now=1), answer("top_up", 1), answer("top_up", 2))

    assert before.facts.billed == frozenset()
    assert {str(money) for money in after.facts.billed} == {"21.00 USD"}
    assert str(next(iter(after.facts.credited.now))) == "21.00 USD"
    assert opened.billed is None
    assert opened.asks == ()


def test_an_invoice_that_the_store_no_longer_has_is_gone(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    listed = httpx.Response(200, json=[answer("paid_1conf", 4).json()])
    requests, seen = play(btcpay.look_up("unknown", billed=TEN, now=1), answer("unknown_invoices", 5), listed)
    not_found = httpx.Response(
        404, json={"code": "invoice-not-found", "message": "The invoice was not found"}
    )
    _, old = play(btcpay.look_up("unknown", billed=TEN, now=1), not_found)

    assert seen.facts == old.facts == Facts(flags=frozenset({Flag.GONE}))
    assert dict(requests[1].url.params) == {"take": "1"}


def test_a_key_that_lost_its_rights_is_not_an_invoice_that_is_gone(btcpay: BTCPay, play: Play) -> None:
    with pytest.raises(Declined, match=r"lacks btcpay[.]store[.]canviewinvoices"):
        play(btcpay.look_up(INVOICE, billed=TEN, now=1), MISSING, MISSING)
    with pytest.raises(Declined, match="no longer read invoices"):
        play(btcpay.look_up(INVOICE, billed=TEN, now=1), MISSING, httpx.Response(401))
    with pytest.raises(Unavailable):
        play(btcpay.look_up(INVOICE, billed=TEN, now=1), MISSING, httpx.Response(502))
    with pytest.raises(Declined, match="no invoice"):
        play(btcpay.read_opened(INVOICE, now=1), MISSING, httpx.Response(200, json=[]))


def test_an_answer_about_another_invoice_is_refused(btcpay: BTCPay, play: Play, answer: Answer) -> None:
    with pytest.raises(Declined, match="with invoice"):
        play(btcpay.look_up("Other", billed=TEN, now=1), answer("paid_1conf", 9))


@pytest.mark.parametrize("payment_id", ["", "..", "a/b", "a?b", "a" * 201, "ä"])
def test_an_id_that_cannot_be_one_never_reaches_the_url(btcpay: BTCPay, payment_id: str) -> None:
    with pytest.raises(BadInput):
        next(btcpay.look_up(payment_id, billed=TEN, now=1))
