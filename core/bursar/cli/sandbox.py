"""`bursar sandbox`: serve a faithful fake of a payment service, to play buyer, chain and merchant by hand."""

import time
from typing import Annotated

import typer

from bursar.cli.options import Level

__all__ = ["account_lines", "sandbox"]


def sandbox(
    name: Annotated[
        str, typer.Argument(metavar="PROVIDER", help="The provider, as `bursar providers` lists it.")
    ],
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8090,
    webhook_url: Annotated[
        str, typer.Option(help="Where it delivers webhooks.")
    ] = "http://127.0.0.1:8000/webhooks/main",
    seed: Annotated[int, typer.Option(help="The same seed makes the same ids again.")] = 0,
) -> None:
    """Serve a provider's sandbox, with a panel to play on, and print the account that talks to it."""
    from bursar import plugins
    from bursar.cli.carrying import serve_sandbox
    from bursar.cli.hosting import address_of, listen
    from bursar.cli.logs import set_up_logs

    set_up_logs(Level.WARNING)
    cls = plugins.sandbox(name)
    listener = listen(host, port, cure="choose another --port")
    url = address_of(listener)
    played = cls(clock=time.time, url=url, seed=seed)
    print(f"{played.title} sandbox at {url}")
    print(f"play buyer, chain and merchant at {url}/panel")
    print(f"webhooks go to {webhook_url}")
    print("\nPut this into bursar.toml (sandbox secrets only; stop with Ctrl-C):\n")
    print(account_lines(name, played.account(webhook_url=webhook_url)), flush=True)
    serve_sandbox(played, listener)


def account_lines(provider: str, settings: dict[str, str], name: str = "main") -> str:
    """Return the `[accounts.NAME]` that talks to a sandbox; its secrets are worth nothing, so they stand in clear."""
    from bursar.testing.stage import account_table

    return account_table(provider, settings, name=name)
