"""Lives of real invoices, played in any order: each ends where its last recorded answer says.

The deliveries are read by `read_webhook`, the recorded answers by `look_up`, as polls at their own `Date`.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from email.utils import formatdate
from functools import reduce
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar.facts import Facts, Observation
from bursar.flows import Flow
from bursar.money import Asset, Money, fiat
from bursar.orders import Opened, Payment, Terms
from bursar.providers import Delivery
from bursar.secrets import Secret
from bursar.standing import PaymentStatus, Standing, doubts, read_standing
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

RECORDINGS = Path(__file__).parent / "recordings"
SHUFFLES = 200

MEANS = {
    ("New", "None"): PaymentStatus.WAITING,
    ("New", "PaidPartial"): PaymentStatus.PARTIAL,
    ("Processing", "None"): PaymentStatus.PROCESSING,
    ("Processing", "PaidOver"): PaymentStatus.PROCESSING,
    ("Settled", "None"): PaymentStatus.SETTLED,
    ("Settled", "PaidOver"): PaymentStatus.SETTLED,
    ("Settled", "Marked"): PaymentStatus.SETTLED,
    ("Expired", "None"): PaymentStatus.EXPIRED,
    ("Expired", "PaidPartial"): PaymentStatus.UNDERPAID,
    # The policy played here leaves late money to a person.
    ("Expired", "PaidLate"): PaymentStatus.HELD,
    ("Invalid", "None"): PaymentStatus.FAILED,
    ("Invalid", "PaidOver"): PaymentStatus.FAILED,
    ("Invalid", "Marked"): PaymentStatus.FAILED,
}
"""What the last answer means: BTCPay's two status members."""


@attrs.frozen
class Answer:
    body: str
    date: str


@attrs.frozen
class Life:
    """One invoice's life: what was said of it, what was agreed, and how the server last answered."""

    scenario: str
    invoice_id: str
    terms: Terms
    seen: tuple[Observation, ...]
    last: tuple[Answer, Answer]
    meant: PaymentStatus
    paid: Money
    marked: bool
    provider: BTCPay

    def end(self, observations: Sequence[Observation]) -> tuple[Facts, Standing]:
        facts = reduce(Facts.join, (o.facts for o in observations), Facts())
        return facts, self.standing(facts)

    def standing(self, facts: Facts) -> Standing:
        return read_standing(Payment(1, self.terms, facts))

    def asked_again(self) -> Observation:
        """The last recorded answer, given once more when the clock has moved on."""
        at = 60 + max(o.facts.verdict.at for o in self.seen if o.facts.verdict)
        date = formatdate(at, usegmt=True)
        return look(self.provider, self.terms, *(attrs.evolve(answer, date=date) for answer in self.last))


def drive(flow: Flow[Any], *answers: Answer) -> Any:
    """Carry *flow* by hand: the same answers, in order, whatever it asks."""
    next(flow)
    for answer in answers[:-1]:
        flow.send(_response(answer))
    with pytest.raises(StopIteration) as done:
        flow.send(_response(answers[-1]))
    return done.value.value


def _response(answer: Answer) -> httpx.Response:
    headers = {"Date": answer.date, "Content-Type": "application/json; charset=utf-8"}
    return httpx.Response(200, content=answer.body.encode(), headers=headers)


def look(provider: BTCPay, terms: Terms, invoice: Answer, methods: Answer) -> Observation:
    found = drive(
        provider.look_up(json.loads(invoice.body)["id"], billed=terms.billed, now=0), invoice, methods
    )
    assert isinstance(found, Observation)
    return found


def read_lives(document: Mapping[str, Any]) -> Iterator[Life]:
    """Read a recording's invoices, those that were asked about at least once after they were created."""
    entries: list[dict[str, Any]] = document["entries"]
    for invoice_id in document["invoices"]:
        created, looks = _answers(entries, invoice_id)
        if created is None or not looks:
            continue
        yield _life(document["scenario"], invoice_id, entries, created, looks)


def _answers(
    entries: Sequence[Mapping[str, Any]], invoice_id: str
) -> tuple[Answer | None, list[tuple[Answer, Answer]]]:
    created: Answer | None = None
    invoice: Answer | None = None
    looks: list[tuple[Answer, Answer]] = []
    empty = "[]"
    for entry in entries:
        if entry["kind"] != "http" or entry["response"]["status"] != 200:
            continue
        request, response = entry["request"], entry["response"]
        path = request["target"].partition("?")[0].split("/")
        date = next(value for name, value in response["headers"] if name == "Date")
        answer = Answer(response["body"], date)
        if request["method"] == "POST" and path[-1] == "invoices" and f'"id":"{invoice_id}"' in answer.body:
            created = answer
        elif request["method"] == "GET" and path[-1] == invoice_id and "?" not in request["target"]:
            # One that was not followed by its payments is a poll that saw none.
            looks.append((answer, Answer(empty, date)))
            invoice = answer
        elif invoice and request["target"].endswith(
            f"{invoice_id}/payment-methods?onlyAccountedPayments=false"
        ):
            looks[-1] = (invoice, answer)
    return created, looks


def _life(
    scenario: str,
    invoice_id: str,
    entries: Sequence[Mapping[str, Any]],
    created: Answer,
    looks: list[tuple[Answer, Answer]],
) -> Life:
    last = json.loads(looks[-1][0].body)
    asset = Asset("BTC", 8) if last["currency"] == "BTC" else fiat(last["currency"])
    provider = BTCPay(Settings(url="http://127.0.0.1:23000", api_key=Secret("key"), store_id=last["storeId"]))
    offered = [
        entry["response"]["body"]
        for entry in entries
        if entry["kind"] == "http" and f"{invoice_id}/payment-methods" in entry["request"]["target"]
    ]
    opened: Opened = drive(
        provider.read_opened(invoice_id, now=0),
        created,
        Answer(offered[0] if offered else "[]", created.date),
    )
    billed = Money.of(last["amount"], asset)
    terms = Terms(worth=billed, billed=billed, asks=opened.asks, expires_at=opened.expires_at)
    assert opened.seen is not None
    seen = [opened.seen, *(look(provider, terms, *pair) for pair in looks)]
    for entry in entries:
        if entry["kind"] == "webhook":
            reading = provider.read_webhook(
                Delivery(body=entry["request"]["body"].encode(), headers={}, received_at=0)
            )
            seen += [o for o in reading.seen if isinstance(o, Observation) and o.payment_id == invoice_id]
    return Life(
        scenario=scenario,
        invoice_id=invoice_id,
        terms=terms,
        seen=tuple(seen),
        last=looks[-1],
        meant=MEANS[last["status"], last["additionalStatus"]],
        paid=Money.of(last["paidAmount"], asset),
        marked=last["additionalStatus"] == "Marked",
        provider=provider,
    )


def orders(life: Life, shuffles: int) -> Iterator[list[Observation]]:
    """As recorded, reversed, and shuffled with duplicates."""
    recorded = list(life.seen)
    yield recorded
    yield recorded[::-1]
    dice = random.Random(life.invoice_id)
    for _ in range(shuffles):
        again = [o for o in recorded if dice.random() < 0.5]
        mixed = [*recorded, *again]
        dice.shuffle(mixed)
        yield mixed


def lives() -> list[Life]:
    found: list[Life] = []
    for file in sorted(RECORDINGS.glob("*.json")):
        found += read_lives(json.loads(file.read_text(encoding="utf-8")))
    return found


def diverging(life: Life, shuffles: int = SHUFFLES) -> list[str]:
    """Say of each order in which the life does not end as its last answer means, how it ends."""
    found: list[str] = []
    facts, _ = life.end(life.seen)
    for observations in orders(life, shuffles):
        reached, standing = life.end(observations)
        if reached != facts:
            found.append(f"other facts in another order: {reached} {facts}")
        unsure = doubts(reached, lag=2, totals=True)
        after = life.standing(reached.join(life.asked_again().facts))
        if standing.status is not life.meant and not unsure:
            found.append(f"ends {standing.status} without a doubt, meant {life.meant}")
        if after.status is not life.meant:
            found.append(f"ends {after.status} though asked again, meant {life.meant}")
        if after.received != life.paid:
            found.append(f"received {after.received} though {life.paid} was paid")
    return found


@pytest.mark.parametrize("life", lives(), ids=lambda life: f"{life.scenario}-{life.invoice_id[:4]}")
def test_a_recorded_life_ends_as_its_last_answer_means_in_every_order(life: Life) -> None:
    assert diverging(life) == []


def test_the_recordings_hold_the_ends_that_matter() -> None:
    ends = {life.meant for life in lives()}

    assert {
        PaymentStatus.SETTLED,
        PaymentStatus.HELD,
        PaymentStatus.FAILED,
        PaymentStatus.EXPIRED,
    } <= ends
