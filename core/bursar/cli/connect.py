"""`bursar connect`: set an account up from the provider's own consent page, without a secret on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from bursar.cli.options import BURSAR_TOML, ConfigPath, Level
from bursar.cli.printing import plain
from bursar.errors import ConfigError, NotFound, Refused

if TYPE_CHECKING:
    from bursar.config import AccountConfig
    from bursar.providers import Connection

__all__ = ["account_to_paste", "connect"]

_VALID_FOR: Final = 900


def connect(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account's name in the configuration.")
    ],
    name: Annotated[str, typer.Option(help="What the provider's page calls your shop.")] = "Bursar",
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """Connect an account: print the provider's page, wait for your consent, and write the secrets into files."""
    import secrets

    from bursar import plugins
    from bursar.cli.callback import take_callback
    from bursar.cli.hosting import listen
    from bursar.cli.logs import set_up_logs
    from bursar.config import load_config
    from bursar.providers import AcceptsConnection

    set_up_logs(Level.ERROR)
    settings = load_config(config)
    if account not in settings.accounts:
        known = ", ".join(sorted(settings.accounts)) or "none"
        raise NotFound(f"there is no account {account!r} in {config}; configured: {known}")
    mine = settings.accounts[account]
    provider = plugins.provider(mine.provider)(mine.settings)
    if not isinstance(provider, AcceptsConnection) or not provider.capabilities.connects:
        raise Refused(
            f"{provider.title} has no consent page; set {account!r} up by hand, see its page in the docs"
        )
    server = settings.server
    cure = f"bursar serve has it? Stop it while you connect, or set host and port under [bursar] in {config}"
    listener = listen(server.host, server.port, cure=cure)
    public, nonce = server.public_url.rstrip("/"), secrets.token_urlsafe(32)
    path = f"/connect/{account}"
    url = provider.authorize_url(callback=f"{public}{path}?nonce={nonce}", shop=name)
    print(
        f"Open this page and consent (it is good for {_VALID_FOR // 60} minutes, once):\n\n{url}\n",
        flush=True,
    )
    connection = take_callback(
        provider,
        listener,
        path=path,
        nonce=nonce,
        webhook_url=f"{public}/webhooks/{account}",
        valid_for=_VALID_FOR,
    )
    for finding in connection.findings:
        cure = f"; {finding.cure}" if finding.cure else ""
        print(plain(f"{finding.level.value}: {finding.subject}: {finding.message}{cure}"))
    lines = account_to_paste(mine, connection, config.parent)
    print(
        f"\nPut this into {config} in place of [accounts.{account}]; the secrets are in the files that it names:\n"
    )
    print(lines)


def account_to_paste(account: "AccountConfig", connection: "Connection", folder: Path) -> str:
    """Write the secrets of *connection* into *folder*, and return the account's lines, which refer to them."""
    import json

    import attrs

    from bursar.cli.secretfiles import write_secret

    cls = attrs.resolve_types(cast(type[Any], account.settings.__class__))
    kinds = {f.name: str(f.type) for f in attrs.fields(cls)}
    lines = [f"[accounts.{account.name}]", f'provider = "{account.provider}"']
    for key, value in connection.settings.items():
        if key not in kinds:
            raise ConfigError(
                f"the plugin {account.provider!r} returned {key!r}, which is no setting of its own"
            )
        if "Secret" in kinds[key]:
            file = f"{account.name}-{key.replace('_', '-')}.secret"
            write_secret(folder / file, value)
            value = f"file:{file}"
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines)
