"""`bursar refund …`: send money back, record what a person sent, take back what was not sent."""

from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from bursar.cli.opening import find_order, opened, say
from bursar.cli.options import BURSAR_TOML, ConfigPath, OrderName, ShopName, Who, someone
from bursar.cli.printing import plain

__all__ = ["refund"]

_HELP: Final = ("--help",)


class _OrderFirst(TyperGroup):
    """Take `bursar refund ORDER …` for `bursar refund send ORDER …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in _HELP:
            args = ["send", *args]
        return super().parse_args(ctx, args)


refund = typer.Typer(
    cls=_OrderFirst,
    no_args_is_help=True,
    help="Send money back: `bursar refund ORDER AMOUNT` (short for `bursar refund send ORDER AMOUNT`).",
)
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The refund's number in the order.")]


@refund.command("send")
def send(
    name: OrderName,
    amount: Annotated[
        str, typer.Argument(metavar="[AMOUNT]", help="In the order's currency; all that is left without it.")
    ] = "",
    payment: Annotated[
        int, typer.Option(min=0, help="Which payment it goes against, where several could be.")
    ] = 0,
    reason: Annotated[str, typer.Option(help="Why; the buyer may be told.")] = "",
    operation: Annotated[
        str, typer.Option(help="A name of your own: asking again under it never pays twice.")
    ] = "",
    who: Who = "",
    shop: ShopName = "",
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """Send money back, never more than can still go back. Where the provider cannot, it becomes a task for a person."""
    with opened(config) as bursar:
        made = bursar.refund(
            find_order(bursar, name, shop).key,
            amount=amount or None,
            payment=payment or None,
            reason=reason,
            operation=operation,
            who=someone(who),
        )
    print(plain(f"refund {made.number} of {made.amount}: {made.status.value}"))
    for link in made.links:
        print(plain(f"the buyer claims it at {link}"))
    if made.kept.problem:
        print(plain(f"problem: {made.kept.problem}"))
    if made.manual:
        print(
            f"send {plain(str(made.amount))} by hand, then: "
            f"bursar refund record {plain(name)} {made.number} --transaction ID"
        )


@refund.command("record")
def record(
    name: OrderName,
    number: Number,
    transaction: Annotated[str, typer.Option(help="By which the money can be found.")],
    who: Who = "",
    shop: ShopName = "",
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """Record that a person has sent the money of a manual refund."""
    with opened(config) as bursar:
        key = find_order(bursar, name, shop).key
        say(bursar.record_refund(key, number, transaction=transaction, who=someone(who)))


@refund.command("withdraw")
def withdraw(
    name: OrderName, number: Number, who: Who = "", shop: ShopName = "", config: ConfigPath = BURSAR_TOML
) -> None:
    """Take back a refund that was not paid out yet."""
    with opened(config) as bursar:
        say(bursar.withdraw_refund(find_order(bursar, name, shop).key, number, who=someone(who)))
