"""The service's signature, by vectors that its own client judged."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from bursar.errors import BadDelivery, BadSignature
from bursar.signatures import verify
from bursar_coinpay.events import read_event
from bursar_coinpay.provider import CoinPay

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "coinpay-webhook-vectors.json").read_text()
)


# What the service's own client lets pass and we need not: stated one by one.
LENIENT = {
    "lenient_uppercase_hex": True,
    "lenient_spaces_around_parts": False,
    "lenient_order_reversed": True,
    "lenient_unknown_extra_part": True,
    "lenient_part_without_equals_ignored": True,
    "lenient_duplicate_v1_last_wins_good": False,
    "lenient_trailing_non_hex_ignored": False,
    "lenient_leading_zero_timestamp": False,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_vector_is_judged_as_the_services_own_client_does(vector: dict[str, Any]) -> None:
    """A stale or forged notice is refused; what the client accepts is accepted but for the forms listed above."""
    scheme = attrs.evolve(CoinPay.scheme, tolerance=vector["tolerance"])
    headers = {} if vector["header"] is None else {"x-coinpay-signature": vector["header"]}
    body = vector["body"].encode()
    wanted = LENIENT[vector["name"]] if vector["lenient"] else vector["valid"]

    try:
        verify(scheme, body, headers, secrets=[vector["secret"].encode()], now=vector["now"])
        read_event(body, business_id="7b0c2a52-5d2f-4c0e-9a36-3a4c1f0e9d11")
        accepted = True
    except BadSignature:
        accepted = False
    except BadDelivery:
        # Genuine, but nothing that can be read: an empty body, or no JSON.
        accepted = vector["name"] == "valid_non_json_body"

    assert accepted is wanted


def test_every_lenient_vector_has_a_stated_verdict() -> None:
    assert {vector["name"] for vector in VECTORS if vector["lenient"]} == set(LENIENT)
