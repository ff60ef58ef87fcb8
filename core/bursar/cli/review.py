"""`bursar review …`: what waits for a person, and how a person settles it."""

from typing import Annotated, Any

import typer

from bursar.cli.opening import find_order, opened, say
from bursar.cli.options import BURSAR_TOML, AsJson, ConfigPath, OrderName, ShopName, Who, Why, someone
from bursar.cli.printing import console, grid, heading, moment, print_json, table

__all__ = ["review"]

review = typer.Typer(help="List what waits for a person, and settle it.", invoke_without_command=True)


@review.callback()
def list_reviews(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders at most.")] = 50,
    as_json: AsJson = False,
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """List the orders that a person should look at, with the commands that settle each finding."""
    if ctx.invoked_subcommand is not None:
        return
    with opened(config) as bursar:
        found = [bursar.order(one.order_key) for one in bursar.orders(needs_review=True, limit=limit)]
        parked = bursar.parked(limit=limit)
    from bursar.cli.showing import cures

    if as_json:
        print_json(
            {
                "orders": [order.document(merchant=True) for order in found],
                "parked": [
                    {
                        "account": one.account,
                        "subject": one.subject,
                        "event": one.event,
                        "received_at": one.received_at,
                    }
                    for one in parked
                ],
            }
        )
        return
    to = console()
    for order in found:
        to.print(heading(f"order {order.reference} ({order.shop}): {order.status.value}, {order.amount}"))
        for one in order.reviews:
            rows: dict[str, Any] = {one.reason.value: str(one.amount) if one.amount is not None else "look"}
            rows |= {f"  {number}": command for number, command in enumerate(cures(order, one), 1)}
            to.print(grid(rows))
    if parked:
        to.print(heading("webhooks about payments that are not known here"))
        rows_ = [(moment(one.received_at), one.account, one.subject, one.event) for one in parked]
        to.print(table(("when (UTC)", "account", "about", "event"), rows_))
    if not found and not parked:
        print("nothing waits for a person")


@review.command("resolve")
def resolve(
    name: OrderName,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The finding's key, as `bursar review` shows it.")
    ],
    who: Who = "",
    why: Why = "",
    shop: ShopName = "",
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """Close one finding, with a record of who, when and why. Nothing else changes."""
    with opened(config) as bursar:
        say(bursar.resolve(find_order(bursar, name, shop).key, key, who=someone(who), why=why))


@review.command("accept")
def accept(
    name: OrderName, who: Who = "", why: Why = "", shop: ShopName = "", config: ConfigPath = BURSAR_TOML
) -> None:
    """Accept the money as it came: the same as `bursar order accept`."""
    with opened(config) as bursar:
        say(bursar.accept(find_order(bursar, name, shop).key, who=someone(who), why=why))
