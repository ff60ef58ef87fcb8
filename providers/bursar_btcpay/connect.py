"""Set an account up from BTCPay's consent page: ask for a key, prove what came back, register the webhook."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import httpx

from bursar.errors import BadInput, Declined, ProviderError, Unavailable
from bursar.flows import Flow
from bursar.providers import Connection, Finding, Level
from bursar.secrets import Secret
from bursar_btcpay.client import Client, failure, result, results
from bursar_btcpay.permissions import NEEDED, lacking, store_scopes
from bursar_btcpay.webhooks import EVENTS
from bursar_btcpay.wire import Unreadable

__all__ = ["SUBSCRIBED", "authorize_url", "read_callback", "webhook_body"]

SUBSCRIBED: Final = (*EVENTS, "PayoutCreated", "PayoutApproved", "PayoutUpdated")
"""The events that mean something to us. A server that does not know one of them never sends it."""


def authorize_url(client: Client, *, callback: str, shop: str) -> str:
    """Return the consent page. *selectiveStores* limits the key to the one store that the merchant picks there."""
    parameters: list[tuple[str, str | int | float | bool | None]] = [
        ("permissions", need.permission) for need in NEEDED
    ]
    parameters += [
        ("applicationName", shop),
        ("strict", "true"),
        ("selectiveStores", "true"),
        ("redirect", callback),
    ]
    return f"{client.settings.url}/api-keys/authorize?{httpx.QueryParams(parameters)}"


def read_callback(
    client: Client, form: Mapping[str, Sequence[str]], *, webhook_url: str, now: int
) -> Flow[Connection]:
    """Prove the posted key at the configured server, and register the webhook; doing it again changes nothing more.

    What the form says of permissions is not believed: the server is asked. Raises `BadInput` for a form without one key,
    `Declined` where the key is not good for one store, or lacks what nothing works without.
    """
    key = _one_key(form)
    asked = client.api("GET", "api-keys", "current", key=key)
    current = result(asked, (yield asked))
    try:
        permissions, echoed = current.texts("permissions"), current.text("apiKey")
    except Unreadable as error:
        raise Unavailable(f"BTCPay's answer about the key cannot be read: {error}") from None
    if echoed != key:
        raise Declined("BTCPay knows this key as another one; begin the connection again")
    store_id = _one_store(permissions)
    missing = lacking(permissions, store_id)
    vital = [need.permission for need in missing if need.vital]
    if vital:
        raise Declined(
            f"the key lacks {', '.join(vital)}; begin again and grant everything that the consent page lists"
        )
    findings = [
        Finding(
            Level.WARNING,
            "permissions",
            f"the key lacks {need.permission}: {need.purpose} will not work",
            "connect again and grant it, or use a newer BTCPay Server",
        )
        for need in missing
    ]
    # The old key and store belong to what was connected before; the webhook's secret is kept, so that no event is lost.
    connected = Client(attrs.evolve(client.settings, api_key=Secret(key), store_id=store_id))
    settings = {"url": client.settings.url, "api_key": key, "store_id": store_id}
    if not any(need.permission.endswith("canviewstoresettings") for need in missing):
        asked = connected.store("GET")
        store = result(asked, (yield asked))
        findings.append(Finding(Level.OK, "store", f"connected to store {store.members.get('name')!r}"))
    if any(need.permission.endswith("canmodifywebhooks") for need in missing):
        findings.append(_by_hand(webhook_url))
        return Connection(settings, tuple(findings))
    secret = yield from _register(connected, webhook_url)
    findings.append(Finding(Level.OK, "webhook", f"events are delivered to {webhook_url}"))
    return Connection(
        {**settings, "webhook_secret": secret, "webhook_url": webhook_url},
        tuple(findings),
    )


def webhook_body(url: str, secret: str = "") -> dict[str, Any]:
    """Return the webhook to make. *everything* has to be said: left out, it is true whatever events are named."""
    body: dict[str, Any] = {
        "enabled": True,
        "automaticRedelivery": True,
        "url": url,
        "authorizedEvents": {"everything": False, "specificEvents": list(SUBSCRIBED)},
    }
    return {**body, "secret": secret} if secret else body


def _one_key(form: Mapping[str, Sequence[str]]) -> str:
    keys = set(form.get("apiKey", ()))
    if len(keys) != 1:
        raise BadInput("BTCPay's form has no apiKey, or several; begin the connection again")
    key = keys.pop()
    if not (key.isascii() and key.isalnum() and len(key) <= 200):
        raise BadInput("BTCPay's form has an apiKey that is none; begin the connection again")
    return key


def _one_store(permissions: Sequence[str]) -> str:
    scopes = store_scopes(permissions)
    if not scopes:
        raise Declined("the key has no permission for any store; begin again and grant what is listed")
    if "" in scopes or len(scopes) > 1:
        raise Declined(
            "the key is good for more than one store; begin again and choose one store, so that a lost key "
            "cannot touch the others"
        )
    return next(iter(scopes))


def _by_hand(webhook_url: str) -> Finding:
    return Finding(
        Level.WARNING,
        "webhook",
        "the key may not register webhooks, so payments are noticed only by polling",
        f"make one in BTCPay (Store Settings > Webhooks) for {webhook_url} and set its secret as webhook_secret",
    )


def _register(client: Client, url: str) -> Flow[str]:
    """Leave exactly one webhook for *url*, with a secret that we know, and return the secret."""
    listing = client.store("GET", "webhooks")
    hooks = results(listing, (yield listing))
    try:
        ours = [hook.text("id") for hook in hooks if hook.maybe_text("url") == url]
    except Unreadable as error:
        raise Unavailable(f"BTCPay's list of webhooks cannot be read: {error}") from None
    secret = client.settings.webhook_secret.reveal()
    if ours and secret:
        updating = client.store("PUT", "webhooks", ours[0], body=webhook_body(url, secret))
        result(updating, (yield updating))
        surplus = ours[1:]
    else:
        making = client.store("POST", "webhooks", body=webhook_body(url))
        made = result(making, (yield making))
        try:
            secret = made.text("secret")
        except Unreadable:
            raise ProviderError("BTCPay made a webhook and did not tell its secret; begin again") from None
        # Their secrets are lost: BTCPay tells one only once.
        surplus = ours
    for webhook_id in surplus:
        removing = client.store("DELETE", "webhooks", webhook_id)
        removed = yield removing
        if not removed.is_success and removed.status_code not in (403, 404):
            raise failure(removing, removed)
    return secret
