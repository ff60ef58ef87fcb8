"""The buyer's pages: the checkout, its status, the modal's script, and the page where a refund is claimed."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import segno
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bursar.errors import BursarError
from bursar_btcpay.sandbox.answers import amount_text, checkout_model
from bursar_btcpay.sandbox.bodies import read_amount
from bursar_btcpay.sandbox.invoices import Invoice
from bursar_btcpay.sandbox.problems import Problem
from bursar_btcpay.sandbox.rates import CHAIN
from bursar_btcpay.sandbox.templates import is_web_address, page
from bursar_btcpay.sandbox.wire import plain, write_json

if TYPE_CHECKING:
    from bursar_btcpay.sandbox import BTCPaySandbox

__all__ = ["Checkout", "return_link"]

_MODAL: Final = Path(__file__).parent / "pages" / "btcpay.js"


class Checkout:
    """Serve what a buyer sees."""

    def __init__(self, sandbox: "BTCPaySandbox") -> None:
        self._sandbox, self._server = sandbox, sandbox.server

    async def show(self, request: Request) -> Response:
        """Show the checkout of one invoice; on it a buyer without coins can play that they pay."""
        return self._show(request)

    def _show(self, request: Request, problem: str = "", status: int = 200) -> Response:
        invoice = self._find(request)
        if invoice is None:
            return page("missing.html", status=404, what="invoice")
        if invoice.checkout.lazy:
            self._server.activate(invoice)
        model = checkout_model(invoice, self._server.now())
        link = return_link(invoice)
        if not invoice.checkout.on_chain and link:
            return RedirectResponse(link, 302)
        code = segno.make(model["invoiceBitcoinUrlQR"], error="m")
        return page(
            "checkout.html",
            status=status,
            invoice=invoice,
            model=model,
            price=plain(invoice.price) if invoice.price else "",
            order=invoice.metadata.get("orderId") or "",
            qr=code.svg_inline(scale=4, border=2, light="#fff"),
            link=link,
            here=f"{request.scope.get('root_path', '')}/i/{invoice.id}",
            problem=problem,
        )

    async def status(self, request: Request) -> Response:
        """Answer the checkout's model as JSON."""
        invoice = self._find(request)
        if invoice is None:
            return Response(status_code=404)
        body = write_json(checkout_model(invoice, self._server.now()) | {"returnLink": return_link(invoice)})
        return Response(body, media_type="application/json; charset=utf-8")

    async def test_payment(self, request: Request) -> Response:
        """Pay as cheat mode does: `Amount` in bitcoin, or what is due."""
        form = await request.form()
        amount = str(form.get("Amount") or "")
        return self._play(request, lambda id: self._pay(id, amount))

    async def mine_blocks(self, request: Request) -> Response:
        """Confirm as cheat mode does: `BlockCount` blocks, or one."""
        form = await request.form()
        count = str(form.get("BlockCount") or "1")
        blocks = min(int(count), 100) if count.isascii() and count.isdigit() else 1
        return self._play(request, lambda _: self._sandbox.mine(blocks))

    async def expire(self, request: Request) -> Response:
        """Let the invoice's time run out."""
        return self._play(request, self._sandbox.expire)

    async def modal(self, request: Request) -> Response:
        """Serve the script that shows the checkout in a frame."""
        headers = {"Cache-Control": "public, max-age=31536000"}
        return Response(_MODAL.read_text("utf-8"), media_type="text/javascript", headers=headers)

    async def show_refund(self, request: Request) -> Response:
        """Show a refund to whoever has its link, and let them claim it."""
        return self._show_refund(request.path_params["pull"])

    async def claim_refund(self, request: Request) -> Response:
        """Claim a refund to the address given."""
        form, id = await request.form(), request.path_params["pull"]
        pull = self._server.refunds.pulls.get(id)
        if pull is None:
            return self._show_refund(id)
        self._server.catch_up()
        try:
            amount = read_amount(str(form.get("ClaimedAmount") or ""))
            destination = str(form.get("Destination") or "")
            now = self._server.now()
            _, events = self._server.refunds.claim(pull, destination, CHAIN, amount, now=now)
        except Problem as problem:
            return self._show_refund(id, problem.message, problem.status)
        except ValueError:
            return self._show_refund(id, "The amount is not a number such as 10.50", 422)
        self._server.publish_payouts(events)
        return RedirectResponse(id, 303)

    def _show_refund(self, id: str, problem: str = "", status: int = 200) -> Response:
        pull = self._server.refunds.pulls.get(id)
        if pull is None:
            return page("missing.html", status=404, what="refund")
        claims = self._server.refunds.of(pull)
        left = pull.offer.amount - sum((claim.amount for claim in claims if claim.counts), Decimal(0))
        return page(
            "refund.html",
            status=status,
            pull=pull,
            amount=amount_text(pull.offer.amount, pull.offer.currency),
            left=amount_text(left, pull.offer.currency) if left > 0 else "",
            claims=[(claim, amount_text(claim.amount, claim.currency)) for claim in claims],
            problem=problem,
        )

    def _pay(self, id: str, amount: str) -> None:
        if not amount:
            invoice = self._server.invoice(id)
            self._sandbox.pay(id) if invoice.due <= 0 else self._sandbox.pay_rest(id)
            return
        value = read_amount(amount)
        self._sandbox.send(id, Decimal(0) if value is None else value)

    def _play(self, request: Request, act: Callable[[str], object]) -> Response:
        id = request.path_params["invoice"]
        try:
            act(id)
        except BursarError as error:
            return self._show(request, str(error), 422)
        except ValueError:
            return self._show(request, "The amount is not a number such as 0.0002", 422)
        return RedirectResponse(f"../{id}", 303)

    def _find(self, request: Request) -> Invoice | None:
        self._server.catch_up()
        return self._server.invoices.get(request.path_params["invoice"])


def return_link(invoice: Invoice) -> str:
    """Return where the buyer goes back to, with the placeholders filled; empty where that is no web address."""
    url = invoice.checkout.redirect_url
    if url is None or not is_web_address(url):
        return ""
    order = invoice.metadata.get("orderId")
    values = {
        "{orderid}": "" if order is None else str(order),
        "{invoiceid}": invoice.id,
        "{status}": invoice.status.value,
    }
    for name, value in values.items():
        at = url.lower().find(name)
        while at >= 0:
            filled = quote(value, safe="")
            url = url[:at] + filled + url[at + len(name) :]
            at = url.lower().find(name, at + len(filled))
    return url
