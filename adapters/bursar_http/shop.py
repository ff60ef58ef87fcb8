"""The adapter: post the order as it stands, and call the shop in step once it has answered 2xx."""

import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import httpx

from bursar.adapters import Converged, Standpoint
from bursar.errors import Unavailable
from bursar.flows import Flow
from bursar.providers import Finding, Level
from bursar.signatures import STANDARD_WEBHOOKS, sign
from bursar_http.messages import message_id, order_changed, ping, write
from bursar_http.settings import Settings as ShopSettings

__all__ = ["HttpShop"]


class HttpShop:
    """Tell a shop's own server how an order stands. What it missed it is told in one message: the latest."""

    name: ClassVar[str] = "http"
    title: ClassVar[str] = "The shop's own server over HTTP"
    Settings: ClassVar[type[Any]] = ShopSettings

    def __init__(self, settings: ShopSettings) -> None:
        self.settings = settings

    def converge(self, standpoint: Standpoint, *, now: int) -> Flow[Converged]:
        """Post *standpoint*; a repetition has the same id. Raises `Unavailable` for anything but a 2xx answer."""
        name = message_id(standpoint.order, standpoint.number)
        response = yield self._request(order_changed(standpoint), name, now)
        if response.is_success:
            return Converged(wrote=(f"change {standpoint.number}",))
        raise Unavailable(
            f"the shop answered {response.status_code} to {name} at {self._where}; it is told again",
            status=response.status_code,
            retry_after=_retry_after(response, now),
        )

    def check(self, *, now: int) -> Flow[Sequence[Finding]]:
        """Send a signed ping."""
        response = yield self._request(ping(now), f"msg_ping_{now}", now)
        status, subject = response.status_code, "the shop's server"
        if response.is_success:
            return [Finding(Level.OK, subject, f"{self._where} took a signed ping")]
        cures = {
            400: "it has to take messages of any type, a ping too",
            401: "see that secret is the same on both sides, and that both clocks are right",
            403: "see that secret is the same on both sides, and that nothing in front of the shop refuses us",
            404: "see that url is where the shop takes messages",
            405: "see that url is where the shop takes messages by POST",
            410: "the shop says that it takes no messages any more: mend it, or take the shop out",
        }
        cure = cures.get(status, "look into the shop's log")
        return [Finding(Level.ERROR, subject, f"{self._where} answered {status} to a signed ping", cure)]

    @property
    def _where(self) -> str:
        # The path may carry a token of the shop's own, so only the host is told.
        return httpx.URL(self.settings.url).host

    def _request(self, document: dict[str, Any], name: str, now: int) -> httpx.Request:
        body = write(document)
        secrets = (self.settings.secret, *self.settings.old_secrets)
        signed = [
            sign(STANDARD_WEBHOOKS, body, secret.reveal().encode(), now=now, message_id=name)
            for secret in secrets
        ]
        # A receiver takes any one signature that it can prove, so a secret can change over without a gap.
        together = " ".join(headers[STANDARD_WEBHOOKS.header] for headers in signed)
        return httpx.Request(
            "POST",
            self.settings.url,
            headers={
                **signed[0],
                STANDARD_WEBHOOKS.header: together,
                "Content-Type": "application/json",
                "User-Agent": "Bursar",
            },
            content=body,
            extensions={"timeout": httpx.Timeout(self.settings.timeout).as_dict()},
        )


def _retry_after(response: httpx.Response, now: int) -> int | None:
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,7}", text, re.ASCII):
        return int(text)
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp()) - now)
    except (ValueError, TypeError, OverflowError):
        return None
