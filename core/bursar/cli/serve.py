"""`bursar serve`: the webhook URL, the merchant API, the checkout page and the courier, in one process."""

import gc
import socket
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bursar.cli.options import BURSAR_TOML, ConfigPath, Level
from bursar.errors import ConfigError

if TYPE_CHECKING:
    from bursar.config import Config

__all__ = ["serve"]


def serve(
    config: ConfigPath = BURSAR_TOML,
    log_level: Annotated[Level, typer.Option(help="Log from this level on.")] = Level.INFO,
) -> None:
    """Run the server, until it is stopped (Ctrl-C, or SIGTERM): then it finishes what is under way."""
    from bursar.cli.hosting import address_of, listen
    from bursar.cli.logs import set_up_logs
    from bursar.config import load_config

    set_up_logs(log_level)
    settings = load_config(config)
    if not settings.accounts:
        raise ConfigError(f"{config}: no account is configured; write [accounts.NAME], or run bursar init")
    cure = f"stop what has it, or set host and port under [bursar] in {config}"
    listener = listen(settings.server.host, settings.server.port, cure=cure)
    server = _make(settings, listener, address_of(listener))
    server.run(sockets=[listener])
    print("bursar: stopped", file=sys.stderr)


def _make(config: "Config", listener: socket.socket, address: str) -> Any:
    from bursar.cli.hosting import Server, make_server
    from bursar.service import AsyncBursar
    from bursar.web import create_app

    class Announcing(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            # What is there now stays for good; the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            print(_announcement(config, address), file=sys.stderr, flush=True)

    try:
        app = create_app(AsyncBursar(config))
    except BaseException:
        listener.close()
        raise
    return make_server(app, Announcing)


def _announcement(config: "Config", address: str) -> str:
    public = config.server.public_url.rstrip("/")
    hooks = [f"  webhooks of {name}: {public}/webhooks/{name}" for name in sorted(config.accounts)]
    key = "needs the api_key" if config.server.api_key else "is off: no api_key is set under [bursar]"
    lines = [
        f"bursar: listens on {address}, reached at {public}",
        *hooks,
        f"  the API for shops ({public}/api) {key}",
        "  stop with Ctrl-C",
    ]
    return "\n".join(lines)
