"""All commands, put together. Each loads what it needs when it runs, so that help is there at once."""

from typing import Annotated

import typer

from bursar.cli.connect import connect
from bursar.cli.demo import demo
from bursar.cli.doctor import doctor
from bursar.cli.failing import Commands
from bursar.cli.init import init
from bursar.cli.order import order
from bursar.cli.providers import providers
from bursar.cli.refund import refund
from bursar.cli.review import review
from bursar.cli.sandbox import sandbox
from bursar.cli.serve import serve

__all__ = ["app"]

app = typer.Typer(
    name="bursar",
    cls=Commands,
    help="Take payments through any provider, follow each to its end, and keep the shop's own order in step.",
    no_args_is_help=True,
    # A traceback with local variables would show secrets.
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"bursar {version('bursar')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Hold what all commands share."""


app.command("init")(init)
app.command("connect")(connect)
app.command("doctor")(doctor)
app.command("serve")(serve)
app.command("providers")(providers)
app.add_typer(order, name="order")
app.add_typer(review, name="review")
app.add_typer(refund, name="refund")
app.command("sandbox")(sandbox)
app.command("demo")(demo)
