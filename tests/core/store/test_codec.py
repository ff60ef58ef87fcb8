"""Every value that is kept comes back equal, however extreme; and documents of other versions are readable."""

import json
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.facts import Facts, Observation, Said
from bursar.lifecycle import OrderState
from bursar.money import Asset, Money
from bursar.orders import Act, Order, Payment, Terms
from bursar.policy import Policy
from bursar.refunds import Refund, RefundObservation
from bursar.store import codec

assets = st.builds(Asset, st.from_regex(r"\A[A-Z][A-Z0-9_.-]{0,19}\Z"), st.integers(0, 18))
minors = st.integers(-(10**60) + 1, 10**60 - 1)
money = st.builds(Money, minors, assets)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
positive = st.builds(Money, st.integers(0, 10**60 - 1), assets)

NARROWER: dict[tuple[type, str], st.SearchStrategy[Any]] = {
    (Order, "reference"): st.from_regex(r"\A[!-~]{1,128}\Z"),
    (Order, "amount"): positive,
    (Observation, "payment_id"): st.text("abc-_ /é", min_size=1, max_size=200),
    (RefundObservation, "refund_id"): st.text("abc-_ /é", min_size=1, max_size=200),
    (Policy, "seen_enough_below"): st.none() | positive,
    (Policy, "tolerance"): st.none() | positive,
    (Policy, "tolerance_percent"): st.decimals(0, 100),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of the type *kind*, as annotated."""
    plain = {int: st.integers(-(2**63), 2**63 - 1), str: texts, bool: st.booleans(), Decimal: decimals}
    if kind in plain:
        return plain[kind]
    if kind is Money:
        return money
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        return st.one_of(*(any_of(part) for part in parts))
    if kind is type(None):
        return st.none()
    if origin is Said:
        words = st.frozensets(any_of(parts[0]), min_size=1, max_size=3)
        return st.builds(lambda at, now, more: Said(at, now, now | more), st.integers(0, 2**40), words, words)
    if origin is frozenset:
        return st.frozensets(any_of(parts[0]), max_size=3)
    if origin is tuple and parts[1:] == (...,):
        return st.lists(any_of(parts[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(any_of, parts))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    return st.deferred(lambda: every(kind))


def every(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy that draws every field of the attrs class *kind*: one that is added is drawn too."""
    fields = attrs.fields(attrs.resolve_types(kind))
    drawn = {f.name: NARROWER[kind, f.name] if (kind, f.name) in NARROWER else any_of(f.type) for f in fields}
    return st.builds(kind, **drawn)


@settings(max_examples=40)
@given(every(Order))
def test_an_order_comes_back_as_it_was_kept(order: Order) -> None:
    columns = {
        "key": order.key,
        "shop": order.shop,
        "reference": order.reference,
        "amount": str(order.amount),
        "created_at": order.created_at,
    }
    assert codec.read_order(columns, codec.write_order(order)) == order


@settings(max_examples=40)
@given(every(Payment))
def test_a_payment_and_its_facts_come_back_as_they_were_kept(payment: Payment) -> None:
    assert codec.read_payment(codec.write_payment(payment), codec.write_facts(payment.facts)) == payment


@settings(max_examples=40)
@given(every(Facts))
def test_facts_come_back_as_they_were_kept(facts: Facts) -> None:
    assert codec.read_facts(codec.write_facts(facts)) == facts


@settings(max_examples=40)
@given(every(Refund))
def test_a_refund_comes_back_as_it_was_kept(refund: Refund) -> None:
    assert codec.read_refund(codec.write_refund(refund)) == refund


@settings(max_examples=40)
@given(every(Act))
def test_an_act_comes_back_as_it_was_kept(act: Act) -> None:
    assert codec.read_act(codec.write_act(act)) == act


@settings(max_examples=40)
@given(every(OrderState))
def test_a_state_comes_back_as_it_was_kept(state: OrderState) -> None:
    assert codec.read_state(codec.write_state(state)) == state


@settings(max_examples=40)
@given(st.lists(every(Observation) | every(RefundObservation), max_size=3).map(tuple))
def test_what_a_parked_delivery_says_comes_back_as_it_was_kept(seen: tuple[Any, ...]) -> None:
    assert codec.read_seen(codec.write_seen(seen)) == seen


@settings(max_examples=40)
@given(st.dictionaries(texts, texts, max_size=4))
def test_headers_come_back_as_they_were_kept(headers: dict[str, str]) -> None:
    assert codec.read_headers(codec.write_headers(headers)) == headers


@settings(max_examples=40)
@given(every(Payment))
def test_no_document_has_a_float_in_it(payment: Payment) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"a float: {text}")

    json.loads(codec.write_payment(payment), parse_float=refuse)
    json.loads(codec.write_facts(payment.facts), parse_float=refuse)


@settings(max_examples=40)
@given(every(Facts))
def test_equal_facts_have_equal_documents(facts: Facts) -> None:
    said_backwards = attrs.evolve(
        facts,
        transfers=tuple(reversed(facts.transfers)),
        flags=frozenset(sorted(facts.flags, key=str, reverse=True)),
        billed=frozenset(sorted(facts.billed, key=str)),
    )
    assert said_backwards == facts
    assert codec.write_facts(said_backwards) == codec.write_facts(facts)


def test_an_amount_of_sixty_digits_and_eighteen_decimals_is_exact() -> None:
    amount = Money(10**60 - 1, Asset("ETH", 18))
    facts = Facts(billed=frozenset({amount}))

    assert "999.999999999999999999 ETH" in codec.write_facts(facts)
    assert codec.read_facts(codec.write_facts(facts)) == facts


def test_a_document_with_nothing_in_it_has_the_defaults() -> None:
    assert codec.read_facts("{}") == Facts()


def test_what_a_newer_version_added_to_a_document_is_passed_over() -> None:
    assert codec.read_facts('{"flags": ["late"], "mood": {"of": ["the", 1]}}').flags
    assert codec.read_act('{"kind": "cancel", "at": 5, "mood": 1}').at == 5


CENT = Money(1, Asset("EUR", 2))


def test_a_policy_is_kept_in_full_so_that_a_new_default_changes_no_old_order() -> None:
    terms = json.loads(codec.write_payment(Payment(1, Terms(CENT, CENT))))["terms"]

    assert set(terms["policy"]) == {field.name for field in attrs.fields(Policy)}


def test_the_facts_of_a_payment_are_not_in_its_own_document() -> None:
    payment = Payment(1, Terms(CENT, CENT), facts=Facts(refunds=frozenset({"r1"})))

    assert "r1" not in codec.write_payment(payment)


@settings(max_examples=40)
@given(money)
def test_money_is_written_as_it_writes_itself(amount: Money) -> None:
    assert codec.write_facts(Facts(billed=frozenset({amount}))) == f'{{"billed":["{amount}"]}}'
