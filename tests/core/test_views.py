import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bursar.lifecycle import REMEDIES
from bursar.money import Money
from bursar.policy import LateMoney, Policy, Surplus
from bursar.testing.stage import Stage
from bursar.views import OrderView, explain_policy, history_document


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage("btcpay", tmp_path, policy={"seen_enough_below": "5.00 USD"}) as one:
        yield one


def overpaid(stage: Stage) -> OrderView:
    order = stage.order(description="two books", return_url="https://shop.example/thanks")
    payment = stage.start(order)
    stage.sandbox.pay(payment.payment_id, share=Decimal("1.5"))
    stage.sandbox.confirm(payment.payment_id)
    stage.wait(30)
    stage.bursar.refund(order.key, amount="1.00", who="anna", reason="broken")
    stage.bursar.fulfil(order.key, who="anna")
    return stage.look(order)


def numbers(value: object) -> Iterator[object]:
    match value:
        case dict():
            for member in value.values():
                yield from numbers(member)
        case list():
            for member in value:
                yield from numbers(member)
        case _:
            yield value


@pytest.mark.parametrize("merchant", [True, False])
def test_an_orders_document_is_json_without_a_float(stage: Stage, merchant: bool) -> None:
    document = overpaid(stage).document(merchant=merchant)

    assert json.loads(json.dumps(document)) == document
    assert not any(isinstance(value, float) for value in numbers(document))
    assert document["amount"] == {"amount": "10.00", "currency": "USD"}
    assert document["surplus"] == {"amount": "5.00", "currency": "USD"}


def test_a_merchant_sees_what_to_do_and_who_did_what(stage: Stage) -> None:
    document = overpaid(stage).document(merchant=True)

    (review,) = document["reviews"]
    assert (review["reason"], review["payment"]) == ("surplus", 1)
    assert review["remedies"] == list(REMEDIES[next(r for r in REMEDIES if r.value == "surplus")])
    assert document["acts"][0] | {"at": 0} == {
        "kind": "fulfil",
        "at": 0,
        "who": "anna",
        "why": "",
        "subject": "",
    }
    assert document["refundable"] == {"1": {"amount": "14.00", "currency": "USD"}}
    assert document["payments"][0]["policy"]["confirmed"].startswith("a payment below 5.00 USD counts once")
    assert document["checkout_url"].endswith(overpaid_token(document, stage))


def overpaid_token(document: dict[str, Any], stage: Stage) -> str:
    return f"{document['key']}.{stage.bursar.order(document['key']).kept.dossier.order.token}"


def test_a_buyer_sees_how_to_pay_and_nothing_of_the_merchants(stage: Stage) -> None:
    shown = overpaid(stage).document(merchant=False)

    text = json.dumps(shown)
    assert shown["payments"][0]["checkout"]["url"]
    assert shown["return_url"] == "https://shop.example/thanks"
    for hidden in ("policy", "problem", "account", "anna", "reviews", "shop", "acts", "token", "operation"):
        assert f'"{hidden}"' not in text


def test_a_history_is_told_oldest_first_with_what_caused_each_change(stage: Stage) -> None:
    order = overpaid(stage)

    told = history_document(stage.bursar.history(order.key))

    assert [line["number"] for line in told] == list(range(1, len(told) + 1))
    assert (told[0]["before"], told[0]["after"]) == (None, "awaiting_payment")
    assert told[-1]["after"] == "fulfilled"
    assert all(line["cause"] for line in told)
    assert json.loads(json.dumps(told)) == told


def test_the_payment_that_a_buyer_looks_at_is_the_last_one_that_was_opened(stage: Stage) -> None:
    order = stage.order()
    assert order.payment is None
    payment = stage.start(order)

    shown = stage.look(order).payment
    assert shown is not None
    assert shown.payment_id == payment.payment_id


def test_what_opens_doors_is_not_in_a_views_repr(stage: Stage) -> None:
    order = overpaid(stage)

    for secret in (order.kept.dossier.order.token, *order.refunds[0].links):
        assert secret
        assert secret not in repr(order)


@pytest.mark.parametrize(
    ("policy", "key", "words"),
    [
        (Policy(), "confirmed", "confirmed"),
        (
            Policy(seen_enough_below=Money.parse("5.00 EUR")),
            "confirmed",
            "below 5.00 EUR counts once it is seen",
        ),
        (Policy(), "short", "nothing may be missing"),
        (
            Policy(tolerance_percent=Decimal("0.5"), tolerance=Money.parse("1.00 EUR")),
            "short",
            "up to 0.5 % or 1.00 EUR may be missing",
        ),
        (Policy(late=LateMoney.ACCEPT, late_grace=60), "late", "late money: accept, 60 s of grace"),
        (Policy(surplus=Surplus.CREDIT), "surplus", "surplus: credit"),
        (Policy(accept_marked_by_hand=False), "by_hand", "a mark by hand is reviewed"),
    ],
)
def test_a_policy_is_explained_in_words(policy: Policy, key: str, words: str) -> None:
    assert words in explain_policy(policy)[key]
