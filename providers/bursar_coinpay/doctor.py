"""Read the list of coins that a business can take: what can be offered, and what the doctor has to say."""

from collections.abc import Sequence
from typing import cast

import httpx

from bursar.errors import Unavailable
from bursar.providers import Finding, Level
from bursar_coinpay.answers import words
from bursar_coinpay.coins import COINS
from bursar_coinpay.settings import CoinPaySettings
from bursar_coinpay.wire import Members, as_members, read_members, text

__all__ = ["read_findings", "read_offered"]


def read_offered(response: httpx.Response) -> list[str]:
    """Return the codes of the coins with an active wallet; raise `Unavailable` where the list cannot be read."""
    try:
        return [code for code, active in _coins(read_members(response.content)) if active]
    except ValueError as error:
        raise Unavailable(f"CoinPay's list of coins cannot be read: {error}", status=200) from None


def read_findings(response: httpx.Response, settings: CoinPaySettings) -> Sequence[Finding]:
    """Say whether the key is good, whose it is, and whether there are wallets for the coins on offer."""
    status = response.status_code
    if status in (401, 402, 403, 404):
        cure = "copy api_key again from the business in the CoinPay dashboard, and check url"
        return [Finding(Level.ERROR, "API key", f"refused with {status}: {words(response)}", cure)]
    try:
        if status != 200:
            raise ValueError(f"CoinPay answered {status}: {words(response)}")
        answer = read_members(response.content)
        coins = _coins(answer)
    except ValueError as error:
        return [Finding(Level.ERROR, "CoinPay", f"the key could not be checked: {error}", "try again later")]
    found = [Finding(Level.OK, "API key", "accepted")]
    if settings.api_key.reveal().startswith("cp_test_"):
        cure = "use small amounts, or the sandbox that comes with Bursar"
        found.append(Finding(Level.WARNING, "API key", "CoinPay has no test mode: money is real", cure))
    business = text(answer.get("business_id"))
    if business and business.lower() != settings.business_id.lower():
        cure = f"set business_id = {business!r}, or use a key of the other business"
        found.append(Finding(Level.ERROR, "business_id", f"the key belongs to business {business}", cure))
    return [*found, *_wallets({code for code, active in coins if active}, settings)]


def _wallets(active: set[str], settings: CoinPaySettings) -> list[Finding]:
    known = sorted(active & set(COINS))
    wanted = [*settings.blockchains, *([settings.blockchain] if settings.blockchain else [])]
    missing = sorted(set(wanted) - active)
    found = [Finding(Level.OK, "wallets", f"active for {', '.join(known)}")] if known else []
    if not known and not wanted:
        cure = "add a wallet to the business in the CoinPay dashboard"
        found.append(Finding(Level.ERROR, "wallets", "no coin has an active wallet", cure))
    if missing:
        # A linked web wallet is used by CoinPay but not listed by it.
        cure = "add a wallet for it, unless a web wallet is linked at CoinPay, which it does not list"
        found.append(Finding(Level.WARNING, "wallets", f"none is listed for {', '.join(missing)}", cure))
    return found


def _coins(answer: Members) -> list[tuple[str, bool]]:
    coins = answer.get("coins")
    if not isinstance(coins, list):
        raise ValueError("no list of coins")
    known = [as_members(coin) or {} for coin in cast(list[object], coins)]
    return [
        (
            text(coin.get("symbol")).upper(),
            coin.get("is_active") is True and coin.get("has_wallet") is not False,
        )
        for coin in known
    ]
