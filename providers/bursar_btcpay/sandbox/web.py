"""The sandbox as an ASGI application: the API below `/api/v1`, the buyer's and the merchant's pages, the panel."""

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from bursar_btcpay.sandbox import api_invoices, api_payouts, api_stores, api_webhooks
from bursar_btcpay.sandbox.api import Api
from bursar_btcpay.sandbox.authorize import Authorize
from bursar_btcpay.sandbox.checkout import Checkout
from bursar_btcpay.sandbox.panel import Panel

if TYPE_CHECKING:
    from bursar_btcpay.sandbox import BTCPaySandbox

__all__ = ["make_app"]


def make_app(sandbox: "BTCPaySandbox") -> Starlette:
    """Return the application that answers for *sandbox*."""
    routes = [*api_stores.ROUTES, *api_invoices.ROUTES, *api_webhooks.ROUTES, *api_payouts.ROUTES]
    checkout, authorize, panel = Checkout(sandbox), Authorize(sandbox.server), Panel(sandbox)
    return Starlette(
        routes=[
            # A class instance is taken as an ASGI application, so the API itself sees every method.
            Route("/api/v1/{rest:path}", Api(sandbox.server, routes)),
            Route("/api-keys/authorize", authorize.show, methods=["GET"]),
            Route("/api-keys/authorize", authorize.decide, methods=["POST"]),
            Route("/i/{invoice}", checkout.show, methods=["GET"]),
            Route("/i/{invoice}/status", checkout.status, methods=["GET"]),
            # The same three helpers as a real server offers in cheat mode on a test network.
            Route("/i/{invoice}/test-payment", checkout.test_payment, methods=["POST"]),
            Route("/i/{invoice}/mine-blocks", checkout.mine_blocks, methods=["POST"]),
            Route("/i/{invoice}/expire", checkout.expire, methods=["POST"]),
            Route("/modal/btcpay.js", checkout.modal, methods=["GET"]),
            Route("/pull-payments/{pull}", checkout.show_refund, methods=["GET"]),
            Route("/pull-payments/{pull}", checkout.claim_refund, methods=["POST"]),
            Route("/panel", panel.show, methods=["GET"]),
            Route("/panel", panel.act, methods=["POST"]),
        ]
    )
