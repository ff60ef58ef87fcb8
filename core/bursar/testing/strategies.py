"""Hypothesis strategies for the kernel's values: amounts, facts, refunds, terms and whole dossiers.

Instants and ids come from small ranges on purpose, so that what happens at the same moment or to the same transfer happens
often. Needs the extra `testing`.
"""

from decimal import Decimal
from typing import Final, TypeVar

from hypothesis import strategies as st

from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.money import Asset, Money
from bursar.orders import Dossier, Order, Payment, Terms
from bursar.policy import LateMoney, Policy, Surplus
from bursar.refunds import Payout, PayoutStage, RefundFacts, RefundWord

__all__ = [
    "ASSETS",
    "assets",
    "dossiers",
    "facts",
    "money",
    "observations",
    "payments",
    "payouts",
    "policies",
    "refund_facts",
    "said",
    "terms",
    "transfers",
]

T = TypeVar("T")
_INSTANTS: Final = st.integers(0, 4)

ASSETS: Final = (Asset("EUR", 2), Asset("BTC", 8), Asset("JPY", 0), Asset("ETH", 18))
"""A currency, a coin, an asset without decimals and one with many."""


def assets() -> st.SearchStrategy[Asset]:
    """Draw an asset."""
    return st.sampled_from(ASSETS)


def money(asset: Asset | None = None, *, least: int = 0, most: int = 10**30) -> st.SearchStrategy[Money]:
    """Draw an amount of *asset*, or of any, from *least* to *most* smallest units."""
    return st.builds(Money, st.integers(least, most), assets() if asset is None else st.just(asset))


def said(
    words: st.SearchStrategy[T], instants: st.SearchStrategy[int] = _INSTANTS
) -> st.SearchStrategy[Said[T]]:
    """Draw what was said at one to four instants."""
    spoken = st.lists(st.tuples(words, instants), min_size=1, max_size=4)
    return spoken.map(_all_said)


def _all_said(spoken: list[tuple[T, int]]) -> Said[T]:
    first, *others = (Said[T].once(word, at) for word, at in spoken)
    for other in others:
        first = first.join(other)
    return first


def transfers(
    asset: Asset | None = None, *, transfer_id: str | None = None, most: int = 10**6
) -> st.SearchStrategy[Transfer]:
    """Draw a movement of money by one of three ids."""
    return st.builds(
        Transfer,
        st.sampled_from("abc") if transfer_id is None else st.just(transfer_id),
        money(asset, most=most),
        said(st.sampled_from(Stage)),
        st.none() | st.integers(0, 200),
        st.booleans(),
    )


def facts(
    asset: Asset = ASSETS[0], sent: Asset = ASSETS[1], *, most: int = 10**6
) -> st.SearchStrategy[Facts]:
    """Draw facts of a payment that is billed in *asset* and paid in *sent*."""
    words = said(st.sampled_from(Word))
    return st.builds(
        Facts,
        verdict=st.none() | words,
        polled=st.none() | words,
        transfers=st.lists(transfers(sent, most=most), max_size=3).map(tuple),
        credited=st.none() | said(money(asset, most=most)),
        billed=st.frozensets(money(asset, least=1, most=most), max_size=2),
        flags=st.frozensets(st.sampled_from(Flag), max_size=2),
        refunds=st.frozensets(st.sampled_from(["r1", "r2"]), max_size=2),
    )


def observations(payment_id: str = "p1", asset: Asset = ASSETS[0]) -> st.SearchStrategy[Observation]:
    """Draw an observation of the payment that the provider calls *payment_id*."""
    return st.builds(Observation, st.just(payment_id), facts(asset), st.sampled_from(["", "event"]))


def payouts(asset: Asset = ASSETS[0], *, payout_id: str | None = None) -> st.SearchStrategy[Payout]:
    """Draw one payout of a refund."""
    return st.builds(
        Payout,
        st.sampled_from("xy") if payout_id is None else st.just(payout_id),
        st.none() | money(asset, most=10**6),
        said(st.sampled_from(PayoutStage)),
    )


def refund_facts(asset: Asset = ASSETS[0]) -> st.SearchStrategy[RefundFacts]:
    """Draw facts of a refund."""
    return st.builds(
        RefundFacts,
        verdict=st.none() | said(st.sampled_from(RefundWord)),
        payouts=st.lists(payouts(asset), max_size=3).map(tuple),
        asked=st.frozensets(money(asset, most=10**6), max_size=2),
        transactions=st.frozensets(st.sampled_from(["t1", "t2"]), max_size=2),
        links=st.frozensets(st.sampled_from(["https://pay.example/1"]), max_size=1),
        polled_at=st.integers(0, 200),
    )


def policies(asset: Asset = ASSETS[0]) -> st.SearchStrategy[Policy]:
    """Draw a policy in which each rule is on or off."""
    return st.builds(
        Policy,
        seen_enough_below=st.none() | money(asset, least=1, most=10**6),
        tolerance=st.none() | money(asset, most=100),
        tolerance_percent=st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(5)]),
        late=st.sampled_from(LateMoney),
        late_grace=st.sampled_from([0, 60]),
        surplus=st.sampled_from(Surplus),
        accept_marked_by_hand=st.booleans(),
    )


@st.composite
def terms(draw: st.DrawFn, asset: Asset = ASSETS[0], sent: Asset = ASSETS[1]) -> Terms:
    """Draw terms of a payment for an order in *asset*, billed in the same or another currency and paid in *sent*."""
    worth = draw(money(asset, least=1, most=10**6))
    billed = worth if draw(st.booleans()) else draw(money(ASSETS[2], least=1, most=10**6))
    asks = draw(st.none() | money(sent, least=1, most=10**6))
    return Terms(
        worth,
        billed,
        asks=() if asks is None else (asks,),
        expires_at=draw(st.none() | st.just(100)),
        policy=draw(policies(asset)),
    )


@st.composite
def payments(draw: st.DrawFn, number: int = 1, asset: Asset = ASSETS[0]) -> Payment:
    """Draw a payment that is open at the account `main`, with any facts."""
    agreed = draw(terms(asset))
    return Payment(
        number,
        agreed,
        draw(facts(agreed.billed.asset)),
        account="main",
        payment_id=f"p{number}",
        created_at=1,
    )


@st.composite
def dossiers(draw: st.DrawFn, *, most: int = 3) -> Dossier:
    """Draw an order with up to *most* payments in any state, and neither refunds nor acts."""
    asset = draw(assets())
    order = Order("key-1", "order-1", draw(money(asset, most=10**6)))
    count = draw(st.integers(0, most))
    return Dossier(order, tuple(draw(payments(number, asset)) for number in range(1, count + 1)))
