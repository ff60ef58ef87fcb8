"""Check an account: the server, the key, the store, the payment methods and the webhook; report, never raise."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx

from bursar.errors import BursarError
from bursar.flows import Flow
from bursar.providers import Finding, Level
from bursar_btcpay.client import Client, result, results
from bursar_btcpay.connect import SUBSCRIBED
from bursar_btcpay.permissions import lacking, store_scopes
from bursar_btcpay.settings import Settings, is_private, read_method
from bursar_btcpay.wire import Document, Unreadable

__all__ = ["check"]

T = TypeVar("T")
Read = Callable[[httpx.Request, httpx.Response], T]
_VITAL_EVENTS: Final = (
    "InvoiceReceivedPayment",
    "InvoicePaymentSettled",
    "InvoiceProcessing",
    "InvoiceExpired",
    "InvoiceSettled",
    "InvoiceInvalid",
)
_RECENT: Final = 86_400
_DELIVERIES: Final = 50


def check(client: Client, *, now: int) -> Flow[Sequence[Finding]]:
    """Look at everything that has to be right, and say what is wrong with its cure."""
    settings = client.settings
    found = list(_settings(settings))
    found += yield from _ask(client.api("GET", "health", anonymous=True), result, _health, "server")
    if not settings.connected:
        found.append(
            Finding(
                Level.ERROR,
                "api key",
                "the account has no api_key yet",
                "set api_key and store_id, or connect it",
            )
        )
        return found
    found += yield from _ask(client.api("GET", "server", "info"), result, _server, "server")
    found += yield from _ask(
        client.api("GET", "api-keys", "current"), result, lambda doc: _key(doc, settings.store_id), "api key"
    )
    found += yield from _ask(client.store("GET"), result, lambda doc: _store(doc, settings), "store")
    found += yield from _ask(
        client.store("GET", "payment-methods"),
        results,
        lambda docs: _methods(docs, settings),
        "payment methods",
    )
    found += yield from _webhooks(client, now)
    return found


def _ask(
    request: httpx.Request, read: Read[T], judge: Callable[[T], list[Finding]], subject: str
) -> Flow[list[Finding]]:
    response = yield request
    try:
        return judge(read(request, response))
    except (BursarError, Unreadable) as error:
        return [Finding(Level.ERROR, subject, str(error), "mend what it names, then run the doctor again")]


def _settings(settings: Settings) -> Sequence[Finding]:
    found: list[Finding] = []
    host = urlsplit(settings.shown_url).hostname or ""
    if is_private(host) and not host.endswith(".onion"):
        found.append(
            Finding(
                Level.WARNING,
                "url",
                f"buyers would be sent to {settings.shown_url}, which is reached from inside only",
                "set public_url to the address that buyers use",
            )
        )
    if not settings.webhook_secret:
        found.append(
            Finding(
                Level.WARNING,
                "webhook",
                "there is no webhook_secret, so events are refused and payments noticed only by polling",
                "make a webhook in BTCPay and set its secret, or connect the account",
            )
        )
    return found


def _health(doc: Document) -> list[Finding]:
    if doc.flag("synchronized") is False:
        return [
            Finding(
                Level.ERROR,
                "server",
                "the server's nodes are not synchronised: payments are not seen yet",
                "wait until they are; BTCPay shows the progress",
            )
        ]
    return [Finding(Level.OK, "server", "it answers and is synchronised")]


def _server(doc: Document) -> list[Finding]:
    version = doc.maybe_text("version") or "unknown"
    found = [Finding(Level.OK, "server", f"version {version}")]
    if version.startswith("1."):
        found.append(
            Finding(
                Level.WARNING,
                "server",
                f"version {version} is old: it does not say how much was paid, nor report late payments",
                "upgrade BTCPay Server to 2.x",
            )
        )
    for node in doc.each("syncStatus"):
        if node.flag("available") is False:
            method = node.maybe_text("paymentMethodId") or "a node"
            found.append(
                Finding(
                    Level.ERROR,
                    "server",
                    f"{method} is not available",
                    "start the node, or disable the method",
                )
            )
    return found


def _key(doc: Document, store_id: str) -> list[Finding]:
    permissions = doc.texts("permissions")
    found = [
        Finding(
            Level.ERROR if need.vital else Level.WARNING,
            "api key",
            f"it lacks {need.permission} for the store: {need.purpose} does not work",
            "make a new key with it (Account > Manage Account > API keys), or connect again",
        )
        for need in lacking(permissions, store_id)
    ]
    if "" in store_scopes(permissions):
        found.append(
            Finding(
                Level.WARNING,
                "api key",
                "it is good for every store of its user, not for this one alone",
                "make a key whose permissions are limited to the store",
            )
        )
    return found or [
        Finding(Level.OK, "api key", "it has all permissions that are used, for this store alone")
    ]


def _store(doc: Document, settings: Settings) -> list[Finding]:
    name, found = doc.maybe_text("name") or settings.store_id, list[Finding]()
    if doc.flag("anyoneCanCreateInvoice"):
        found.append(
            Finding(
                Level.WARNING,
                "store",
                "anyone can create invoices in it, with any order's id; they are never taken for ours",
                "switch it off (Store Settings > General) unless the Pay Button is used",
            )
        )
    if doc.flag("archived"):
        found.append(Finding(Level.WARNING, "store", f"{name!r} is archived", "unarchive it in BTCPay"))
    tolerance = settings.tolerance if settings.tolerance is not None else doc.amount("paymentTolerance")
    if tolerance is not None and tolerance >= 100:
        found.append(
            Finding(
                Level.ERROR,
                "store",
                "its payment tolerance is 100 per cent: every invoice counts as paid at once",
                "lower it (Store Settings > General)",
            )
        )
    return found or [Finding(Level.OK, "store", f"{name!r} can be read")]


def _methods(docs: list[Document], settings: Settings) -> list[Finding]:
    enabled = [
        read_method(doc.text("paymentMethodId", "paymentMethod"))
        for doc in docs
        if doc.flag("enabled") is not False
    ]
    if not enabled:
        return [
            Finding(
                Level.ERROR,
                "payment methods",
                "none is enabled, so no invoice can be made",
                "set up a wallet in BTCPay (Wallets)",
            )
        ]
    missing = [method for method in settings.payment_methods if method not in enabled]
    if missing:
        # BTCPay leaves them out without a word, and refuses an invoice only where none is left.
        return [
            Finding(
                Level.ERROR if len(missing) == len(settings.payment_methods) else Level.WARNING,
                "payment methods",
                f"{', '.join(missing)} in payment_methods is not enabled in the store",
                f"enable it in BTCPay, or choose among {', '.join(enabled)}",
            )
        ]
    return [Finding(Level.OK, "payment methods", ", ".join(enabled))]


def _webhooks(client: Client, now: int) -> Flow[list[Finding]]:
    listing = client.store("GET", "webhooks")
    response = yield listing
    if response.status_code == 403:
        return [
            Finding(
                Level.WARNING,
                "webhook",
                "the API key may not look at webhooks, so they are not checked",
                "grant btcpay.store.webhooks.canmodifywebhooks, or check them in BTCPay",
            )
        ]
    try:
        hooks = results(listing, response)
        wanted = client.settings.webhook_url
        ours = [hook for hook in hooks if hook.maybe_text("url") == wanted] if wanted else hooks
        found = _webhook(ours, hooks, wanted)
        watched = [hook.text("id") for hook in ours if hook.flag("enabled") is not False][:3]
    except (BursarError, Unreadable) as error:
        return [Finding(Level.ERROR, "webhook", str(error), "check the webhooks in BTCPay")]
    for webhook_id in watched:
        asked = client.store("GET", "webhooks", webhook_id, "deliveries", params={"count": str(_DELIVERIES)})
        found += yield from _ask(asked, results, lambda docs: _deliveries(docs, now), "webhook")
    return found


def _webhook(ours: list[Document], hooks: list[Document], wanted: str) -> list[Finding]:
    if not ours:
        others = ", ".join(h.maybe_text("url") or "?" for h in hooks) or "none"
        return [
            Finding(
                Level.ERROR,
                "webhook",
                f"the store has no webhook for {wanted or 'this account'}; it has: {others}",
                "make it in BTCPay (Store Settings > Webhooks), or connect the account again",
            )
        ]
    found: list[Finding] = []
    if wanted and len(ours) > 1:
        found.append(
            Finding(
                Level.WARNING,
                "webhook",
                f"{len(ours)} webhooks deliver to {wanted}, each signing with a secret of its own",
                "delete all but one",
            )
        )
    for hook in ours:
        found += _one_webhook(hook)
    return found


def _one_webhook(hook: Document) -> list[Finding]:
    url, found = hook.maybe_text("url") or "?", list[Finding]()
    events = hook.inner("authorizedEvents")
    named = events.texts("specificEvents") if events else []
    everything = bool(events and events.flag("everything"))
    if hook.flag("enabled") is False:
        found.append(Finding(Level.ERROR, "webhook", f"{url} is disabled", "enable it in BTCPay"))
    if not everything:
        vital = [event for event in _VITAL_EVENTS if event not in named]
        other = [event for event in SUBSCRIBED if event not in named and event not in vital]
        if vital:
            message, cure = f"{url} does not get {', '.join(vital)}", "choose these events, or all, in BTCPay"
            found.append(Finding(Level.ERROR, "webhook", message, cure))
        if other:
            message = f"{url} does not get {', '.join(other)}: what they say is noticed later, by polling"
            found.append(Finding(Level.WARNING, "webhook", message, "choose these events too in BTCPay"))
    if hook.flag("automaticRedelivery") is False:
        message = f"{url} does not get an event again after it failed"
        found.append(Finding(Level.WARNING, "webhook", message, "switch automatic redelivery on in BTCPay"))
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_private(parts.hostname or ""):
        found.append(
            Finding(
                Level.WARNING,
                "webhook",
                f"{url} is not https; where it is redirected, BTCPay follows with a GET and the event is lost",
                "register the final https address",
            )
        )
    return found or [Finding(Level.OK, "webhook", f"{url} gets the events that matter")]


def _deliveries(docs: list[Document], now: int) -> list[Finding]:
    recent = [
        d for d in docs if d.maybe_text("status") != "HttpSuccess" and d.seconds("timestamp") > now - _RECENT
    ]
    if not recent:
        return [Finding(Level.OK, "webhook", "no delivery failed in the last day")]
    last = recent[0].maybe_text("errorMessage") or "no reason given"
    # A pending retry is forgotten when the server restarts, and nothing says which failure was made good later.
    return [
        Finding(
            Level.WARNING,
            "webhook",
            f"{len(recent)} of the latest deliveries failed within a day, the last with: {last}",
            "polling catches up by itself; to have them again, use Redeliver in BTCPay (Store Settings > Webhooks)",
        )
    ]
