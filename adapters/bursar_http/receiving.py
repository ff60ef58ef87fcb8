"""The other end: what a shop written in Python needs to trust a message."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from bursar.errors import BadDelivery
from bursar.signatures import STANDARD_WEBHOOKS
from bursar.signatures import verify as verify_signature
from bursar_http.settings import check_key

__all__ = ["verify"]


def verify(body: bytes, headers: Mapping[str, str], secret: str, *, now: int) -> dict[str, Any]:
    """Return the message that *body* holds, proved to come from the holder of *secret*.

    Pass the raw bytes as they arrived, and the time in Unix seconds. Raises `BadSignature` for what is not genuine, or
    older than five minutes: answer 401. Raises `BadDelivery` for what is genuine and no message: answer 400. Raises
    `ConfigError` for a *secret* that is none.
    """
    check_key("secret", secret)
    proved = verify_signature(STANDARD_WEBHOOKS, body, headers, secrets=[secret.encode()], now=now)
    try:
        message: object = json.loads(proved.body, parse_float=Decimal)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(cast(dict[str, Any], message).get("type"), str):
        raise BadDelivery("the body is signed, but is no message: a JSON object with a type")
    return cast(dict[str, Any], message)
