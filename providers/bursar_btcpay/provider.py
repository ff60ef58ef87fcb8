"""The provider: what BTCPay Server can do, its habits, and where each conversation is."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bursar.facts import Observation
from bursar.flows import Flow
from bursar.habits import Capabilities, Habits, Recovery, Refunding, Retries
from bursar.money import Asset, Money
from bursar.orders import Opened
from bursar.providers import Connection, Delivery, Finding, OpenRequest, Reading, RefundRequest
from bursar.refunds import RefundObservation
from bursar.signatures import Scheme
from bursar_btcpay import connect, doctor, payments, refunds
from bursar_btcpay.assets import ASSETS
from bursar_btcpay.client import Client
from bursar_btcpay.settings import Settings as AccountSettings
from bursar_btcpay.webhooks import read_delivery

__all__ = ["BTCPay"]

_HOUR = 3_600
_HABITS = Habits(
    retries=Retries.SERVER_ERRORS,
    retry_gaps=(10, 60, 600, 600, 600, 600, 600, 600),
    queue_blocks=True,
    # The Date of its answers is cached for a second and cut to one: up to two seconds behind, never ahead.
    clock_lag=2,
    totals=True,
    poll_gaps=(60, 120, 300, 600),
    # After a restart an invoice may stay New for two minutes past its end.
    expiry_grace=180,
    # Addresses stay watched for months and late coins still make events; this is for the events that get lost.
    late_for=7 * 24 * _HOUR,
    late_gap=6 * _HOUR,
    settle_for=120,
    refund_gaps=(60, 300, 900, _HOUR, 6 * _HOUR),
)


class BTCPay:
    """Take payments through a BTCPay Server, of 2.x and, as far as they can, of 1.x."""

    name: ClassVar[str] = "btcpay"
    title: ClassVar[str] = "BTCPay Server"
    capabilities: ClassVar[Capabilities] = Capabilities(
        habits=_HABITS,
        bills=None,
        opening=Recovery.SEARCH,
        refunding=Refunding.API,
        refund_recovery=Recovery.SEARCH,
        partial_refunds=True,
        cancels=True,
        lists=True,
        connects=True,
        methods=True,
        window=True,
        hosted=True,
        modal=True,
    )
    scheme: ClassVar[Scheme] = Scheme(header="BTCPay-Sig", prefix="sha256=")
    Settings: ClassVar[type[Any]] = AccountSettings
    assets: ClassVar[tuple[Asset, ...]] = ASSETS

    def __init__(self, settings: AccountSettings) -> None:
        self.settings = settings
        self.client = Client(settings)

    def secrets(self) -> Sequence[bytes]:
        """Return the webhook's secret, then those that it had before."""
        live = (self.settings.webhook_secret, *self.settings.old_webhook_secrets)
        return tuple(secret.reveal().encode() for secret in live if secret)

    def open_payment(self, request: OpenRequest, *, now: int) -> Flow[Opened]:
        """Create an invoice for *request*."""
        return payments.open_payment(self.client, request, now=now)

    def find_payment(self, request: OpenRequest, *, now: int) -> Flow[Opened | None]:
        """Find the invoice that carries the attempt id of *request*."""
        return payments.find_payment(self.client, request, now=now)

    def look_up(self, payment_id: str, *, billed: Money, now: int) -> Flow[Observation]:
        """Read how the invoice stands."""
        return payments.look_up(self.client, payment_id, billed=billed, now=now)

    def read_opened(self, payment_id: str, *, now: int) -> Flow[Opened]:
        """Read an invoice that exists already."""
        return payments.read_opened(self.client, payment_id, now=now)

    def read_webhook(self, delivery: Delivery) -> Reading:
        """Read a verified event."""
        return read_delivery(delivery, self.settings.store_id)

    def check(self, *, now: int) -> Flow[Sequence[Finding]]:
        """Check server, key, store, payment methods and webhook."""
        return doctor.check(self.client, now=now)

    def refund(self, request: RefundRequest, *, now: int) -> Flow[RefundObservation]:
        """Make a link by which the buyer claims the refund."""
        return refunds.refund(self.client, request, now=now)

    def find_refund(self, request: RefundRequest, *, now: int) -> Flow[RefundObservation | None]:
        """Find the refund that carries the operation id of *request*."""
        return refunds.find_refund(self.client, request, now=now)

    def look_up_refund(self, refund_id: str, *, now: int) -> Flow[RefundObservation]:
        """Read how far the refund has come."""
        return refunds.look_up_refund(self.client, refund_id, now=now)

    def withdraw_refund(self, refund_id: str, *, now: int) -> Flow[RefundObservation]:
        """Take back what was not paid out yet."""
        return refunds.withdraw_refund(self.client, refund_id, now=now)

    def cancel(self, payment_id: str, *, now: int) -> Flow[None]:
        """Mark an unpaid invoice invalid."""
        return payments.cancel(self.client, payment_id, now=now)

    def list_methods(self, *, now: int) -> Flow[Sequence[str]]:
        """List the payment methods that a buyer can be offered."""
        return payments.list_methods(self.client)

    def authorize_url(self, *, callback: str, shop: str) -> str:
        """Return BTCPay's consent page for the six permissions that are used."""
        return connect.authorize_url(self.client, callback=callback, shop=shop)

    def read_callback(
        self, form: Mapping[str, Sequence[str]], *, webhook_url: str, now: int
    ) -> Flow[Connection]:
        """Prove the key that the consent page posted, and register the webhook."""
        return connect.read_callback(self.client, form, webhook_url=webhook_url, now=now)
