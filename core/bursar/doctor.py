"""Check what is configured: every account's credentials, permissions and set-up, and every shop's."""

from collections.abc import Sequence

import attrs

from bursar.desk import Desk
from bursar.effects import Carry, Operation
from bursar.errors import BursarError
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
        flow = account.provider.check(now=desk.now)
        found.append(
            AccountFindings(f"accounts.{name}", account.provider.name, (yield from _ask(Carry(flow))))
        )
    for name, shop in sorted(desk.shops.items()):
        if shop.adapter is not None:
            flow = shop.adapter.check(now=desk.now)
            found.append(AccountFindings(f"shops.{name}", shop.adapter.name, (yield from _ask(Carry(flow)))))
    return found


def _ask(question: Carry) -> Operation[tuple[Finding, ...]]:
    try:
        return tuple((yield question))
    except BursarError as error:
        return (
            Finding(Level.ERROR, "service", str(error), "see that it runs and that the settings are right"),
        )
