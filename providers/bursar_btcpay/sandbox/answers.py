"""How the server's objects look in its answers and events: members in its order, amounts as text."""

from decimal import Decimal
from typing import Final

from bursar_btcpay.sandbox.invoices import Invoice, Payment, PaymentState, Status, markable
from bursar_btcpay.sandbox.rates import CHAIN
from bursar_btcpay.sandbox.refunds import Payout, PayoutState, PullPayment
from bursar_btcpay.sandbox.webhooks import Record, Webhook
from bursar_btcpay.sandbox.wire import Json, bitcoin_text, in_database_order, plain

__all__ = [
    "amount_text",
    "checkout_model",
    "delivery_json",
    "invoice_json",
    "methods_json",
    "paid_text",
    "payment_json",
    "payout_json",
    "pull_json",
    "webhook_json",
]

_FEE_MODE: Final = "MultiplePaymentsOnly"


def amount_text(amount: Decimal, currency: str) -> str:
    """Write *amount* of *currency*: bitcoin without trailing zeros, everything else as it is."""
    return bitcoin_text(amount) if currency == "BTC" else plain(amount)


def paid_text(invoice: Invoice) -> str:
    """Write what was received, in the invoice's currency, cut to its decimals but never filled up to them."""
    net, decimals = invoice.net, invoice.currency.decimals
    if not net:
        return "0"
    if -int(net.as_tuple().exponent) > decimals:
        net = net.quantize(Decimal(1).scaleb(-decimals))
    return amount_text(net, invoice.currency.code)


def invoice_json(
    invoice: Invoice, url: str, *, methods: Json = None, original: bool = False
) -> dict[str, Json]:
    """Show *invoice*. *original* keeps the metadata's order, which only the answer to its creation does."""
    checkout = invoice.checkout
    return {
        "id": invoice.id,
        "storeId": invoice.store,
        "amount": plain(invoice.price) if invoice.price else "0.0",
        "paidAmount": paid_text(invoice),
        "checkoutLink": f"{url}/i/{invoice.id}",
        "status": invoice.status.value,
        "additionalStatus": invoice.extra.value,
        "monitoringExpiration": invoice.monitored_until,
        "expirationTime": invoice.expires,
        "createdTime": invoice.created,
        "availableStatusesForManualMarking": [status.value for status in markable(invoice)],
        "archived": invoice.archived,
        "paymentMethods": [] if methods is None else methods,
        "type": "TopUp" if invoice.top_up else "Standard",
        "currency": invoice.currency.code,
        "metadata": invoice.metadata if original else in_database_order(invoice.metadata),
        "checkout": {
            "speedPolicy": checkout.speed.value,
            "paymentMethods": [CHAIN] if checkout.on_chain else [],
            "defaultPaymentMethod": checkout.default_method,
            "expirationMinutes": checkout.expiration // 60,
            "monitoringMinutes": checkout.monitoring // 60,
            "paymentTolerance": checkout.tolerance,
            "redirectURL": checkout.redirect_url,
            "redirectAutomatically": checkout.redirect_automatically,
            "defaultLanguage": checkout.language,
            "lazyPaymentMethods": None,
        },
        "receipt": {
            "enabled": invoice.receipt.enabled,
            "showQR": invoice.receipt.show_qr,
            "showPayments": invoice.receipt.show_payments,
        },
    }


def payment_json(payment: Payment) -> dict[str, Json]:
    """Show *payment*."""
    return {
        "id": payment.id,
        "receivedDate": payment.received,
        "value": bitcoin_text(payment.value),
        "fee": bitcoin_text(payment.fee),
        "status": payment.state.value,
        "destination": payment.destination,
    }


def methods_json(invoice: Invoice, *, all_payments: bool = False) -> list[Json]:
    """Show the payment methods of *invoice*, with its invalid payments only where *all_payments* are asked for."""
    if not invoice.checkout.on_chain:
        return []
    shown = invoice.payments if all_payments else invoice.accounted
    due, active = invoice.due, invoice.address is not None
    link = f"bitcoin:{invoice.address}" + (f"?amount={bitcoin_text(due)}" if due > 0 else "")
    rate = Decimal(f"{invoice.fee_rate}.0") if "." not in str(invoice.fee_rate) else invoice.fee_rate
    details = {
        "feeMode": _FEE_MODE,
        "paymentMethodFeeRate": rate,
        "payjoinEnabled": False,
        "recommendedFeeRate": rate,
        "keyPath": f"0/{invoice.key_index}",
        "keyIndex": invoice.key_index,
        "accountDerivation": None,
    }
    return [
        {
            "activated": active,
            "destination": invoice.address,
            "paymentLink": link if active else "",
            "rate": bitcoin_text(invoice.rate),
            "paymentMethodPaid": bitcoin_text(invoice.gross),
            "totalPaid": bitcoin_text(invoice.gross),
            "due": bitcoin_text(due),
            "amount": bitcoin_text(invoice.asked),
            "paymentMethodFee": bitcoin_text(invoice.owed_fee),
            "payments": [payment_json(payment) for payment in shown],
            "paymentMethodId": CHAIN,
            "additionalData": details if active else None,
            "currency": "BTC",
        }
    ]


def webhook_json(webhook: Webhook, *, secret: bool = False) -> dict[str, Json]:
    """Show *webhook*; its *secret* only in the answer to its creation."""
    return {
        "id": webhook.id,
        "enabled": webhook.enabled,
        **({"secret": webhook.secret} if secret else {}),
        "automaticRedelivery": webhook.automatic,
        "url": webhook.url,
        "authorizedEvents": {"everything": webhook.everything, "specificEvents": list(webhook.events)},
    }


def delivery_json(record: Record) -> dict[str, Json]:
    """Show one delivery that was made."""
    return {
        "id": record.id,
        "timestamp": int(record.queued),
        "deliveryTime": int(record.sent),
        "httpCode": record.http,
        "errorMessage": record.error,
        "status": record.status,
    }


def pull_json(pull: PullPayment, url: str) -> dict[str, Json]:
    """Show a pull payment."""
    offer = pull.offer
    return {
        "startsAt": offer.starts,
        "expiresAt": offer.expires,
        "id": pull.id,
        "name": offer.name,
        "description": offer.description,
        "currency": offer.currency,
        "amount": amount_text(offer.amount, offer.currency),
        "BOLT11Expiration": offer.bolt11_days,
        "archived": pull.archived,
        "viewLink": f"{url}/pull-payments/{pull.id}",
        "autoApproveClaims": offer.automatic,
    }


def payout_json(payout: Payout) -> dict[str, Json]:
    """Show a payout."""
    return {
        "date": payout.date,
        "id": payout.id,
        "pullPaymentId": payout.pull,
        "destination": payout.destination,
        "payoutMethodId": CHAIN,
        "originalAmount": amount_text(payout.amount, payout.currency),
        "originalCurrency": payout.currency,
        "payoutCurrency": "BTC",
        "payoutAmount": None if payout.bitcoin is None else bitcoin_text(payout.bitcoin),
        "state": payout.state.value,
        "revision": 0,
        "paymentProof": _proof_json(payout),
        "metadata": {},
    }


def _proof_json(payout: Payout) -> Json:
    if not payout.transaction:
        return None
    proof: dict[str, Json] = {"Accounted": True, "ProofType": "PayoutTransactionOnChainBlob"}
    if payout.state is not PayoutState.COMPLETED:
        proof["Candidates"] = [payout.transaction]
    return proof | {"TransactionId": payout.transaction}


def checkout_model(invoice: Invoice, now: float) -> dict[str, Json]:
    """Show what the checkout page is told about *invoice*, without authentication."""
    processing = [p for p in invoice.accounted if p.state is PaymentState.PROCESSING]
    needed = max((invoice.needed(payment) for payment in invoice.accounted), default=0)
    due = max(invoice.due, Decimal(0))
    return {
        "invoiceId": invoice.id,
        "status": invoice.status.value,
        "address": invoice.address,
        "due": bitcoin_text(due),
        "paid": bitcoin_text(invoice.gross),
        "orderAmount": bitcoin_text(invoice.asked),
        "rate": bitcoin_text(invoice.rate),
        "paymentMethodId": CHAIN if invoice.checkout.on_chain else None,
        "expirationSeconds": max(int(invoice.expires - now), 0) if invoice.status is Status.NEW else 0,
        "invoiceBitcoinUrl": f"bitcoin:{invoice.address}?amount={bitcoin_text(due)}",
        "invoiceBitcoinUrlQR": f"bitcoin:{invoice.address}?amount={bitcoin_text(due)}",
        "requiredConfirmations": needed,
        "receivedConfirmations": min((p.confirmations for p in processing), default=needed),
        "redirectAutomatically": invoice.checkout.redirect_automatically,
    }
