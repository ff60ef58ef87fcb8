"""The API described by OpenAPI 3.1, as data beside the routes; a test holds it to them and to real answers."""

from typing import Any, Final

from bursar.lifecycle import OrderStatus, Reason
from bursar.refunds import RefundStatus
from bursar.standing import PaymentStatus

__all__ = ["document"]

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "integer", "description": "Unix seconds"}
_NUMBER: Final = {"type": "integer"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _words(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_MONEY: Final = _object(
    {"amount": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}, "currency": _TEXT},
    description="An exact amount as text, all of the currency's decimals shown.",
)
_CHECKOUT: Final = _object(
    {
        "url": _TEXT,
        "script": _TEXT,
        "instructions": _list(
            _object({"method": _TEXT, "amount": _ref("Money"), "address": _TEXT, "uri": _TEXT})
        ),
    }
)
_PAYMENT: Final = _object(
    {
        "number": _NUMBER,
        "status": _words(*(status.value for status in PaymentStatus)),
        "amount": _ref("Money"),
        "billed": _ref("Money"),
        "received": _ref("Money"),
        "expires_at": _or_null(_TIME),
        "method": _TEXT,
        "checkout": _CHECKOUT,
        "account": _TEXT,
        "payment_id": _or_null(_TEXT),
        "problem": _TEXT,
        "policy": {"type": "object", "additionalProperties": _TEXT},
        "rate": _or_null(
            _object({"source": _TEXT, "sold": _TEXT, "bought": _TEXT, "value": _TEXT, "at": _TIME})
        ),
    }
)
_REFUND: Final = _object(
    {
        "number": _NUMBER,
        "amount": _ref("Money"),
        "status": _words(*(status.value for status in RefundStatus)),
        "paid": _ref("Money"),
        "links": _list(_TEXT),
        "payment": _NUMBER,
        "manual": {"type": "boolean"},
        "origin": _words("merchant", "policy", "provider"),
        "operation": _TEXT,
        "refund_id": _or_null(_TEXT),
        "transactions": _list(_TEXT),
        "reason": _TEXT,
        "who": _TEXT,
        "problem": _TEXT,
        "created_at": _TIME,
    }
)
_REVIEW: Final = _object(
    {
        "key": _TEXT,
        "reason": _words(*(reason.value for reason in Reason)),
        "payment": _or_null(_NUMBER),
        "refund": _or_null(_NUMBER),
        "amount": _or_null(_ref("Money")),
        "remedies": _list(_TEXT),
    }
)
_ACT: Final = _object({"kind": _TEXT, "at": _TIME, "who": _TEXT, "why": _TEXT, "subject": _TEXT})
_STATUS: Final = _words(*(status.value for status in OrderStatus))
_ORDER: Final = _object(
    {
        "key": _TEXT,
        "reference": _TEXT,
        "status": _STATUS,
        **{
            name: _ref("Money")
            for name in ("amount", "received", "credited", "surplus", "shortfall", "refunded")
        },
        "flags": _list(_TEXT),
        "description": _TEXT,
        "return_url": _TEXT,
        "number": _NUMBER,
        "created_at": _TIME,
        "changed_at": _TIME,
        "payments": _list(_ref("Payment")),
        "refunds": _list(_ref("Refund")),
        "shop": _TEXT,
        "checkout_url": _TEXT,
        "needs_review": {"type": "boolean"},
        "reviews": _list(_ref("Review")),
        "refundable": {"type": "object", "additionalProperties": _ref("Money")},
        "acts": _list(_ACT),
        "shop_told": _NUMBER,
        "shop_problem": _TEXT,
    },
    {"payment_problem": _object({"kind": _TEXT, "message": _TEXT, "retry": {"type": "boolean"}})},
)
_LINE: Final = _object(
    {
        "key": _TEXT,
        "shop": _TEXT,
        "reference": _TEXT,
        "amount": _TEXT,
        "status": _STATUS,
        "needs_review": {"type": "boolean"},
        "created_at": _TIME,
        "changed_at": _TIME,
    }
)
_CHANGE: Final = _object(
    {
        "number": _NUMBER,
        "at": _TIME,
        "before": _or_null(_STATUS),
        "after": _STATUS,
        "flags": _list(_TEXT),
        "reviews": _list(_TEXT),
        "received": _ref("Money"),
        "refunded": _ref("Money"),
        "cause": _TEXT,
    }
)
_ERROR: Final = _object({"error": _object({"kind": _TEXT, "message": _TEXT, "retry": {"type": "boolean"}})})
_AMOUNT: Final = {
    "anyOf": [{"type": "string"}, {"type": "number"}],
    "description": "Text is best; a number is read exactly.",
}
_WHO: Final = _object({"who": _TEXT}, {"why": _TEXT})


def _answers(good: int, schema: dict[str, Any], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        str(good): {"description": what, "content": {"application/json": {"schema": schema}}}
    }
    found["default"] = {
        "description": "What went wrong, whether to try again, and the cure.",
        "content": {"application/json": {"schema": _ref("Error")}},
    }
    return found


def _operation(
    name: str,
    summary: str,
    answers: dict[str, Any],
    *,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": answers,
        "security": [{"key": []}],
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if parameters:
        found["parameters"] = parameters
    return found


def _parameter(name: str, where: str, schema: dict[str, Any], text: str = "") -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": text}


_KEY: Final = _parameter("key", "path", _TEXT, "the order's key")
_COUNT: Final = _parameter("number", "path", _NUMBER, "the refund's number")
_IDEMPOTENCY: Final = _parameter(
    "Idempotency-Key", "header", _TEXT, "the same key again has no further effect"
)
_ONE: Final = _answers(200, _ref("Order"), "The order as it stands.")


def document(public_url: str) -> dict[str, Any]:
    """Return the description of the API that is served at *public_url*."""
    opened = _answers(201, _ref("Order"), "A new order; 200 for one that was there already.")
    opened["200"] = {**opened["201"], "description": "The order that was there already."}
    order = "/api/orders/{key}"
    paths: dict[str, Any] = {
        "/api/orders": {
            "post": _operation(
                "openOrder",
                "Open an order and start its payment.",
                opened,
                body=_object(
                    {"reference": _TEXT, "amount": _AMOUNT, "currency": _TEXT},
                    {
                        "shop": _TEXT,
                        "description": _TEXT,
                        "return_url": _TEXT,
                        "policy": {"type": "object", "additionalProperties": _TEXT},
                        "pay": {"type": "boolean", "default": True},
                        "account": _TEXT,
                        "method": _TEXT,
                    },
                ),
                parameters=[_IDEMPOTENCY],
            ),
            "get": _operation(
                "listOrders",
                "List orders, the last changed first, or find one by its reference.",
                _answers(
                    200, _object({"orders": _list({"anyOf": [_ref("Order"), _ref("Line")]})}), "The orders."
                ),
                parameters=[
                    _parameter("reference", "query", _TEXT, "the shop's own id of the order"),
                    _parameter("shop", "query", _TEXT),
                    _parameter("needs_review", "query", {"type": "boolean"}),
                    _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 500}),
                ],
            ),
        },
        order: {"get": _operation("showOrder", "Show an order.", _ONE, parameters=[_KEY])},
        f"{order}/history": {
            "get": _operation(
                "showHistory",
                "Show every change of an order, oldest first.",
                _answers(200, _object({"history": _list(_ref("Change"))}), "The changes."),
                parameters=[_KEY],
            )
        },
        f"{order}/payments": {
            "post": _operation(
                "startPayment",
                "Start a payment of what the order still needs; one that is open is returned instead.",
                _answers(201, _ref("Order"), "The order with its payment."),
                body=_object({}, {"account": _TEXT, "method": _TEXT, "return_url": _TEXT}),
                parameters=[_KEY],
            )
        },
        f"{order}/refunds": {
            "post": _operation(
                "refund",
                "Send money back: all that can still go back, where no amount is named.",
                _answers(201, _ref("Refund"), "The refund."),
                body=_object(
                    {"who": _TEXT},
                    {"amount": _AMOUNT, "currency": _TEXT, "payment": _NUMBER, "reason": _TEXT},
                ),
                parameters=[_KEY, _IDEMPOTENCY],
            )
        },
        f"{order}/refunds/{{number}}/record": {
            "post": _operation(
                "recordRefund",
                "Record that a person has sent the money of a manual refund.",
                _ONE,
                body=_object({"transaction": _TEXT, "who": _TEXT}),
                parameters=[_KEY, _COUNT],
            )
        },
        f"{order}/refunds/{{number}}/withdraw": {
            "post": _operation(
                "withdrawRefund",
                "Take back a refund that was not paid out.",
                _ONE,
                body=_object({"who": _TEXT}),
                parameters=[_KEY, _COUNT],
            )
        },
    }
    acts = {
        "cancel": ("Cancel an order that is not paid.", _WHO),
        "fulfil": ("Record that a paid order was delivered.", _WHO),
        "accept": ("Accept late, short or mismatched money.", _WHO),
        "resolve": ("Close one review.", _object({"review": _TEXT, "who": _TEXT}, {"why": _TEXT})),
        "sync": ("Ask the providers now.", None),
        "adopt": (
            "Follow a payment that exists at the provider.",
            _object({"account": _TEXT, "payment_id": _TEXT}),
        ),
    }
    for name, (summary, body) in acts.items():
        paths[f"{order}/{name}"] = {"post": _operation(name, summary, _ONE, body=body, parameters=[_KEY])}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bursar",
            "version": "1",
            "description": "Orders, payments and refunds of one shop or several.",
        },
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Money": _MONEY,
                "Payment": _PAYMENT,
                "Refund": _REFUND,
                "Review": _REVIEW,
                "Order": _ORDER,
                "Line": _LINE,
                "Change": _CHANGE,
                "Error": _ERROR,
            },
        },
    }
