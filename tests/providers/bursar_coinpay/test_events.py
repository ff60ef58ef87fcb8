import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.facts import Facts, Flag, Said, Stage, Word
from bursar.money import Money, fiat
from bursar.orders import Payment, Terms
from bursar.providers import Delivery, Reading
from bursar.standing import PaymentStatus, Standing, read_standing
from bursar_coinpay.coins import USDC
from bursar_coinpay.events import read_event
from bursar_coinpay.provider import CoinPay

Make = Callable[..., CoinPay]


BUSINESS = "7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11"


ID = "2f6a1f0e-8c1b-4a57-b6d9-0c6f7b1e5a42"


NOON = 1_785_240_000


USD = fiat("USD")


TERMS = Terms(
    worth=Money.of("49.99", USD),
    billed=Money.of("49.99", USD),
    asks=(Money.of("49.995001", USDC),),
    expires_at=NOON + 900,
)


def data(**changes: Any) -> dict[str, Any]:
    return {
        "payment_id": ID,
        "status": "confirmed",
        "amount": "49.99",
        "amount_crypto": "49.9950005",
        "amount_usd": "49.99",
        "currency": "USDC_POL",
        "payment_address": "0xab",
        "received_amount": "49.995001",
        "confirmed_at": "2026-07-28T11:59:59.900Z",
        "metadata": {"bursar_order": "order-1"},
    } | changes


def event(kind: str, of: dict[str, Any], **changes: Any) -> bytes:
    envelope = {
        "id": f"evt_{ID}_{NOON}",
        "type": kind,
        "data": of,
        "created_at": "2026-07-28T12:00:00.123Z",
        "business_id": BUSINESS,
    }
    return json.dumps(envelope | changes).encode()


THIN = {
    "payment_id": ID,
    "status": "confirmed",
    "blockchain": "USDC_POL",
    "amount_crypto": "49.9950005",
    "payment_address": "0xab",
    "received_amount": 49.995001,
    "confirmed_at": "2026-07-28T11:59:59.900Z",
}


EXPIRED = {
    "payment_id": ID,
    "status": "expired",
    "blockchain": "USDC_POL",
    "amount_crypto": "49.9950005",
    "payment_address": "0xab",
    "reason": "Payment window expired (15 minutes)",
    "expired_at": "2026-07-28T12:15:01.000Z",
}


FORWARDED = {
    "payment_id": ID,
    "status": "forwarded",
    "amount": "49.99",
    "amount_crypto": "49.9950005",
    "amount_usd": "49.99",
    "currency": "USDC_POL",
    "tx_hash": "0xmerchant",
    "merchant_tx_hash": "0xmerchant",
    "platform_tx_hash": "0xplatform",
    "merchant_amount": 49.485149,
    "platform_fee": 0.499951,
    "metadata": {"bursar_order": "order-1"},
}


CARD = {
    "payment_id": ID,
    "status": "confirmed",
    "amount": 49.99,
    "amount_crypto": None,
    "amount_usd": 49.99,
    "currency": "usd",
    "confirmations": 1,
    "payment_address": None,
    "tx_hash": "pi_3Abc",
    "metadata": {"payment_rail": "card", "stripe_payment_intent_id": "pi_3Abc"},
}


FAILED = CARD | {"status": "failed", "confirmations": 0}


def read(body: bytes) -> Reading:
    return read_event(body, business_id=BUSINESS)


def facts_of(body: bytes) -> Facts:
    (seen,) = read(body).seen
    assert isinstance(seen.facts, Facts)
    return seen.facts


def stand(facts: Facts) -> Standing:
    return read_standing(Payment(1, TERMS, facts=facts))


def test_a_full_confirmation_says_that_it_is_settled_and_with_how_much() -> None:
    facts = facts_of(event("payment.confirmed", data(received_amount="60")))

    assert facts.verdict == Said[Word].once(Word.SETTLED, 0)
    assert facts.polled is None
    assert facts.billed == {Money.of("49.99", USD)}
    (transfer,) = facts.transfers
    assert (transfer.id, str(transfer.amount), transfer.paid_at) == ("received", "60.000000 USDC", NOON - 1)
    assert transfer.stage.now == {Stage.CONFIRMED}
    assert Flag.OVERPAID in facts.flags
    assert stand(facts).received == Money.of("59.99", USD)


def test_a_thin_confirmation_settles_as_well(make_provider: Make) -> None:
    reading = make_provider().read_webhook(Delivery(event("payment.confirmed", THIN), {}, NOON))

    assert (reading.event, reading.event_id) == ("payment.confirmed", f"evt_{ID}_{NOON}")
    (seen,) = reading.seen
    assert isinstance(seen.facts, Facts)
    assert [str(t.amount) for t in seen.facts.transfers] == ["49.995001 USDC"]
    assert seen.facts.billed == frozenset()
    assert stand(seen.facts).status is PaymentStatus.SETTLED


@pytest.mark.parametrize("kind", ["payment.confirmed", "payment.forwarded"])
def test_a_payment_is_paid_with_nothing_but_its_id_and_kind(kind: str) -> None:
    assert facts_of(event(kind, {"payment_id": ID})) == Facts(verdict=Said[Word].once(Word.SETTLED, 0))


def test_a_payout_alone_says_that_it_was_paid() -> None:
    facts = facts_of(event("payment.forwarded", FORWARDED))

    assert stand(facts).status is PaymentStatus.SETTLED
    # Costs were taken off, so what moved is less than what came, and says nothing.
    assert facts.transfers == ()


def test_a_payout_of_more_than_was_asked_shows_the_surplus() -> None:
    facts = facts_of(event("payment.forwarded", FORWARDED | {"merchant_amount": 59.4, "platform_fee": 0.6}))

    assert stand(facts).received == Money.of("59.99", USD)
    assert Flag.OVERPAID in facts.flags


def test_exactly_what_was_asked_is_not_too_much() -> None:
    paid = facts_of(event("payment.confirmed", data(received_amount="49.995001")))
    moved = facts_of(
        event("payment.forwarded", FORWARDED | {"merchant_amount": 49.495001, "platform_fee": 0.5})
    )

    assert Flag.OVERPAID not in paid.flags
    assert stand(paid).received == Money.of("49.99", USD)
    assert moved.transfers == ()


def test_an_expiry_only_says_that_the_window_closed() -> None:
    assert facts_of(event("payment.expired", EXPIRED)) == Facts(verdict=Said[Word].once(Word.EXPIRED, 0))


def test_an_expiry_of_a_card_without_address_or_amount_is_read() -> None:
    odd = EXPIRED | {"payment_address": "", "amount_crypto": "null"}

    assert facts_of(event("payment.expired", odd)).verdict == Said[Word].once(Word.EXPIRED, 0)


def test_a_declined_card_is_noted_and_changes_nothing_else() -> None:
    facts = facts_of(event("payment.failed", FAILED))

    assert facts == Facts(flags=frozenset({Flag.DECLINED}), billed=frozenset({Money.of("49.99", USD)}))
    assert stand(facts).status is PaymentStatus.WAITING


def test_a_card_that_was_charged_is_a_transfer_of_dollars() -> None:
    facts = facts_of(event("payment.confirmed", CARD))

    (transfer,) = facts.transfers
    assert (transfer.id, str(transfer.amount), transfer.paid_at) == ("card", "49.99 USD", NOON)
    assert stand(facts).status is PaymentStatus.SETTLED


def test_coins_and_a_card_for_one_payment_are_two_transfers_and_all_of_it_is_known() -> None:
    both = facts_of(event("payment.confirmed", CARD)).join(facts_of(event("payment.confirmed", data())))

    assert {transfer.id for transfer in both.transfers} == {"card", "received"}
    assert stand(both).received == Money.of("99.98", USD)


def test_a_card_session_of_another_rail_never_states_an_amount() -> None:
    session = CARD | {"payment_id": "cs_test_a1B2c3", "amount_usd": 4999}

    assert facts_of(event("payment.confirmed", session)) == Facts(verdict=Said[Word].once(Word.SETTLED, 0))


@pytest.mark.parametrize(
    "body",
    [
        event("test.webhook", {"payment_id": "test_1", "status": "test", "amount_usd": "50.00"}),
        event("invoice.paid", {"payment_id": "3f6a1f0e-8c1b-4a57-b6d9-0c6f7b1e5a42", "status": "paid"}),
        event("escrow.refunded", {"escrow_id": "11111111-2222-3333-4444-555555555555"}),
        event("escrow.created", {}),
        event("payment.completed", data()),
        event("payment.refunded", data()),
        event("payment.detected", data()),
        event("something.new", data()),
        event("payment.confirmed", data(), business_id="00000000-0000-0000-0000-000000000000"),
        event("payment.confirmed", data(), business_id=None),
        json.dumps(
            {
                "event": "business_collection.forwarded",
                "type": "business_collection",
                "payment_id": ID,
                "business_id": BUSINESS,
                "amount": "1",
            }
        ).encode(),
    ],
)
def test_what_is_not_about_our_payments_is_read_and_changes_nothing(body: bytes) -> None:
    assert read(body).seen == ()
    assert read(body).event


def test_a_collection_of_fees_is_named_by_its_event() -> None:
    flat = {"event": "business_collection.forwarded", "type": "business_collection", "payment_id": ID}

    assert read(json.dumps(flat).encode()).event == "business_collection.forwarded"


def test_a_business_is_compared_in_either_case() -> None:
    assert read(event("payment.confirmed", data(), business_id=BUSINESS.upper())).seen


@pytest.mark.parametrize(
    ("received", "units"),
    [
        ("49.9951", 49_995_100),
        (49.9951, 49_995_100),
        ("1.2e-6", 1),
        ("4.9951E1", 49_951_000),
        (50, 50_000_000),
    ],
    ids=repr,
)
def test_what_arrived_is_read_exactly_in_every_form(received: object, units: int) -> None:
    (transfer,) = facts_of(event("payment.confirmed", data(received_amount=received))).transfers

    assert transfer.amount.minor == units


def test_eighteen_decimals_survive() -> None:
    body = event("payment.confirmed", data(currency="ETH", received_amount="HERE"))

    (transfer,) = facts_of(body.replace(b'"HERE"', b"0.016669999999999999")).transfers

    assert transfer.amount.plain == "0.016669999999999999"


def test_a_coin_that_is_not_known_settles_without_an_amount() -> None:
    facts = facts_of(event("payment.confirmed", data(currency="LTC")))

    assert facts.transfers == ()
    assert stand(facts).status is PaymentStatus.SETTLED


def test_another_price_than_was_billed_is_shown_and_held_for_a_person() -> None:
    facts = facts_of(event("payment.confirmed", data(amount_usd="4.99"))).join(
        Facts(billed=frozenset({TERMS.billed}))
    )

    assert stand(facts).mismatch
    assert stand(facts).status is PaymentStatus.HELD


@settings(deadline=None)
@given(received=st.decimals("0.000001", "1000000", places=6))
def test_money_that_arrived_is_never_rounded_away(received: Decimal) -> None:
    facts = facts_of(event("payment.confirmed", data(received_amount=str(received))))

    assert facts.transfers[0].amount == Money.of(received, USDC)
    assert (Flag.OVERPAID in facts.flags) == (received > Decimal("49.995001"))
