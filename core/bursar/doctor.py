"""Check what is configured: every account's credentials, permissions and set-up, and every shop's."""

from collections.abc import Sequence
from typing import Protocol

import attrs

from bursar.desk import Desk
from bursar.effects import Carry, Operation
from bursar.errors import BursarError
from bursar.flows import Flow
from bursar.providers import Finding, Level

__all__ = ["AccountFindings", "check_accounts"]


@attrs.frozen
class AccountFindings:
    """Hold what was found about one account or shop, *name* as in the configuration (`accounts.main`)."""

    name: str
    plugin: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return all(finding.level is not Level.ERROR for finding in self.findings)


def check_accounts(desk: Desk) -> Operation[Sequence[AccountFindings]]:
    """Ask every account and every shop that has an adapter; one that cannot be asked is a finding too."""
    found: list[AccountFindings] = []
    for name, account in sorted(desk.accounts.items()):
        findings = yield from _ask(account.provider.check, desk.now)
        found.append(AccountFindings(f"accounts.{name}", account.provider.name, findings))
    for name, shop in sorted(desk.shops.items()):
        if shop.adapter is not None:
            findings = yield from _ask(shop.adapter.check, desk.now)
            found.append(AccountFindings(f"shops.{name}", shop.adapter.name, findings))
    return found


class _Check(Protocol):
    def __call__(self, *, now: int) -> Flow[Sequence[Finding]]: ...


def _ask(check: _Check, now: int) -> Operation[tuple[Finding, ...]]:
    try:
        return tuple((yield Carry(check(now=now))))
    except BursarError as error:
        return (
            Finding(Level.ERROR, "service", str(error), "see that it runs and that the settings are right"),
        )
    except Exception as error:  # noqa: BLE001 - a broken plugin is a finding, and the others are still to be asked
        problem = f"the plugin failed on what it was answered ({type(error).__name__})"
        return (Finding(Level.ERROR, "plugin", problem, "report it to the plugin's author"),)
