"""Operations on orders: open one, act on one, resolve what needs a person."""

from collections.abc import Mapping
from typing import Any

from bursar.changes import acted, cancel_wanted
from bursar.desk import Desk
from bursar.effects import Commit, Operation, Read, keep
from bursar.errors import BadInput, ConfigError, Refused
from bursar.orders import Act, ActKind, Dossier, Order
from bursar.policies import read_policy
from bursar.texts import read_text
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
    for text, what in ((reference, "an order's id"), (shop, "a shop's name")):
        read_text(text, what, most=128)
    money = desk.money(amount, currency)
    if not money.minor:
        raise BadInput("an order for nothing needs no payment")
    _check_url(return_url)
    pairs = _policy(desk, policy or {})
    _check_shop(desk, shop)
    key, now = desk.new_key(), desk.now
    order = Order(
        key=key,
        reference=reference,
        amount=money,
        created_at=now,
        shop=shop,
        token=desk.new_token(),
        description=read_text(description, "a description", most=500),
        return_url=return_url,
        policy=pairs,
    )
    names = [Name("reference", shop, reference)]
    if idempotency_key:
        if read_text(idempotency_key, "an idempotency key", most=255) != idempotency_key:
            raise BadInput("an idempotency key is at most 255 characters, without blanks at its ends")
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
    by = read_text(who, "who", most=200, needed="say who does this: it is kept with the order")
    done = Act(kind, desk.now, by, read_text(why, "why", most=1000), subject)
    cancelling = frozenset(name for name, account in desk.accounts.items() if account.capabilities.cancels)

    def change(dossier: Dossier) -> Dossier:
        after = acted(dossier, done)
        return cancel_wanted(after, cancelling) if kind is ActKind.CANCEL else after

    yield Read(lambda: desk.kept(order_key))
    return (yield from keep(OnOrder(order_key, change, done.at, f"{kind.value} by {done.who}")))


def _policy(desk: Desk, policy: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(policy.items())
    for key, value in pairs:
        if not isinstance(value, str):
            raise BadInput(
                f"policy: {key} is written as text, as in the configuration, not as {type(value).__name__}"
            )
    try:
        read_policy(pairs, assets=desk.assets)
    except ConfigError as error:
        raise BadInput(f"policy: {error}") from None
    return pairs


def _check_shop(desk: Desk, shop: str) -> None:
    # Without any shop nobody is to be told; beside configured ones, an unknown name is a slip that nobody would notice.
    if desk.shops and shop not in desk.shops:
        raise BadInput(f"there is no shop {shop!r}; configured: {', '.join(sorted(desk.shops))}")


def _check_url(url: str) -> None:
    if url and not url.lower().startswith(("https://", "http://")):
        raise BadInput("a return URL begins with https:// or http://")
    if (
        len(url) > 2_000
        or read_text(url, "a return URL", most=2_000) != url
        or not url.isprintable()
        or " " in url
    ):
        raise BadInput("a return URL is at most 2000 characters, without spaces and control characters")
