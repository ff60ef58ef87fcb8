"""The panel: one page where a person plays buyer, chain and merchant. Plain forms, no script."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import attrs
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bursar.errors import BursarError
from bursar_btcpay.sandbox.answers import amount_text, paid_text
from bursar_btcpay.sandbox.invoices import Invoice, PaymentState, Status, markable
from bursar_btcpay.sandbox.refunds import Payout, PayoutState, PullPayment
from bursar_btcpay.sandbox.templates import page
from bursar_btcpay.sandbox.webhooks import Record
from bursar_btcpay.sandbox.wire import bitcoin_text, plain

if TYPE_CHECKING:
    from bursar_btcpay.sandbox import BTCPaySandbox

__all__ = ["Panel"]

_SHOWN: Final = 50
_OPEN: Final = frozenset({PayoutState.AWAITING_APPROVAL, PayoutState.AWAITING_PAYMENT})


@attrs.frozen
class Button:
    """One thing that can be done to one object."""

    action: str
    label: str
    id: str
    danger: bool = False


class Panel:
    """Serve `/panel`."""

    def __init__(self, sandbox: "BTCPaySandbox") -> None:
        self._sandbox, self._server = sandbox, sandbox.server
        self._actions: dict[str, Callable[[str], object]] = {
            "pay": sandbox.pay,
            "pay-part": lambda id: sandbox.pay(id, share=Decimal("0.4")),
            "pay-over": lambda id: sandbox.pay(id, share=Decimal("1.5")),
            "pay-rest": sandbox.pay_rest,
            "pay-replaceable": lambda id: sandbox.pay(id, replaceable=True),
            "pay-late": self._pay_late,
            "confirm": sandbox.confirm,
            "replace": sandbox.replace,
            "double-spend": sandbox.double_spend,
            "reorganize": sandbox.reorganize,
            "expire": sandbox.expire,
            "end-monitoring": sandbox.end_monitoring,
            "settled": lambda id: sandbox.mark(id, Status.SETTLED),
            "invalid": lambda id: sandbox.mark(id, Status.INVALID),
            "claim": sandbox.claim_refund,
            "approve": sandbox.approve_payout,
            "send": sandbox.pay_payout,
            "mark-paid": sandbox.mark_payout_paid,
            "cancel": sandbox.cancel_payout,
            "mine": lambda _: sandbox.mine(),
            "restart": lambda _: sandbox.restart(),
        }

    async def show(self, request: Request) -> Response:
        """Show everything that there is."""
        return self._show()

    async def act(self, request: Request) -> Response:
        """Do what a button says."""
        form = await request.form()
        action = self._actions.get(str(form.get("action") or ""))
        if action is None:
            return self._show("There is no such button.", 422)
        try:
            action(str(form.get("id") or ""))
        except BursarError as error:
            return self._show(str(error), 422)
        return RedirectResponse(request.url.path, 303)

    def _pay_late(self, id: str) -> None:
        self._sandbox.expire(id)
        self._sandbox.pay(id)

    def _show(self, problem: str = "", status: int = 200) -> Response:
        self._server.catch_up()
        invoices = list(reversed(self._server.invoices.values()))[:_SHOWN]
        pulls = list(reversed(self._server.refunds.pulls.values()))[:_SHOWN]
        records = sorted(self._server.post.records.values(), key=lambda record: -record.sent)[:_SHOWN]
        now = self._server.now()
        return page(
            "panel.html",
            status=status,
            problem=problem,
            height=self._server.height,
            invoices=[_invoice_row(invoice, now) for invoice in invoices],
            refunds=[self._refund_row(pull) for pull in pulls],
            waiting=[(a, max(int(a.at - now), 0)) for a in self._server.post.waiting()][:_SHOWN],
            records=[_record_row(record) for record in records],
            webhooks=self._server.post.webhooks,
        )

    def _refund_row(self, pull: PullPayment) -> dict[str, object]:
        claims = self._server.refunds.of(pull)
        left = pull.offer.amount - sum((claim.amount for claim in claims if claim.counts), Decimal(0))
        open_ = left > 0 and not pull.archived
        return {
            "pull": pull,
            "amount": amount_text(pull.offer.amount, pull.offer.currency),
            "buttons": [Button("claim", "Claim", pull.id)] if open_ else [],
            "claims": [
                (claim, amount_text(claim.amount, claim.currency), _payout_buttons(claim)) for claim in claims
            ],
        }


def _invoice_row(invoice: Invoice, now: float) -> dict[str, object]:
    return {
        "invoice": invoice,
        "order": invoice.metadata.get("orderId") or "",
        "price": plain(invoice.price) if invoice.price else "any",
        "paid": paid_text(invoice),
        "due": bitcoin_text(max(invoice.due, Decimal(0))),
        "left": max(int(invoice.expires - now), 0) if invoice.status is Status.NEW else 0,
        "payments": [(payment, bitcoin_text(payment.value)) for payment in invoice.payments],
        "buttons": _invoice_buttons(invoice),
    }


def _invoice_buttons(invoice: Invoice) -> list[Button]:
    id, unconfirmed = invoice.id, [p for p in invoice.payments if p.state is PaymentState.PROCESSING]
    buttons: list[Button] = []
    if invoice.checkout.on_chain:
        labels = {"pay": "Pay in full", "pay-part": "Pay 40 %", "pay-over": "Pay 150 %"}
        buttons += [Button(action, label, id) for action, label in labels.items()]
        if invoice.payments and invoice.due > 0:
            buttons.append(Button("pay-rest", "Pay the rest", id))
        if invoice.status is Status.NEW:
            buttons.append(Button("pay-replaceable", "Pay, replaceable", id))
            buttons.append(Button("pay-late", "Pay late", id))
    if unconfirmed:
        buttons.append(Button("confirm", "Confirm", id))
        buttons.append(Button("replace", "Replace", id))
        buttons.append(Button("double-spend", "Double-spend", id, danger=True))
    if invoice.status is Status.NEW:
        buttons.append(Button("expire", "Expire now", id))
    if invoice.status is Status.PROCESSING:
        buttons.append(Button("end-monitoring", "End monitoring", id))
    for status in markable(invoice):
        label = f"Mark {status.value.lower()}"
        buttons.append(Button(status.value.lower(), label, id, danger=status is Status.INVALID))
    return buttons


def _payout_buttons(payout: Payout) -> list[Button]:
    buttons: list[Button] = []
    if payout.state is PayoutState.AWAITING_APPROVAL:
        buttons.append(Button("approve", "Approve", payout.id))
    if payout.state is PayoutState.AWAITING_PAYMENT:
        buttons += [Button("send", "Pay", payout.id), Button("mark-paid", "Mark paid", payout.id)]
    if payout.state in _OPEN:
        buttons.append(Button("cancel", "Cancel", payout.id, danger=True))
    return buttons


def _record_row(record: Record) -> dict[str, object]:
    return {
        "record": record,
        "type": record.event["type"],
        "about": record.event.get("invoiceId") or record.event.get("payoutId") or "",
        "again": record.id != record.original,
    }
