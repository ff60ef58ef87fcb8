"""Turn an order's parts into documents and back: JSON, in which money is text and nothing is a float.

What is absent in a document takes the default of its class, and what the class does not know is ignored, so documents
of older and newer versions are readable. Only a policy is written out in full: its defaults are choices, and an order
keeps the ones it was made under. Sets are written in order, so equal values have equal documents.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeVar, get_args, get_origin

import attrs
import cattrs
import msgspec
from cattrs.gen import make_dict_unstructure_fn, override

from bursar.facts import Facts, Observation, Said
from bursar.lifecycle import OrderState
from bursar.money import Money
from bursar.orders import Act, Order, Payment, Seen, Terms
from bursar.policy import Policy
from bursar.refunds import Refund, RefundObservation

__all__ = [
    "read_act",
    "read_facts",
    "read_headers",
    "read_order",
    "read_payment",
    "read_refund",
    "read_seen",
    "read_state",
    "write_act",
    "write_facts",
    "write_headers",
    "write_order",
    "write_payment",
    "write_refund",
    "write_seen",
    "write_state",
]

T = TypeVar("T")

_parse_money: Final = lru_cache(maxsize=16_384)(Money.parse)


def _write_money(money: Money) -> str:
    """Write what `str` writes, in a third of the time: with every delivery several amounts are written."""
    minor, decimals = money.minor, money.asset.decimals
    if minor < 0 or not decimals:
        return str(money)
    whole, rest = divmod(minor, 10**decimals)
    return f"{whole}.{rest:0{decimals}} {money.asset.code}"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value._value_
    return _write_money(value) if type(value) is Money else value


def _sorted(values: frozenset[Any]) -> list[Any]:
    plain = [_plain(value) for value in values]
    return sorted(plain) if len(plain) > 1 else plain


def _write_said(said: Said[Any]) -> list[Any]:
    now = _sorted(said.now)
    return [said.at, now] if said.now == said.ever else [said.at, now, _sorted(said.ever)]


def _said_reader(cls: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    (word,) = get_args(cls)
    one: Callable[[Any], Any]
    if word is Money:
        one = _parse_money
    else:
        by_value: dict[Any, Any] = {member.value: member for member in word}
        one = by_value.__getitem__

    def read(document: list[Any], _: object) -> Said[Any]:
        now = frozenset(map(one, document[1]))
        return Said(document[0], now, frozenset(map(one, document[2])) if len(document) > 2 else now)

    return read


def _is_said(cls: Any) -> bool:
    return get_origin(cls) is Said


def _is_set(cls: Any) -> bool:
    return get_origin(cls) is frozenset


def _read_money(text: str, _: object) -> Money:
    return _parse_money(text)


def _read_decimal(text: str, _: object) -> Decimal:
    return Decimal(text)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False, omit_if_default=True)
    converter.register_unstructure_hook(Money, _write_money)
    converter.register_structure_hook(Money, _read_money)
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, _read_decimal)
    converter.register_unstructure_hook(Said, _write_said)
    converter.register_unstructure_hook_func(_is_said, _write_said)
    converter.register_structure_hook_factory(_is_said, _said_reader)
    converter.register_unstructure_hook_func(_is_set, _sorted)
    in_full = make_dict_unstructure_fn(Policy, converter, _cattrs_omit_if_default=False)
    converter.register_unstructure_hook(Policy, in_full)
    converter.register_unstructure_hook(
        Terms,
        make_dict_unstructure_fn(
            Terms, converter, _cattrs_omit_if_default=True, policy=override(omit_if_default=False)
        ),
    )
    # What is known of a payment is a document of its own.
    converter.register_unstructure_hook(
        Payment,
        make_dict_unstructure_fn(Payment, converter, _cattrs_omit_if_default=True, facts=override(omit=True)),
    )
    return converter


_converter: Final = _make_converter()
_encode: Final = msgspec.json.Encoder().encode
_facts_document: Final = _converter.get_unstructure_hook(Facts)
_decode: Final = msgspec.json.Decoder().decode
_COLUMNS: Final = ("key", "shop", "reference", "amount", "created_at")
_AMOUNTS: Final = tuple(
    field.name for field in attrs.fields(OrderState) if field.type is Money and field.name != "credited"
)


def _to_text(document: object) -> str:
    return _encode(document).decode()


def _write(value: object) -> str:
    return _to_text(_converter.unstructure(value))


def write_order(order: Order) -> str:
    """Write what of *order* has no column of its own."""
    document: dict[str, Any] = _converter.unstructure(order)
    return _to_text({name: value for name, value in document.items() if name not in _COLUMNS})


def read_order(columns: Mapping[str, Any], text: str) -> Order:
    """Read an order from its *columns* (key, shop, reference, amount, created_at) and its document."""
    return _converter.structure({**_decode(text), **columns}, Order)


def write_payment(payment: Payment) -> str:
    """Write all of *payment* but its facts."""
    return _write(payment)


def read_payment(text: str, facts: str) -> Payment:
    """Read a payment from its document and that of its facts."""
    return _converter.structure({**_decode(text), "facts": _decode(facts)}, Payment)


def write_facts(facts: Facts) -> str:
    return _to_text(_facts_document(facts))


def read_facts(text: str) -> Facts:
    return _converter.structure(_decode(text), Facts)


def write_refund(refund: Refund) -> str:
    return _write(refund)


def read_refund(text: str) -> Refund:
    return _converter.structure(_decode(text), Refund)


def write_act(act: Act) -> str:
    return _write(act)


def read_act(text: str) -> Act:
    return _converter.structure(_decode(text), Act)


def write_state(state: OrderState) -> str:
    """Write *state*, leaving out the amounts that are nothing; *credited* is always there and says the asset."""
    credited = state.credited
    document: dict[str, Any] = {"status": state.status._value_, "credited": _write_money(credited)}
    if state.flags:
        document["flags"] = state.flags
    if state.refunds:
        document["refunds"] = state.refunds
    if state.reviews:
        document["reviews"] = _converter.unstructure(state.reviews)
    for name in _AMOUNTS:
        amount: Money = getattr(state, name)
        if amount.minor or amount.asset != credited.asset:
            document[name] = _write_money(amount)
    return _to_text(document)


def read_state(text: str) -> OrderState:
    document: dict[str, Any] = _decode(text)
    nothing = str(Money.zero(_parse_money(document["credited"]).asset))
    amounts = {name: document.get(name, nothing) for name in _AMOUNTS}
    return _converter.structure({"flags": (), "reviews": (), **amounts, **document}, OrderState)


def write_seen(seen: tuple[Seen, ...]) -> str:
    """Write observations of payments and of refunds, each after its kind."""
    return _to_text(
        [
            ["payment" if isinstance(one, Observation) else "refund", _converter.unstructure(one)]
            for one in seen
        ]
    )


def read_seen(text: str) -> tuple[Seen, ...]:
    kinds: dict[str, type[Seen]] = {"payment": Observation, "refund": RefundObservation}
    return tuple(_converter.structure(one, kinds[kind]) for kind, one in _decode(text))


def write_headers(headers: Mapping[str, str]) -> str:
    return _to_text(dict(headers))


def read_headers(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])
