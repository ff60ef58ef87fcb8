"""The webhook URL, as a bare ASGI application: raw bytes in, the answer of the durable step out, nothing between."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from bursar.receiving import Answer
from bursar.service import AsyncBursar

__all__ = ["Receive", "Scope", "Send", "WebhookApp"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX: Final = "/webhooks/"
_MOST_ACCOUNT: Final = 64


class WebhookApp:
    """Answer `POST /webhooks/{account}`. A path with a slash at its end is the same path: a redirect would lose the body."""

    def __init__(self, bursar: AsyncBursar) -> None:
        self.bursar, self.most = bursar, bursar.config.server.max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        await _send(send, await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return Answer(405, "only POST")
        account = str(scope["path"]).removeprefix(PREFIX).rstrip("/")
        if not account or "/" in account or len(account) > _MOST_ACCOUNT:
            return Answer(404, "no such account")
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            # Two values of one header stay apart, so that neither can pass for the other.
            headers[name] = f"{headers[name]}\n{value}" if name in headers else value
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > self.most):
            return self._too_large()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return Answer(400, "the request broke off")
            body += message.get("body", b"")
            if len(body) > self.most:
                return self._too_large()
            if not message.get("more_body", False):
                break
        return await self.bursar.receive(account, bytes(body), headers)

    def _too_large(self) -> Answer:
        return Answer(413, f"a webhook has at most {self.most} bytes")


async def _send(send: Send, answer: Answer) -> None:
    text = answer.text.encode("ascii", "replace")
    headers = [
        (b"content-type", b"text/plain; charset=us-ascii"),
        (b"content-length", str(len(text)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if answer.status == 405:
        headers.append((b"allow", b"POST"))
    if answer.retry_after is not None:
        headers.append((b"retry-after", str(answer.retry_after).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
