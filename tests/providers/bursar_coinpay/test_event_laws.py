"""What holds of events whatever they are: any order, any bytes, any value."""

import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import BadDelivery
from bursar.facts import Facts
from bursar.money import Money, fiat
from bursar.orders import Payment, Terms
from bursar.providers import Reading
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


def lives() -> dict[str, tuple[Sequence[bytes], PaymentStatus]]:
    created = event("payment.confirmed", data())
    again = event("payment.confirmed", THIN, id=f"evt_{ID}_{NOON + 60}")
    late = event("payment.confirmed", THIN | {"confirmed_at": "2026-07-28T12:46:00.000Z"})
    requeued = event("payment.confirmed", dict(sorted(data().items())))
    forwarded, expired = event("payment.forwarded", FORWARDED), event("payment.expired", EXPIRED)
    failed, card = event("payment.failed", FAILED), event("payment.confirmed", CARD)
    return {
        "paid": ([created, forwarded, again, requeued, created], PaymentStatus.SETTLED),
        "paid, but called expired": ([expired, created, forwarded, again], PaymentStatus.SETTLED),
        "paid late": ([expired, late, forwarded, late], PaymentStatus.HELD),
        "declined, then paid by card": ([failed, card, failed, forwarded], PaymentStatus.SETTLED),
        "expired": ([expired, failed, expired], PaymentStatus.EXPIRED),
        "only the payout": ([forwarded, forwarded], PaymentStatus.SETTLED),
    }


@pytest.mark.parametrize("life", sorted(lives()))
def test_the_events_of_a_life_lead_to_one_standing_in_every_order(life: str) -> None:
    bodies, status = lives()[life]
    seen = [facts_of(body) for body in bodies]

    outcomes: set[str] = set()
    for order in itertools.permutations(seen):
        facts = Facts()
        for one in order:
            facts = facts.join(one).join(one)
        outcomes.add(repr(stand(facts)))
        assert stand(facts).status is status

    assert len(outcomes) == 1


def test_every_set_of_events_leads_to_one_standing_in_any_order() -> None:
    bodies = sorted({body for some, _ in lives().values() for body in some})
    seen, draw = [facts_of(body) for body in bodies], Random(7)
    for size in range(1, len(seen) + 1):
        for chosen in itertools.combinations(seen, size):
            standings: set[str] = set()
            for _ in range(6):
                order = [*chosen, *draw.choices(chosen, k=2)]
                draw.shuffle(order)
                facts = Facts()
                for one in order:
                    facts = facts.join(one)
                standings.add(repr(stand(facts)))
            assert len(standings) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json at all",
        b"[]",
        b"null",
        b"{}",
        b'{"type": 7}',
        b'\xff{"type": "payment.confirmed"}',
        b'{"type": "payment.confirmed", "x": NaN}',
        b"[" * 100_000,
        event("payment.confirmed", {"payment_id": ""}),
        event("payment.confirmed", {"payment_id": "x" * 201}),
        event("payment.confirmed", {"payment_id": 7}),
        event("payment.confirmed", {}, data=[]),
        event("payment.confirmed", data(amount_usd="plenty")),
        event("payment.confirmed", data(amount_usd=True)),
        event("payment.confirmed", data(received_amount=["1"])),
        event("payment.confirmed", data(received_amount="1e999")),
        event("payment.forwarded", FORWARDED | {"merchant_amount": "much"}),
    ],
)
def test_what_cannot_be_read_is_the_services_fault_and_never_guessed(body: bytes) -> None:
    with pytest.raises(BadDelivery):
        read(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


KINDS = ["payment.confirmed", "payment.forwarded", "payment.expired", "payment.failed", "test.webhook"]


@settings(deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes_give_a_reading_or_a_bad_delivery_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(BadDelivery):
        read(body)


@settings(deadline=None)
@given(kind=st.sampled_from(KINDS), name=st.sampled_from(sorted(data() | FORWARDED)), value=json_values)
def test_any_value_anywhere_gives_a_reading_or_a_bad_delivery_and_nothing_else(
    kind: str, name: str, value: object
) -> None:
    with contextlib.suppress(BadDelivery):
        read(event(kind, (data() | FORWARDED) | {name: value}))
