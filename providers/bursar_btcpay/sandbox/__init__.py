"""A faithful fake of BTCPay Server 2.4.1 on a regression test chain: its API, its pages, its webhooks, its habits.

On-chain bitcoin only, at fixed rates; the server's default settings. Where a real server was recorded, the fake answers
and sends the same, member for member. When uvicorn serves it, turn off uvicorn's own `Date` and `Server` headers
(`date_header=False, server_header=False`): the fake sends its own, and its `Date` runs behind on purpose.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import ClassVar, Final, TypeVar

from bursar.errors import BadInput, NotFound, Refused
from bursar.testing.sandboxes import ASGIApp, Outgoing
from bursar_btcpay.sandbox.invoices import Invoice, Status
from bursar_btcpay.sandbox.permissions import KNOWN, MERCHANT
from bursar_btcpay.sandbox.problems import Problem
from bursar_btcpay.sandbox.refunds import Payout, PayoutState
from bursar_btcpay.sandbox.server import Server
from bursar_btcpay.sandbox.web import make_app
from bursar_btcpay.sandbox.webhooks import Webhook

__all__ = ["BTCPaySandbox"]

T = TypeVar("T")
EVENTS: Final = (
    "InvoiceCreated",
    "InvoiceReceivedPayment",
    "InvoicePaymentSettled",
    "InvoiceProcessing",
    "InvoiceExpired",
    "InvoiceSettled",
    "InvoiceInvalid",
    "InvoiceExpiredPaidPartial",
    "InvoicePaidAfterExpiration",
    "InvoiceRefund",
    "PayoutCreated",
    "PayoutApproved",
    "PayoutUpdated",
)


class BTCPaySandbox:
    """Fake one BTCPay Server with one store. Every verb first does what was due by itself until now.

    It is meant for one thread: the event loop that serves `app`, or a test.
    """

    name: ClassVar[str] = "btcpay"
    title: ClassVar[str] = "BTCPay Server"

    def __init__(self, *, clock: Callable[[], float], url: str, seed: int = 0) -> None:
        self.server = Server(clock, url, seed)
        self.store_id = self.server.add_store("Sandbox store").id
        self._app = make_app(self)
        self._accounts: dict[str, tuple[str, str]] = {}

    @property
    def app(self) -> ASGIApp:
        """The server's API and pages, and `/panel`."""
        return self._app

    def account(self, *, webhook_url: str) -> dict[str, str]:
        """Register *webhook_url* for all events of invoices and payouts, and return an account's settings.

        The key has the six permissions of a shop. The same address gets the same account again.
        """
        hooks = self.server.post.webhooks
        if webhook_url not in self._accounts or self._accounts[webhook_url][1] not in hooks:
            ids = self.server.ids
            hook = Webhook(
                ids.short(), self.store_id, webhook_url, ids.short(), everything=False, events=EVENTS
            )
            hooks[hook.id] = hook
            self._accounts[webhook_url] = (self.make_key("Shop", MERCHANT), hook.id)
        key, id = self._accounts[webhook_url]
        return {
            "url": self.server.url,
            "api_key": key,
            "store_id": self.store_id,
            "webhook_secret": hooks[id].secret,
        }

    def make_key(self, label: str, permissions: Iterable[str], *, store_id: str | None = None) -> str:
        """Make an API key with *permissions* for one store (the sandbox's own) and return it."""
        scope = store_id or self.store_id
        wanted = tuple(permissions)
        unknown = [name for name in wanted if name not in KNOWN]
        if unknown:
            raise BadInput(f"BTCPay Server knows no permission {unknown[0]!r}")
        return self.server.add_key(label, [f"{name}:{scope}" for name in wanted]).secret

    def due(self) -> Sequence[Outgoing]:
        """Return the next delivery of every webhook whose time has come."""
        self.tick()
        return self.server.post.due(self.server.now())

    def answered(self, outgoing: Outgoing, status: int | None) -> None:
        """Tell how an attempt was answered. Of an attempt that a restart forgot, nothing is kept."""
        self.server.post.answered(outgoing.id, status, now=self.server.now())

    def wakes_at(self) -> float | None:
        """Return when something is next due."""
        return self.server.wakes_at()

    def tick(self) -> None:
        """Expire what has run out: invoices at their expiration, and at the end of their monitoring, plus one second."""
        self.server.catch_up()

    def payments(self) -> Sequence[str]:
        """Return the ids of all invoices, oldest first."""
        return tuple(self.server.invoices)

    def pay(self, payment_id: str, *, share: Decimal = Decimal(1), replaceable: bool = False) -> str:
        """Send *share* of what was first asked, and of a further payment the network fee that it owes on top.

        A top-up invoice asks for nothing: there *share* counts in units of 0.0002 bitcoin.
        """
        invoice = self._invoice(payment_id)
        return self.server.send(invoice, self.server.quote(invoice, share), replaceable=replaceable).id

    def pay_rest(self, payment_id: str) -> str:
        """Send what is still due."""
        invoice = self._invoice(payment_id)
        if invoice.due <= 0:
            raise Refused(f"nothing is due on invoice {payment_id}")
        return self.server.send(invoice, invoice.due).id

    def send(self, payment_id: str, amount: Decimal, *, replaceable: bool = False) -> str:
        """Send *amount* bitcoin, whole satoshi."""
        if amount <= 0 or amount != amount.quantize(Decimal("0.00000001")):
            raise BadInput(f"{amount} is not a positive number of whole satoshi")
        return self.server.send(self._invoice(payment_id), amount, replaceable=replaceable).id

    def pay_both(self, first: str, second: str) -> str:
        """Send one transaction that pays what is due on two invoices."""
        return self.server.send_to_both(self._invoice(first), self._invoice(second)).id

    def replace(self, payment_id: str, *, amount: Decimal | None = None) -> str:
        """Bump the fee of the last unconfirmed payment: a new transaction, of *amount* bitcoin (None: the same)."""
        return self.server.replace(self._invoice(payment_id), amount).id

    def confirm(self, payment_id: str) -> None:
        """Confirm all that was sent, as often as the invoice's speed policy asks."""
        self.server.confirm(self._invoice(payment_id))

    def mine(self, blocks: int = 1) -> None:
        """Mine *blocks*: everything unconfirmed is confirmed, refunds on their way too."""
        self.tick()
        self.server.mine(blocks)

    def double_spend(self, payment_id: str) -> None:
        """Take back all that is unconfirmed. No event tells of it."""
        self.server.double_spend(self._invoice(payment_id))

    def reorganize(self, payment_id: str) -> None:
        """Undo the blocks that confirmed the payments. Where everything had settled, nothing shows."""
        self.server.reorganize(self._invoice(payment_id))

    def mark(self, payment_id: str, status: str) -> None:
        """Mark by hand as `Settled` or `Invalid`; raise `Refused` where the server would."""
        if status not in {Status.SETTLED, Status.INVALID}:
            raise BadInput(f"an invoice is marked Settled or Invalid, not {status!r}")
        self.server.mark(self._invoice(payment_id), Status(status))

    def expire(self, payment_id: str) -> None:
        """Move the invoice into the past so that its time to pay has run out, and let it expire."""
        invoice = self._invoice(payment_id)
        self._move(invoice, invoice.expires)

    def end_monitoring(self, payment_id: str) -> None:
        """Move the invoice into the past so that its monitoring has ended: unconfirmed by now is invalid."""
        invoice = self._invoice(payment_id)
        self._move(invoice, invoice.monitored_until)

    def _move(self, invoice: Invoice, instant: int) -> None:
        late = instant + 1 - int(self.server.now())
        if late > 0:
            self.server.shift(invoice, late)
        self.tick()

    def claim_refund(self, refund_id: str, *, amount: Decimal | None = None) -> str:
        """Claim a refund (a pull payment) as its buyer, to a fresh address; return the payout's id."""
        self.tick()
        pull = self.server.refunds.pulls.get(refund_id)
        if pull is None:
            raise NotFound(f"the BTCPay sandbox has no pull payment {refund_id!r}")
        refunds, address = self.server.refunds, self.server.ids.address()
        payout, events = _refusing(
            lambda: refunds.claim(pull, address, "BTC-CHAIN", amount, now=self.server.now())
        )
        self.server.publish_payouts(events)
        return payout.id

    def approve_payout(self, payout_id: str) -> None:
        """Approve a claim at the present rate."""
        self._payout(payout_id, self.server.refunds.approve)

    def pay_payout(self, payout_id: str) -> None:
        """Pay an approved claim from the store's wallet; `mine` completes it."""
        self._payout(payout_id, self.server.refunds.send)

    def cancel_payout(self, payout_id: str) -> None:
        """Cancel a claim that was not paid yet."""
        self._payout(payout_id, self.server.refunds.cancel)

    def mark_payout_paid(self, payout_id: str) -> None:
        """Record that an approved claim was paid by other means."""
        self._payout(payout_id, lambda payout: self.server.refunds.mark(payout, PayoutState.COMPLETED))

    def restart(self) -> None:
        """Restart the server: what waits to be delivered, and every pending retry, is lost."""
        self.tick()
        self.server.restart()

    def stop(self) -> None:
        """Take the server down: what buyers pay meanwhile it will only see when it is up again."""
        self.tick()
        self.server.stop()

    def start(self) -> None:
        """Bring the server up again."""
        self.server.start()

    def _invoice(self, payment_id: str) -> Invoice:
        self.tick()
        return self.server.invoice(payment_id)

    def _payout(self, payout_id: str, change: Callable[[Payout], list[tuple[str, Payout]]]) -> None:
        self.tick()
        payout = self.server.refunds.payouts.get(payout_id)
        if payout is None:
            raise NotFound(f"the BTCPay sandbox has no payout {payout_id!r}")
        self.server.publish_payouts(_refusing(lambda: change(payout)))


def _refusing(act: Callable[[], T]) -> T:
    try:
        return act()
    except Problem as problem:
        raise Refused(problem.message) from None
