"""What CoinPay's refusals mean: whose fault, whether anything happened, and whether asking again can help.

Its errors are prose, and a 400 is not always the caller's fault: a price feed that is down, a database that is busy and
a payment that was half made all answer 400. Only the texts listed here are known to be final, or to be without effect;
any other answer to a request that makes a payment is an unknown outcome, which the idempotency key resolves.
"""

import re
from typing import Final

import httpx

from bursar.errors import Declined, OutcomeUnknown, ProviderError, Unavailable
from bursar_coinpay.wire import as_members, read_members, text

__all__ = ["creation_error", "is_race", "reading_error", "retry_after", "words"]

_FINAL: Final = re.compile(
    r"""Invalid\ or\ missing\ payment\ amount
    | Payment\ amount\ exceeds
    | Invalid\ or\ missing\ cryptocurrency\ type
    | Invalid\ blockchain\ type
    | business_id\ is\ required
    | No\ \S+\ wallet\ configured
    | Invalid\ \S+\ merchant_wallet_address
    | merchant_wallet_address\ may\ not
    | Idempotency-Key\ must
    | Card\ payments\ require\ Stripe
    | Payment\ created\ but\ address\ generation\ failed""",
    re.VERBOSE,
)
_NO_EFFECT: Final = re.compile(r"Failed to calculate crypto price")
"""Raised before the payment is written; texts that may come from writing it are not here."""
_RACE: Final = "payments_business_idempotency_key_uidx"
_QUOTA: Final = re.compile(r"TRANSACTION_LIMIT_EXCEEDED|transaction limit", re.IGNORECASE)

_CURES: Final[tuple[tuple[str, str], ...]] = (
    ("wallet configured", "add a wallet for this coin in the CoinPay dashboard, or offer other coins"),
    ("Stripe", "finish Stripe onboarding in the CoinPay dashboard, or set card = false"),
    ("address generation", "this attempt is spent; start another payment"),
)


def creation_error(response: httpx.Response) -> ProviderError:
    """Say what an answer other than 200 and 201 to a request that makes a payment means."""
    said, status = words(response), response.status_code
    match status:
        case 400 if _FINAL.search(said):
            cure = next((cure for mark, cure in _CURES if mark in said), "")
            return Declined(f"CoinPay refused the payment: {said}{cure and '; ' + cure}", status=status)
        case 400 if _NO_EFFECT.search(said):
            return Unavailable(f"CoinPay has no price at the moment: {said}", status=status)
        case 401 | 402 | 403 | 404 | 429:
            return _refusal(response, said)
        case _:
            return OutcomeUnknown(
                f"CoinPay answered {status}: {said}; the payment may exist all the same", status=status
            )


def reading_error(response: httpx.Response) -> ProviderError:
    """Say what an answer other than 200 to a request that only reads means.

    A 404 is also what CoinPay answers while its database is down, so it never means that a payment is gone.
    """
    said, status = words(response), response.status_code
    if status in (401, 402, 403, 429):
        return _refusal(response, said)
    return Unavailable(f"CoinPay answered {status}: {said}", status=status, retry_after=retry_after(response))


def is_race(response: httpx.Response) -> bool:
    """Tell whether another request with the same key was just ahead; the same request again gets its payment."""
    return response.status_code == 400 and _RACE in words(response, 4000)


def words(response: httpx.Response, limit: int = 300) -> str:
    """Return what the service says went wrong, on one line, with its code where it gives one."""
    try:
        body = read_members(response.content)
    except ValueError:
        return "no JSON (a gateway's or a wrong address's page)"
    error = body.get("error")
    nested = as_members(error)
    if nested is not None:
        error = nested.get("message")
    said = " ".join(str(error or "no reason given").split())[:limit]
    said = "".join(character if character.isprintable() else "?" for character in said)
    code = text(body.get("code"), 60)
    return f"{said} ({code})" if code else said


def retry_after(response: httpx.Response) -> int | None:
    """Return for how many seconds the service asks to be left alone, where it says."""
    value = response.headers.get("retry-after", "")
    return int(value) if re.fullmatch(r"[0-9]{1,6}", value, re.ASCII) else None


def _refusal(response: httpx.Response, said: str) -> ProviderError:
    status = response.status_code
    if status == 429 and not _QUOTA.search(said):
        return Unavailable(
            f"CoinPay asks us to slow down: {said}", status=status, retry_after=retry_after(response)
        )
    cures = {
        401: "check api_key, and that the business is active",
        402: "renew the merchant's plan at CoinPay",
        403: "the key needs the scope payments:create and must belong to business_id",
        404: "check business_id and url",
        429: "the merchant's plan is used up for this month",
    }
    return Declined(f"CoinPay refused: {said}; {cures[status]}", status=status)
