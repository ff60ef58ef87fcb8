"""`bursar init`: write a commented configuration for one provider, from what its plugin says of itself."""

import inspect
import json
import secrets
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bursar.cli.options import BURSAR_TOML, ConfigPath
from bursar.errors import ConfigError, Refused

if TYPE_CHECKING:
    from bursar.providers import Provider

__all__ = ["init", "write_config"]

_API_KEY = "bursar-api.key"


def init(
    provider: Annotated[
        str, typer.Argument(metavar="PROVIDER", help="The provider, as `bursar providers` lists it.")
    ],
    account: Annotated[str, typer.Option(help="What to call the account.")] = "main",
    config: ConfigPath = BURSAR_TOML,
) -> None:
    """Write a commented bursar.toml for a provider, and a fresh API key beside it. Nothing is overwritten."""
    from bursar import plugins
    from bursar.cli.secretfiles import write_secret

    text = write_config(plugins.provider(provider), account)
    key = config.parent / _API_KEY
    try:
        with config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{config} is there already; name another file with --config") from None
    except OSError as error:
        raise ConfigError(f"{config} cannot be written: {error.strerror}") from None
    if not key.exists():
        write_secret(key, secrets.token_urlsafe(32))
    print(f"wrote {config}; now:")
    for number, step in enumerate(_steps(plugins.provider(provider), account, config), 1):
        print(f"  {number}. {step}")


def write_config(cls: "type[Provider]", account: str = "main") -> str:
    """Return a commented configuration with one account of *cls*; what must be filled in stands without a comment sign."""
    lines = [
        "# Bursar's configuration. Every line has an environment variable that wins over it, such as BURSAR_DATABASE.",
        "# A secret is a reference: env:NAME or file:PATH (from this file's folder on).",
        "",
        "[bursar]",
        'database = "sqlite:///bursar.db"             # or postgresql://user:password@host/name',
        'public_url = "http://127.0.0.1:8000"         # where buyers and providers reach this server: https, in earnest',
        f'api_key = "file:{_API_KEY}"             # what the shop\'s backend shows to the HTTP API',
        f'account = "{account}"                           # the account that new payments use',
        '# host = "127.0.0.1"',
        "# port = 8000",
        "",
        f"[accounts.{account}]",
        *_about(cls),
        f'provider = "{cls.name}"',
        *_settings(cls, account),
        "",
        f"# [accounts.{account}.policy]                   # what counts as paid; docs/configuration.md has all of it",
        '# seen_enough_below = "20.00 EUR"            # small payments count once they are seen',
        '# tolerance_percent = "0.5"                  # what may be missing',
        '# late = "review"                            # or accept, refund',
        '# surplus = "review"                         # or credit, refund',
        "",
        "# [shops.shop]                               # who is told how orders stand",
        '# adapter = "http"',
        '# url = "https://shop.example.com/bursar"',
        '# secret = "env:BURSAR_SHOP_SECRET"          # openssl rand -base64 32',
    ]
    return "\n".join(lines) + "\n"


def _about(cls: "type[Provider]") -> Iterator[str]:
    yield f"# {cls.title}."
    text = inspect.cleandoc(cls.Settings.__doc__ or "").replace("*", "").replace("`", "'")
    for paragraph in text.split("\n\n")[1:]:
        yield from textwrap.wrap(
            " ".join(paragraph.split()), 110, initial_indent="# ", subsequent_indent="# "
        )


def _settings(cls: "type[Provider]", account: str) -> Iterator[str]:
    import attrs

    fields = attrs.fields(attrs.resolve_types(cls.Settings))
    for field in sorted(fields, key=lambda field: field.default is not attrs.NOTHING):
        kind = str(field.type)
        name: str = field.name
        if "tuple" in kind:
            yield f"# {name} = []"
        elif "Secret" in kind:
            vital = field.default is attrs.NOTHING
            yield f'{"" if vital else "# "}{name} = "env:{account.upper().replace("-", "_")}_{name.upper()}"'
        elif field.default is attrs.NOTHING:
            yield f'{name} = ""                                   # fill this in'
        else:
            yield f"# {name} = {_toml(field.default)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def _steps(cls: "type[Provider]", account: str, config: Path) -> Iterator[str]:
    named = "" if config == BURSAR_TOML else f" --config {config}"
    yield f"fill in what {config} asks for under [accounts.{account}]"
    if cls.capabilities.connects:
        yield f"bursar connect {account}{named}   (or make the keys by hand)"
    yield f"bursar doctor{named}"
    yield f"bursar serve{named}"
