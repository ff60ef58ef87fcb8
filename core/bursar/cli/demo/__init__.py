"""`bursar demo`: two sandboxes, the server and a tiny shop, with one command."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bursar.cli.options import Level
from bursar.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["demo"]


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Play all stories in the terminal, judge them, and exit.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where the shop listens; 8080 if it is free, else a free one."),
    ] = None,
    account: Annotated[
        str, typer.Option(help="The account that new payments use: btcpay or coinpay.")
    ] = "btcpay",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Run both sandboxes, the server and a tiny shop, and open the shop's page. Nothing is left behind."""
    import asyncio
    import tempfile
    from pathlib import Path

    from bursar.cli.demo.stand import SERVICES
    from bursar.cli.logs import set_up_logs

    if account not in SERVICES:
        raise BadInput(f"the demo has the accounts {' and '.join(SERVICES)}, not {account!r}")
    set_up_logs(Level.CRITICAL if headless else Level.ERROR)
    with tempfile.TemporaryDirectory(prefix="bursar-demo-") as folder:
        if headless:
            good = asyncio.run(_headless(Path(folder), account))
            raise typer.Exit(0 if good else 1)
        asyncio.run(_show(Path(folder), port, account, browser))


async def _headless(folder: "Path", account: str) -> bool:
    from bursar.cli.demo.headless import play_all
    from bursar.cli.demo.stand import open_stand

    async with open_stand(folder, port=0, account=account) as stand:
        return await play_all(stand)


async def _show(folder: "Path", port: int | None, account: str, browser: bool) -> None:
    import asyncio
    import signal

    from bursar.cli.demo.stand import open_stand

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with open_stand(folder, port=port, account=account) as stand:
        print(f"the shop:      {stand.urls['shop']}")
        print(f"the server:    {stand.urls['bursar']}")
        for name, played in stand.sandboxes.items():
            print(f"{played.title + ':':14} {stand.urls[name]}/panel")
        print(f"configuration: {stand.config}\nstop with Ctrl-C", flush=True)
        if browser and _has_display():
            await asyncio.to_thread(_open, stand.urls["shop"])
        await stopped.wait()


def _has_display() -> bool:
    import os
    import sys

    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _open(url: str) -> Any:
    import webbrowser

    return webbrowser.open(url)
