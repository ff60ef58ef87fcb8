"""Health, server, keys, stores, payment methods and rates over the API."""

import re
from decimal import Decimal
from typing import Final

from bursar_btcpay.sandbox.api import EMPTY, Call, Route
from bursar_btcpay.sandbox.permissions import may
from bursar_btcpay.sandbox.problems import not_found
from bursar_btcpay.sandbox.rates import CHAIN
from bursar_btcpay.sandbox.server import Store
from bursar_btcpay.sandbox.webhooks import VERSION
from bursar_btcpay.sandbox.wire import Json, bitcoin_text

__all__ = ["ROUTES"]

SETTINGS: Final = "btcpay.store.canviewstoresettings"
MODIFY: Final = "btcpay.store.canmodifystoresettings"
_PAIR: Final = re.compile(r"([A-Z]{3,8})_([A-Z]{3,8})", re.ASCII)


def _health(call: Call) -> Json:
    return {"synchronized": True}


def _info(call: Call) -> Json:
    height = call.server.height
    return {
        "syncStatus": [
            {
                "chainHeight": height,
                "syncHeight": height,
                "nodeInformation": {
                    "headers": height,
                    "blocks": height,
                    "verificationProgress": Decimal("1.0"),
                },
                "paymentMethodId": CHAIN,
                "available": True,
            }
        ],
        "version": VERSION,
        "onion": None,
        "supportedPaymentMethods": [CHAIN, "BTC-LN", "BTC-LNURL"],
        "fullySynched": True,
    }


def _current_key(call: Call) -> Json:
    assert call.key is not None
    return {"apiKey": call.key.secret, "label": call.key.label, "permissions": list(call.key.permissions)}


def _revoke(call: Call) -> Json:
    assert call.key is not None
    del call.server.keys[call.key.secret]
    return EMPTY


def _stores(call: Call) -> Json:
    assert call.key is not None
    return [_show(store) for store in call.server.stores.values() if may(call.key, SETTINGS, store.id)]


def _store(call: Call) -> Json:
    return _show(call.store)


def _show(store: Store) -> Json:
    return {
        "id": store.id,
        "name": store.name,
        "website": None,
        "brandColor": None,
        "applyBrandColorToBackend": False,
        "logoUrl": None,
        "cssUrl": None,
        "paymentSoundUrl": None,
        "supportUrl": None,
        "invoiceExpiration": 900,
        "displayExpirationTimer": 300,
        "refundBOLT11Expiration": 30,
        "monitoringExpiration": 86_400,
        "speedPolicy": "MediumSpeed",
        "lightningDescriptionTemplate": "Paid to {StoreName} (Order ID: {OrderId})",
        "paymentTolerance": Decimal("0.0"),
        "anyoneCanCreateInvoice": False,
        "defaultCurrency": store.currency,
        "additionalTrackedRates": [],
        "lightningAmountInSatoshi": False,
        "lightningPrivateRouteHints": False,
        "onChainWithLnInvoiceFallback": False,
        "lazyPaymentMethods": False,
        "redirectAutomatically": False,
        "archived": False,
        "showRecommendedFee": True,
        "recommendedFeeBlockTarget": 1,
        "defaultPaymentMethod": None,
        "htmlTitle": None,
        "networkFeeMode": store.fee_mode,
        "paymentMethodCriteria": [],
        "payJoinEnabled": False,
        "autoDetectLanguage": False,
        "showPayInWalletButton": True,
        "showStoreHeader": True,
        "celebratePayment": True,
        "playSoundOnPayment": False,
        "receipt": {"enabled": True, "showQR": True, "showPayments": True},
    }


def _methods(call: Call) -> Json:
    return [_method(call)]


def _one_method(call: Call) -> Json:
    if call.path["method"] != CHAIN:
        raise not_found("paymentmethod", "payment method")
    return _method(call)


def _method(call: Call) -> Json:
    method: dict[str, Json] = {"enabled": True, "paymentMethodId": CHAIN}
    if call.flag("includeConfig"):
        call.require(MODIFY, call.store.id)
        method["config"] = {"accountDerivation": "sandbox", "label": None}
    return method


def _rates(call: Call) -> Json:
    pairs = call.query.getlist("currencyPair") or [f"BTC_{call.store.currency}"]
    answers: list[Json] = []
    for pair in pairs:
        found = _PAIR.fullmatch(pair.strip().upper())
        if found is None:
            # The server notes an error here and never tells it: this pair and all later ones are left out.
            break
        left, right = found.groups()
        rate = call.server.rates.of(right) if left == "BTC" else None
        errors = [] if rate is not None else [f"No rule matches {left}_{right}"]
        text = None if rate is None else bitcoin_text(rate)
        answers.append({"currencyPair": f"{left}_{right}", "rate": text, "errors": errors})
    return answers


ROUTES: Final = [
    Route("GET", "/health", _health, None),
    Route("GET", "/server/info", _info),
    Route("GET", "/api-keys/current", _current_key),
    Route("DELETE", "/api-keys/current", _revoke),
    Route("GET", "/stores", _stores, SETTINGS),
    Route("GET", "/stores/{store}", _store, SETTINGS),
    Route("GET", "/stores/{store}/payment-methods", _methods, SETTINGS),
    Route("GET", "/stores/{store}/payment-methods/{method}", _one_method, SETTINGS),
    Route("GET", "/stores/{store}/rates", _rates, SETTINGS),
]
