"""Operations on orders: open one, act on one, resolve what needs a person."""

from collections.abc import Mapping
from typing import Any

from bursar.changes import acted, cancel_wanted
from bursar.desk import Desk
from bursar.effects import Commit, Operation, Read, keep
from bursar.errors import BadInput, Refused
from bursar.orders import Act, ActKind, Dossier, Order
from bursar.policies import read_policy
from bursar.work import Kept, Name, NewOrder, OnOrder

__all__ = ["act", "open_order"]


def open_order(
    desk: Desk,
    *,
    reference: str,
    amount: Any,
    currency: str | None = None,
    shop: str = "shop",
    description: str = "",
    return_url: str = "",
    policy: Mapping[str, str] | None = None,
    idempotency_key: str = "",
) -> Operation[tuple[Kept, bool]]:
    """Open an order and return it with whether it is new.

    The same *reference* (or *idempotency_key*) again returns the order that is there, if it asks for the same; an order
    that asks for something else is refused, for two debts cannot have one name.
    """
    money = desk.money(amount, currency)
    if not money.minor:
        raise BadInput("an order for nothing needs no payment")
    _check_url(return_url)
    pairs = tuple((policy or {}).items())
    read_policy(pairs, assets=desk.assets)
    key, now = desk.new_key(), desk.now
    order = Order(
        key=key,
        reference=reference,
        amount=money,
        created_at=now,
        shop=shop,
        token=desk.new_token(),
        description=description[:500],
        return_url=return_url,
        policy=pairs,
    )
    names = [Name("reference", shop, reference)]
    if idempotency_key:
        if len(idempotency_key) > 255:
            raise BadInput("an idempotency key is at most 255 characters")
        names.append(Name("idempotency", shop, idempotency_key))
    applied = yield Commit(NewOrder(Dossier(order), tuple(names), now))
    kept: Kept = applied.kept
    there = kept.dossier.order
    if not applied.fresh and (there.reference, there.amount, there.shop) != (reference, money, shop):
        raise Refused(
            f"shop {shop!r} has order {there.reference!r} of {there.amount} already under that name or key; "
            f"{reference!r} of {money} is another order and needs another"
        )
    return kept, bool(applied.fresh)


def act(
    desk: Desk, order_key: str, kind: ActKind, *, who: str, why: str = "", subject: str = ""
) -> Operation[Kept]:
    """Record what the merchant did to an order, and return the order as it stands then."""
    if not who.strip():
        raise BadInput("say who does this: it is kept with the order")
    done = Act(kind, desk.now, who.strip()[:200], why.strip()[:1000], subject)
    cancelling = frozenset(name for name, account in desk.accounts.items() if account.capabilities.cancels)

    def change(dossier: Dossier) -> Dossier:
        after = acted(dossier, done)
        return cancel_wanted(after, cancelling) if kind is ActKind.CANCEL else after

    yield Read(lambda: desk.kept(order_key))
    return (yield from keep(OnOrder(order_key, change, done.at, f"{kind.value} by {done.who}")))


def _check_url(url: str) -> None:
    if url and not url.lower().startswith(("https://", "http://")):
        raise BadInput("a return URL begins with https:// or http://")
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in url):
        raise BadInput("a return URL has no spaces and no control characters")
