"""`bursar order …`: look at orders, and do what a merchant does to one."""

from typing import Annotated

import typer

from bursar.cli.opening import find_order, opened, say
from bursar.cli.options import BURSAR_TOML, AsJson, ConfigPath, OrderName, ShopName, Who, Why, someone
from bursar.cli.printing import console, moment, print_json, table
from bursar.errors import BadInput

__all__ = ["order"]

order = typer.Typer(help="Look at orders, and act on one.", no_args_is_help=True)


@order.command("show")
def show(
    name: OrderName, shop: ShopName = "", as_json: AsJson = False, config: ConfigPath = BURSAR_TOML
) -> None:
    """Show one order: status, money, what a person can do, payments, refunds, history, webhooks."""
    with opened(config) as bursar:
        found = find_order(bursar, name, shop)
        history, deliveries = bursar.history(found.key), bursar.deliveries(found.key)
    from bursar.cli.showing import delivery_document, show_order
    from bursar.views import history_document

    if as_json:
        shown = found.document(merchant=True)
        shown["history"] = history_document(history)
        shown["deliveries"] = [delivery_document(delivery) for delivery in deliveries]
        print_json(shown)
        return
    show_order(console(), found, history, deliveries)


@order.command("list")
def list_orders(
    status: Annotated[str, typer.Option(help="Only those with this status, such as paid.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """List orders, the last changed first."""
    from bursar.lifecycle import OrderStatus

    known = {member.value: member for member in OrderStatus}
    if status and status not in known:
        raise BadInput(f"{status!r} is no status of an order; there are {', '.join(known)}")
    with opened(config) as bursar:
        found = bursar.desk.store.orders(status=known[status] if status else None, limit=limit)
    if as_json:
        print_json(
            [
                {
                    "key": one.order_key,
                    "shop": one.shop,
                    "reference": one.reference,
                    "amount": one.amount,
                    "status": one.status.value,
                    "needs_review": one.needs_review,
                    "created_at": one.created_at,
                    "changed_at": one.changed_at,
                }
                for one in found
            ]
        )
        return
    if not found:
        print("no orders")
        return
    rows = [
        (
            one.reference,
            one.amount,
            one.status.value,
            "look" if one.needs_review else "",
            moment(one.changed_at),
            one.shop,
            one.order_key,
        )
        for one in found
    ]
    console().print(table(("order", "amount", "status", "review", "changed (UTC)", "shop", "key"), rows))


@order.command("cancel")
def cancel(
    name: OrderName, who: Who = "", why: Why = "", shop: ShopName = "", config: ConfigPath = BURSAR_TOML
) -> None:
    """Cancel an order that is not paid. Open payments are cancelled at their provider where that can be done."""
    with opened(config) as bursar:
        say(bursar.cancel(find_order(bursar, name, shop).key, who=someone(who), why=why))


@order.command("fulfil")
def fulfil(
    name: OrderName, who: Who = "", why: Why = "", shop: ShopName = "", config: ConfigPath = BURSAR_TOML
) -> None:
    """Record that a paid order was delivered."""
    with opened(config) as bursar:
        say(bursar.fulfil(find_order(bursar, name, shop).key, who=someone(who), why=why))


@order.command("accept")
def accept(
    name: OrderName, who: Who = "", why: Why = "", shop: ShopName = "", config: ConfigPath = BURSAR_TOML
) -> None:
    """Accept what the policy leaves to a person: late, short or mismatched money counts."""
    with opened(config) as bursar:
        say(bursar.accept(find_order(bursar, name, shop).key, who=someone(who), why=why))


@order.command("sync")
def sync(name: OrderName, shop: ShopName = "", config: ConfigPath = BURSAR_TOML) -> None:
    """Ask the providers about every payment of an order, now."""
    with opened(config) as bursar:
        say(bursar.sync(find_order(bursar, name, shop).key))
