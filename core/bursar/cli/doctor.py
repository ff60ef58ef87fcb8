"""`bursar doctor`: see that everything is set up, and say how to mend what is not."""

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from bursar.cli.opening import opened
from bursar.cli.options import BURSAR_TOML, AsJson, ConfigPath
from bursar.cli.printing import console, heading, print_json, table

if TYPE_CHECKING:
    from bursar.providers import Finding
    from bursar.service import Bursar

__all__ = ["doctor", "own_findings", "read_public_url"]

_A_FEW = 1000


def doctor(as_json: AsJson = False, config: ConfigPath = BURSAR_TOML) -> None:
    """Check the configuration, the database, every account and every shop. Exits with 1 where something is broken."""
    from bursar.providers import Level

    with opened(config) as bursar:
        found = [("bursar", "", own_findings(bursar))]
        found += [(one.name, one.plugin, list(one.findings)) for one in bursar.check()]
    broken = any(finding.level is Level.ERROR for _, _, findings in found for finding in findings)
    if as_json:
        print_json([_document(*one) for one in found])
    else:
        _show(found)
    if broken:
        raise typer.Exit(1)


def own_findings(bursar: "Bursar") -> list["Finding"]:
    """Look at what belongs to no account: the server's own settings and what waits for a person."""
    from bursar.providers import Finding, Level

    server = bursar.config.server
    found = [
        Finding(Level.OK, "database", f"{server.database.partition(':')[0]} answers, its schema is current")
    ]
    if server.api_key:
        found.append(Finding(Level.OK, "api_key", "a shop's backend can use the API"))
    else:
        found.append(
            Finding(
                Level.WARNING,
                "api_key",
                "none is set, so the HTTP API refuses everyone",
                "set api_key under [bursar] if a shop's backend is to use it",
            )
        )
    found.append(read_public_url(server.public_url))
    if not bursar.config.accounts:
        found.append(
            Finding(
                Level.ERROR, "accounts", "none is configured", "write [accounts.NAME], or run bursar init"
            )
        )
    waiting = len(bursar.orders(needs_review=True, limit=_A_FEW))
    if waiting:
        some = f"{waiting}" if waiting < _A_FEW else f"{_A_FEW} or more"
        found.append(Finding(Level.WARNING, "orders", f"{some} wait for a person", "see bursar review"))
    return found


def read_public_url(url: str) -> "Finding":
    """Say whether buyers and providers are sent to *url* safely."""
    from bursar.providers import Finding, Level

    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or _is_here(host):
        return Finding(Level.OK, "public_url", f"buyers and providers are sent to {url}")
    return Finding(
        Level.WARNING,
        "public_url",
        f"{url} is not https, so anyone between can read and change what buyers see",
        "put a server with a certificate in front, and write its https address",
    )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _document(name: str, plugin: str, findings: list["Finding"]) -> dict[str, Any]:
    return {
        "name": name,
        "plugin": plugin,
        "healthy": all(finding.level.value != "error" for finding in findings),
        "findings": [
            {"level": f.level.value, "subject": f.subject, "message": f.message, "cure": f.cure}
            for f in findings
        ],
    }


def _show(found: list[tuple[str, str, list["Finding"]]]) -> None:
    marks = {"ok": "ok", "warning": "warning", "error": "ERROR"}
    to = console()
    for name, plugin, findings in found:
        to.print(heading(f"{name} ({plugin})" if plugin else name))
        rows = [
            (marks[f.level.value], f.subject, f.message + (f"\n→ {f.cure}" if f.cure else ""))
            for f in findings
        ]
        to.print(table(("", "", ""), rows))
    counts = [f.level.value for _, _, findings in found for f in findings]
    errors, warnings = counts.count("error"), counts.count("warning")
    to.print(heading(f"{len(counts)} checks: {errors} errors, {warnings} warnings"))
