import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bursar.errors import BadDelivery, BadSignature
from bursar.facts import Facts, Flag, Observation, Said, Stage, Word
from bursar.money import Asset, Money
from bursar.providers import Delivery, Reading
from bursar.refunds import PayoutStage, RefundObservation
from bursar.signatures import verify
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.webhooks import EVENTS, read_delivery

STORE = "3aHNkVeHX9QkMYRRLiYjJn25JPhWnBmkvRVzWSW57Khn"
AT = 1784800095
COMMON = {
    "deliveryId": "Eru39wzaMAqfhmqbUjV2QR",
    "webhookId": "WCoz5Bw4yGWeb8k4ZxXegG",
    "originalDeliveryId": "Eru39wzaMAqfhmqbUjV2QR",
    "isRedelivery": False,
    "timestamp": AT,
    "storeId": STORE,
    "invoiceId": "4y7e6AtStqFsaezxWYgPk2",
    "metadata": {"orderId": "ord-1001", "attemptId": "a7c1f0c2"},
}
ON_CHAIN = {
    "id": "5c41dde9fe7ae2d0c47cc928a9589daca12e2330d07d822d290c3463cb69668c-0",
    "receivedDate": AT - 1,
    "value": "0.0004123",
    "fee": "0",
    "status": "Processing",
    "destination": "bc1qj0jun44sm58ezhwenp9nkummm2uc9vypwaenj9",
}
LIGHTNING = {**ON_CHAIN, "id": "517d16af", "value": "0.00041230017", "status": "Settled"}
Recorded = Callable[[str, int], Delivery]


def read(provider: BTCPay, kind: str, **members: Any) -> Reading:
    body = json.dumps({**members, **COMMON, "type": kind} | {k: v for k, v in members.items() if k in COMMON})
    return provider.read_webhook(Delivery(body=body.encode(), headers={}, received_at=AT))


def facts(reading: Reading) -> Facts:
    (seen,) = reading.seen
    assert isinstance(seen, Observation)
    assert seen.payment_id == COMMON["invoiceId"]
    return seen.facts


def refund(reading: Reading) -> RefundObservation:
    (seen,) = reading.seen
    assert isinstance(seen, RefundObservation)
    return seen


@pytest.mark.parametrize(
    ("kind", "members", "word", "flags"),
    [
        ("InvoiceCreated", {}, Word.NEW, set[Flag]()),
        ("InvoiceProcessing", {"overPaid": False}, Word.PROCESSING, set[Flag]()),
        # Taken back when the payments change, so no flag: the amounts tell.
        ("InvoiceProcessing", {"overPaid": True}, Word.PROCESSING, set[Flag]()),
        ("InvoiceProcessing", {}, Word.PROCESSING, set[Flag]()),
        ("InvoiceSettled", {"manuallyMarked": False, "overPaid": False}, Word.SETTLED, set[Flag]()),
        ("InvoiceSettled", {"manuallyMarked": False, "overPaid": True}, Word.SETTLED, {Flag.OVERPAID}),
        ("InvoiceSettled", {"manuallyMarked": True, "overPaid": False}, Word.SETTLED, {Flag.BY_HAND}),
        ("InvoiceSettled", {"manuallyMarked": False}, Word.SETTLED, set[Flag]()),
        ("InvoiceExpired", {"partiallyPaid": False}, Word.EXPIRED, set[Flag]()),
        ("InvoiceExpired", {"partiallyPaid": True}, Word.UNDERPAID, set[Flag]()),
        ("InvoiceExpiredPaidPartial", {}, Word.UNDERPAID, set[Flag]()),
        ("InvoicePaidAfterExpiration", {}, Word.LATE, set[Flag]()),
        ("InvoiceInvalid", {"manuallyMarked": False}, Word.INVALID, set[Flag]()),
        ("InvoiceInvalid", {"manuallyMarked": True}, Word.INVALID, {Flag.BY_HAND}),
    ],
)
def test_an_event_that_says_a_state_is_a_word_at_its_own_time(
    btcpay: BTCPay, kind: str, members: dict[str, Any], word: Word, flags: set[Flag]
) -> None:
    found = facts(read(btcpay, kind, **members))

    assert found.verdict is not None
    assert found.verdict == Said[Word].once(word, AT)
    assert found.flags == flags
    assert found.polled is None


def test_every_built_in_invoice_event_is_read() -> None:
    assert set(EVENTS) == {
        "InvoiceCreated",
        "InvoiceReceivedPayment",
        "InvoicePaymentSettled",
        "InvoiceProcessing",
        "InvoiceExpired",
        "InvoiceSettled",
        "InvoiceInvalid",
        "InvoiceExpiredPaidPartial",
        "InvoicePaidAfterExpiration",
        "InvoiceRefund",
    }


def test_a_payment_that_was_seen_is_a_transfer_and_no_verdict(btcpay: BTCPay) -> None:
    found = facts(
        read(
            btcpay,
            "InvoiceReceivedPayment",
            afterExpiration=False,
            paymentMethodId="BTC-CHAIN",
            payment=ON_CHAIN,
        )
    )

    (transfer,) = found.transfers
    assert transfer.id == ON_CHAIN["id"]
    assert transfer.amount == Money(41230, Asset("BTC", 8))
    assert transfer.stage == Said[Stage].once(Stage.SEEN, AT)
    assert transfer.paid_at == AT - 1
    assert found.verdict is None


def test_a_lightning_payment_is_exact_to_the_thousandth_of_a_satoshi(btcpay: BTCPay) -> None:
    found = facts(
        read(
            btcpay,
            "InvoicePaymentSettled",
            afterExpiration=False,
            paymentMethodId="BTC-LN",
            payment=LIGHTNING,
        )
    )

    (transfer,) = found.transfers
    assert transfer.amount == Money(41_230_017, Asset("BTC", 11))
    assert transfer.stage.now == {Stage.CONFIRMED}


def test_a_settled_payment_is_confirmed_whatever_its_own_status_says(btcpay: BTCPay) -> None:
    found = facts(read(btcpay, "InvoicePaymentSettled", paymentMethodId="BTC-CHAIN", payment=ON_CHAIN))

    assert found.transfers[0].stage.now == {Stage.CONFIRMED}


def test_what_an_old_server_calls_invalid_by_mistake_was_seen(btcpay: BTCPay) -> None:
    payment = {**ON_CHAIN, "status": "Invalid"}
    found = facts(
        read(btcpay, "InvoiceReceivedPayment", overPaid=False, paymentMethod="BTC", payment=payment)
    )

    assert found.transfers[0].amount.asset == Asset("BTC", 8)
    assert found.transfers[0].stage.now == {Stage.SEEN}


def test_the_network_fee_of_a_second_payment_does_not_count(btcpay: BTCPay) -> None:
    payment = {**ON_CHAIN, "value": "0.00034", "fee": "0.0001"}
    found = facts(read(btcpay, "InvoiceReceivedPayment", paymentMethodId="BTC-CHAIN", payment=payment))

    assert found.transfers[0].amount == Money(24_000, Asset("BTC", 8))


def test_a_refund_made_of_the_invoice_is_named(btcpay: BTCPay) -> None:
    found = facts(read(btcpay, "InvoiceRefund", pullPaymentId="3fJCDpu9sbsWVLJusSu9dqASDkRX"))

    assert found == Facts(refunds=frozenset({"3fJCDpu9sbsWVLJusSu9dqASDkRX"}))


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("AwaitingApproval", PayoutStage.CLAIMED),
        ("AwaitingPayment", PayoutStage.APPROVED),
        ("InProgress", PayoutStage.SENT),
        ("Completed", PayoutStage.PAID),
        ("Cancelled", PayoutStage.CANCELLED),
    ],
)
def test_a_payout_event_is_about_its_pull_payment_and_names_no_amount(
    btcpay: BTCPay, state: str, stage: PayoutStage
) -> None:
    seen = refund(read(btcpay, "PayoutUpdated", payoutId="4B8y", pullPaymentId="3fJC", payoutState=state))

    assert seen.refund_id == "3fJC"
    (payout,) = seen.facts.payouts
    assert (payout.id, payout.now, payout.stage.at) == ("4B8y", stage, AT)
    assert not payout.amount


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("PayoutCreated", {"payoutId": "4B8y", "pullPaymentId": None, "payoutState": "AwaitingApproval"}),
        ("PayoutCreated", {"payoutId": "__test__1__test__", "pullPaymentId": "3fJC"}),
        ("InvoiceSettled", {"invoiceId": "__test__1__test__", "metadata": None}),
        ("InvoiceReceivedPayment", {"invoiceId": "__test__1__test__", "metadata": None}),
        ("InvoiceSettled", {"storeId": "another"}),
        ("InvoiceSettled", {"storeId": None}),
        ("PaymentRequestStatusChanged", {"paymentRequestId": "4a7d", "status": "Completed"}),
        ("SubscriberCharged", {}),
        ("PendingTransactionBroadcast", {"cryptoCode": "BTC", "pendingTransactionId": "x"}),
        ("SomethingNew", {}),
    ],
)
def test_what_is_not_ours_or_not_known_changes_nothing(
    btcpay: BTCPay, kind: str, members: dict[str, Any]
) -> None:
    reading = read(btcpay, kind, **members)

    assert reading.seen == ()
    assert reading.event == kind


@pytest.mark.parametrize("kind", ["InvoiceReceivedPayment", "InvoicePaymentSettled", "InvoiceExpired"])
def test_an_event_without_its_own_members_says_nothing(btcpay: BTCPay, kind: str) -> None:
    assert facts(read(btcpay, kind)) == Facts()


def test_a_payout_in_a_state_that_is_not_known_says_nothing(btcpay: BTCPay) -> None:
    seen = refund(read(btcpay, "PayoutUpdated", payoutId="4B8y", pullPaymentId="3fJC", payoutState="Frozen"))

    assert seen.facts.payouts == ()


def test_metadata_decides_nothing(btcpay: BTCPay) -> None:
    plain, other = (
        read(btcpay, "InvoiceSettled"),
        read(btcpay, "InvoiceSettled", metadata={"orderId": "other"}),
    )

    assert plain == other


@pytest.mark.parametrize(
    "members",
    [
        {"type": 7},
        {"type": "two words"},
        {"timestamp": "1784800095"},
        {"timestamp": True},
        {"timestamp": 1784800095.5},
        {"timestamp": -1},
        {"timestamp": None},
        {"invoiceId": None},
        {"invoiceId": "../other"},
        {"invoiceId": "\ud800"},
        {"payment": {**ON_CHAIN, "value": "much"}},
        {"payment": {**ON_CHAIN, "value": "1e5"}},
        {"payment": {**ON_CHAIN, "id": None}},
        {"payment": [], "paymentMethodId": "BTC-CHAIN"},
        {"paymentMethodId": "?!"},
    ],
)
def test_a_genuine_event_that_cannot_be_read_is_the_service_s_fault(
    btcpay: BTCPay, members: dict[str, Any]
) -> None:
    event = {**COMMON, "type": "InvoiceReceivedPayment", "paymentMethodId": "BTC-CHAIN", "payment": ON_CHAIN}
    body = json.dumps({**event, **members}).encode()

    with pytest.raises(BadDelivery, match="cannot be read"):
        btcpay.read_webhook(Delivery(body=body, headers={}, received_at=AT))


@given(
    body=st.binary(max_size=200) | st.from_regex(r'\{"type":"Invoice[a-z]*","timestamp":.*\}').map(str.encode)
)
@example(body=b"[" * 100_000)
@example(body=b'{"type":"InvoiceCreated","timestamp":' + b"9" * 5_000 + b"}")
@example(body=b"\xef\xbb\xbf{}")
@example(body=b'{"type": NaN}')
def test_any_bytes_give_a_reading_or_a_bad_delivery_and_nothing_else(body: bytes) -> None:
    with suppress(BadDelivery):
        assert isinstance(read_delivery(Delivery(body=body, headers={}, received_at=0), STORE), Reading)


def test_a_redelivery_says_the_same_though_its_members_come_in_another_order(
    btcpay: BTCPay, delivery: Recorded
) -> None:
    first = json.loads(delivery("paid_1conf", 13).body)
    again = dict(sorted(first.items())) | {"deliveryId": "another", "isRedelivery": True}
    body = json.dumps(again, separators=(",", ":")).encode()

    assert btcpay.read_webhook(Delivery(body=body, headers={}, received_at=0)) == btcpay.read_webhook(
        delivery("paid_1conf", 13)
    )


def test_recorded_redeliveries_of_one_event_all_say_the_same(btcpay: BTCPay, delivery: Recorded) -> None:
    file = Path(__file__).parent / "recordings" / "webhook_redelivery.json"
    seqs = [
        e["seq"] for e in json.loads(file.read_text(encoding="utf-8"))["entries"] if e["kind"] == "webhook"
    ]
    readings = [btcpay.read_webhook(delivery("webhook_redelivery", seq)) for seq in seqs]

    assert len(readings) == 3
    assert len(set(map(repr, readings))) == 1


def test_recorded_signatures_are_genuine_and_a_changed_byte_is_not(
    btcpay: BTCPay, delivery: Recorded
) -> None:
    sent = delivery("paid_1conf", 13)
    secrets = btcpay.secrets()

    assert verify(btcpay.scheme, sent.body, sent.headers, secrets=secrets, now=0).body == sent.body
    with pytest.raises(BadSignature):
        verify(btcpay.scheme, sent.body + b"\n", sent.headers, secrets=secrets, now=0)
