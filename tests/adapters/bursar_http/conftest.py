from collections.abc import Callable
from typing import Any

import attrs
import pytest

from bursar.adapters import Standpoint
from bursar.changes import (
    observed,
    payment_intended,
    payment_opened,
    refund_made,
    refund_requested,
    refund_sent,
)
from bursar.facts import Facts, Observation, Said, Stage, Transfer, Word
from bursar.lifecycle import order_state
from bursar.money import Money
from bursar.orders import Checkout, Dossier, Opened, Order, Terms
from bursar.refunds import RefundFacts, RefundObservation
from bursar.secrets import Secret
from bursar_http.settings import Settings
from bursar_http.shop import HttpShop

NOW = 1_785_240_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "QUJD" * 10
KEY = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def make_shop() -> Callable[..., HttpShop]:
    def make(**changes: Any) -> HttpShop:
        values: dict[str, Any] = {"url": "https://shop.example/bursar?from=pay", "secret": Secret(SECRET)}
        return HttpShop(Settings(**(values | changes)))

    return make


@pytest.fixture
def standpoint() -> Standpoint:
    """A paid order, a part of which is on its way back."""
    price = Money.parse("49.90 EUR")
    order = Order(KEY, "1001 ü", price, NOW, token="the-buyer-token")
    dossier = payment_intended(Dossier(order), account="main", attempt="a", terms=Terms(price, price), at=NOW)
    dossier = payment_opened(dossier, 1, Opened("inv-1", price, Checkout()))
    transfer = Transfer("t1", price, Said[Stage].once(Stage.CONFIRMED, NOW))
    facts = Facts(verdict=Said[Word].once(Word.SETTLED, NOW), transfers=(transfer,))
    dossier = observed(dossier, "main", Observation("inv-1", facts))
    dossier = refund_requested(
        dossier, payment=1, amount=Money.parse("10.00 EUR"), operation="op", at=NOW, reason="broken"
    )
    dossier = refund_sent(dossier, 1, at=NOW)
    made = RefundFacts(links=frozenset({"https://pay.example/claim/1"}))
    dossier = refund_made(dossier, 1, RefundObservation("pp-1", made))
    return Standpoint(order, order_state(dossier), 7, NOW, refunds=dossier.refunds, payment_ids=("inv-1",))


@pytest.fixture
def at_number(standpoint: Standpoint) -> Callable[[int], Standpoint]:
    return lambda number: attrs.evolve(standpoint, number=number)
