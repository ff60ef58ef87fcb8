"""Read one recording of a real BTCPay Server: its deliveries, its answers, and what each invoice's last answer means."""

import base64
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

import attrs

from bursar.standing import PaymentStatus

__all__ = ["Delivered", "Invoice", "Look", "Recording", "Step", "read_recording"]

_P: Final = PaymentStatus
MEANING: Final[dict[tuple[str, str], PaymentStatus]] = {
    ("New", "None"): _P.WAITING,
    ("New", "PaidPartial"): _P.PARTIAL,
    ("Processing", "None"): _P.PROCESSING,
    ("Processing", "PaidOver"): _P.PROCESSING,
    ("Settled", "None"): _P.SETTLED,
    ("Settled", "PaidOver"): _P.SETTLED,
    ("Settled", "Marked"): _P.SETTLED,
    ("Expired", "None"): _P.EXPIRED,
    ("Expired", "PaidPartial"): _P.UNDERPAID,
    # Late by the server's clock; the transfers' own times may say that the buyer was not.
    ("Expired", "PaidLate"): _P.HELD,
    ("Invalid", "None"): _P.FAILED,
    ("Invalid", "PaidOver"): _P.FAILED,
    ("Invalid", "Marked"): _P.FAILED,
}
_SAID: Final = {
    "InvoiceProcessing": ("Processing", "None"),
    "InvoiceExpiredPaidPartial": ("Expired", "PaidPartial"),
    "InvoicePaidAfterExpiration": ("Expired", "PaidLate"),
}


@attrs.frozen
class Delivered:
    """Hold one recorded delivery."""

    seq: int
    body: bytes = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    genuine: bool


@attrs.frozen
class Look:
    """Hold one recorded answer about an invoice, with the payment methods as they were read next."""

    seq: int
    invoice: str
    body: str = attrs.field(repr=False)
    methods: str = attrs.field(repr=False)
    date: str = ""


Step: TypeAlias = Delivered | Look


@attrs.frozen
class Invoice:
    """Hold one invoice of a recording; *expected* is where it should end and the words that say so."""

    id: str
    due: str
    currency: str
    created: Look
    last: Look
    expected: tuple[PaymentStatus, str]


@attrs.frozen
class Recording:
    """Hold one scenario; *ended_at* is just after its last entry, in Unix seconds."""

    scenario: str
    store: str
    secrets: tuple[str, ...] = attrs.field(repr=False)
    steps: tuple[Step, ...] = attrs.field(repr=False)
    found: Mapping[str, Invoice] = attrs.field(repr=False)
    ended_at: int = 0

    @property
    def invoices(self) -> tuple[str, ...]:
        """The ids of the invoices whose creation was recorded, in order."""
        return tuple(self.found)

    def invoice(self, invoice_id: str) -> Invoice:
        """Return an invoice by its id."""
        return self.found[invoice_id]

    def look(self, step: object) -> Look | None:
        """Return *step* if it is a recorded answer about an invoice that was created here."""
        return step if isinstance(step, Look) and step.invoice in self.found else None


def read_recording(document: Mapping[str, Any]) -> Recording:
    """Read a recording of format 1. Raise `ValueError`, `KeyError` or `TypeError` where it is none."""
    if document.get("format") != 1:
        raise ValueError(f"its format is {document.get('format')!r}")
    entries: list[Mapping[str, Any]] = document["entries"]
    steps, store = tuple(_steps(entries)), _store(entries)
    labels: Mapping[str, Mapping[str, str]] = document.get("webhooks", {})
    ended_at = int(max((float(e["at"]) for e in entries), default=0.0)) + 30
    found: dict[str, Invoice] = {}
    for entry in entries:
        look = _created(entry, entries)
        if look is not None:
            found[look.invoice] = _invoice(look, steps, entries)
    return Recording(
        scenario=str(document["scenario"]),
        store=store,
        secrets=tuple(dict.fromkeys(label["secret"] for label in labels.values() if label.get("secret"))),
        steps=steps,
        found=found,
        ended_at=ended_at,
    )


def _steps(entries: Sequence[Mapping[str, Any]]) -> list[Step]:
    steps: list[Step] = []
    for entry in entries:
        if entry["kind"] == "webhook":
            request = entry["request"]
            headers = tuple((str(name), str(value)) for name, value in request["headers"])
            steps.append(
                Delivered(int(entry["seq"]), _bytes(request), headers, bool(entry["signature_valid"]))
            )
        elif (look := _look(entry, entries)) is not None:
            steps.append(look)
    return steps


def _bytes(message: Mapping[str, Any]) -> bytes:
    body = message.get("body")
    return base64.b64decode(message["body_base64"]) if body is None else str(body).encode()


def _path(entry: Mapping[str, Any]) -> list[str]:
    return [part for part in str(entry["request"]["target"]).split("?")[0].split("/") if part]


def _answer(entry: Mapping[str, Any], method: str) -> dict[str, Any] | None:
    if entry["kind"] != "http" or entry["request"]["method"] != method or entry["response"]["status"] != 200:
        return None
    try:
        found: Any = json.loads(entry["response"]["body"] or "null")
    except ValueError:
        return None
    return cast(dict[str, Any], found) if isinstance(found, dict) and "additionalStatus" in found else None


def _created(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Look | None:
    found = _answer(entry, "POST")
    if found is None or _path(entry)[-1] != "invoices":
        return None
    return _made_look(entry, str(found["id"]), entries)


def _look(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Look | None:
    found = _answer(entry, "GET")
    if found is None or _path(entry)[-1] != found.get("id"):
        return None
    return _made_look(entry, str(found["id"]), entries)


def _made_look(entry: Mapping[str, Any], invoice: str, entries: Sequence[Mapping[str, Any]]) -> Look:
    date = next((value for name, value in entry["response"]["headers"] if name.lower() == "date"), "")
    return Look(
        int(entry["seq"]),
        invoice,
        str(entry["response"]["body"]),
        _methods(entry, invoice, entries),
        str(date),
    )


def _methods(entry: Mapping[str, Any], invoice: str, entries: Sequence[Mapping[str, Any]]) -> str:
    read = [
        e
        for e in entries
        if e["kind"] == "http"
        and e["request"]["method"] == "GET"
        and _path(e)[-2:] == [invoice, "payment-methods"]
        and e["response"]["status"] == 200
    ]
    after = [e for e in read if e["seq"] > entry["seq"]]
    later_look = min(
        (
            e["seq"]
            for e in entries
            if e["seq"] > entry["seq"] and e["kind"] == "http" and _path(e)[-1] == invoice
        ),
        default=float("inf"),
    )
    near = [e for e in after if e["seq"] < later_look]
    before = [e for e in read if e["seq"] < entry["seq"]]
    chosen = near[:1] or before[-1:]
    return str(chosen[0]["response"]["body"]) if chosen else "[]"


def _store(entries: Sequence[Mapping[str, Any]]) -> str:
    for entry in entries:
        if (found := _answer(entry, "POST")) or (found := _answer(entry, "GET")):
            return str(found["storeId"])
    return "unknown"


def _invoice(created: Look, steps: Sequence[Step], entries: Sequence[Mapping[str, Any]]) -> Invoice:
    looks = [step for step in steps if isinstance(step, Look) and step.invoice == created.invoice]
    last = max([created, *looks], key=lambda look: look.seq)
    body = json.loads(last.body)
    source = f"{body['status']}/{body['additionalStatus']}"
    later = _later_word(created.invoice, last.seq, entries)
    if later is not None:
        (body["status"], body["additionalStatus"]), how = later
        source = f"{source}, then {how}"
        last = attrs.evolve(last, body=json.dumps(body, ensure_ascii=False))
    # A top-up has no amount until it is paid; what it was paid is what it asks for.
    due = next((text for text in (str(body["amount"]), str(body.get("paidAmount"))) if _positive(text)), "1")
    return Invoice(
        id=created.invoice,
        due=due,
        currency=str(body["currency"]),
        created=created,
        last=last,
        expected=(_means(body, last.methods), source),
    )


def _positive(text: str) -> bool:
    try:
        return Decimal(text) > 0
    except ArithmeticError:
        return False


def _later_word(
    invoice: str, after: int, entries: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, str], str] | None:
    """Return what was said of the invoice after its last answer: by an accepted mark, or by an event."""
    said: tuple[tuple[str, str], str] | None = None
    for entry in entries:
        if entry["seq"] <= after:
            continue
        if entry["kind"] == "http" and _path(entry)[-2:] == [invoice, "status"]:
            if entry["response"]["status"] == 200:
                said = (str(json.loads(entry["request"]["body"])["status"]), "Marked"), "marked"
        elif entry["kind"] == "webhook":
            event = json.loads(_bytes(entry["request"]))
            if event.get("invoiceId") == invoice and not event.get("isRedelivery"):
                word = _event_word(event)
                said = (
                    (word, f"{event['type']} came")
                    if word and (said is None or said[1] != "marked")
                    else said
                )
    return said


def _event_word(event: Mapping[str, Any]) -> tuple[str, str] | None:
    match event["type"]:
        case "InvoiceSettled" | "InvoiceInvalid" as kind:
            over = "PaidOver" if event.get("overPaid") else "None"
            return kind.removeprefix("Invoice"), "Marked" if event.get("manuallyMarked") else over
        case "InvoiceExpired":
            return "Expired", "PaidPartial" if event.get("partiallyPaid") else "None"
        case kind:
            return _SAID.get(kind)


def _means(body: Mapping[str, Any], methods: str) -> PaymentStatus:
    meaning = MEANING.get((str(body["status"]), str(body["additionalStatus"])))
    if meaning is None:
        meaning = MEANING[(str(body["status"]), "None")]
    if meaning is not PaymentStatus.HELD:
        return meaning
    payments = [p for method in json.loads(methods) for p in method["payments"] if p["status"] != "Invalid"]
    if not payments or any(int(p["receivedDate"]) > int(body["expirationTime"]) for p in payments):
        return PaymentStatus.HELD
    settled = all(p["status"] == "Settled" for p in payments)
    return PaymentStatus.SETTLED if settled else PaymentStatus.PROCESSING
