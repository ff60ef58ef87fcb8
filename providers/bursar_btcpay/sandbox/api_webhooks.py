"""Webhooks and their deliveries over the API."""

import re
from typing import Final

from bursar_btcpay.sandbox.answers import delivery_json, webhook_json
from bursar_btcpay.sandbox.api import EMPTY, Call, Raw, Route, both
from bursar_btcpay.sandbox.bodies import Body
from bursar_btcpay.sandbox.problems import invalid, not_found
from bursar_btcpay.sandbox.webhooks import Record, Webhook
from bursar_btcpay.sandbox.wire import Json

__all__ = ["ROUTES"]

MODIFY: Final = "btcpay.store.webhooks.canmodifywebhooks"
# An absolute URI of any scheme; on Linux a path is one too (of a file).
_ABSOLUTE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:\S+|/\S*)", re.ASCII)


def _list(call: Call) -> Json:
    hooks = call.server.post.webhooks.values()
    return [webhook_json(hook) for hook in hooks if hook.store == call.store.id]


def _create(call: Call) -> Json:
    body = call.body("CreateStoreWebhookRequest")
    url = _read_url(body)
    ids = call.server.ids
    webhook = Webhook(ids.short(), call.store.id, url, body.text("secret") or ids.short())
    _apply(webhook, body)
    call.server.post.webhooks[webhook.id] = webhook
    return webhook_json(webhook, secret=True)


def _get(call: Call) -> Json:
    return webhook_json(_webhook(call))


def _update(call: Call) -> Json:
    webhook, body = _webhook(call), call.body("UpdateStoreWebhookRequest")
    webhook.url = _read_url(body)
    webhook.secret = body.text("secret") or webhook.secret
    _apply(webhook, body)
    return webhook_json(webhook)


def _delete(call: Call) -> Json:
    webhook = _webhook(call)
    del call.server.post.webhooks[webhook.id]
    call.server.gone[webhook.id] = (webhook.store, call.server.now())
    return EMPTY


def _deliveries(call: Call) -> Json:
    records = call.server.post.records_of(_webhook(call).id)
    count = call.query.get("count", "")
    shown = records[: int(count)] if count.isascii() and count.isdigit() else records
    return [delivery_json(record) for record in shown]


def _delivery(call: Call) -> Json:
    return delivery_json(_record(call))


def _request(call: Call) -> Json:
    return Raw(_record(call).body)


def _redeliver(call: Call) -> Json:
    return call.server.post.redeliver(_record(call), now=call.server.now())


def _apply(webhook: Webhook, body: Body) -> None:
    """Take over everything but the secret: what *body* leaves out goes back to its default."""
    authorized = body.inner("authorizedEvents")
    webhook.enabled = _default(body.flag("enabled"))
    webhook.automatic = _default(body.flag("automaticRedelivery"))
    webhook.everything = _default(authorized.flag("everything"))
    webhook.events = tuple(authorized.texts("specificEvents") or ())


def _default(value: bool | None) -> bool:
    return True if value is None else value


def _read_url(body: Body) -> str:
    url = body.text("url") or ""
    if not _ABSOLUTE.fullmatch(url):
        raise invalid(("Url", "Invalid Url"))
    return url


def _webhook(call: Call) -> Webhook:
    webhook = call.server.post.webhooks.get(call.path["webhook"])
    if webhook is None:
        raise not_found("webhook", "webhook")
    return webhook


def _record(call: Call) -> Record:
    webhook, record = _webhook(call), call.server.post.records.get(call.path["delivery"])
    if record is None or record.webhook != webhook.id:
        raise not_found("webhookdelivery", "webhook delivery")
    return record


ROUTES: Final[list[Route]] = [
    Route("GET", "/stores/{store}/webhooks", _list, MODIFY),
    Route("POST", "/stores/{store}/webhooks", _create, MODIFY),
    *both("GET", "/webhooks/{webhook}", _get, MODIFY),
    *both("PUT", "/webhooks/{webhook}", _update, MODIFY),
    *both("DELETE", "/webhooks/{webhook}", _delete, MODIFY),
    *both("GET", "/webhooks/{webhook}/deliveries", _deliveries, MODIFY),
    *both("GET", "/webhooks/{webhook}/deliveries/{delivery}", _delivery, MODIFY),
    *both("GET", "/webhooks/{webhook}/deliveries/{delivery}/request", _request, MODIFY),
    *both("POST", "/webhooks/{webhook}/deliveries/{delivery}/redeliver", _redeliver, MODIFY),
]
