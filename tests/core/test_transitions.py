"""Each change of status in the table can happen: here is a life in which it does.

A line reads: before -> after: policy: payments: what happens, in order; the last of it makes the change. Found by a search
through lives drawn by chance, and shortened.
"""

from typing import Final

import pytest

from bursar.changes import acted, observed, refund_adopted, refund_made, refund_requested, refund_sent
from bursar.facts import Facts, Flag, Observation, Said, Stage, Transfer, Word
from bursar.lifecycle import TRANSITIONS, OrderStatus, diagram, order_state
from bursar.money import Asset, Money
from bursar.orders import Act, ActKind, Dossier, Order, Payment, Terms
from bursar.policy import LateMoney, Policy, Surplus
from bursar.refunds import RefundFacts, RefundObservation, RefundWord

EUR, BTC = Asset("EUR", 2), Asset("BTC", 8)
DUE: Final = Money(100, EUR)
POLICIES: Final = {
    "strict": Policy(),
    "lenient": Policy(
        seen_enough_below=Money(1000, EUR),
        tolerance=Money(5, EUR),
        late=LateMoney.ACCEPT,
        surplus=Surplus.CREDIT,
    ),
}
SATS: Final = {"a": 1000, "b": 500}
LIVES: Final = """
awaiting_payment -> processing: strict: 1: processing@20
awaiting_payment -> partially_paid: lenient: 1: partial@10
awaiting_payment -> paid: lenient: 1: processing@10
awaiting_payment -> fulfilled: lenient: 2: a confirmed@15, fulfil, invalid@20, settled@10 by 2
awaiting_payment -> expired: lenient: 1: expired@20
awaiting_payment -> failed: strict: 1: invalid@20
awaiting_payment -> cancelled: strict: 1: cancel
awaiting_payment -> partially_refunded: strict: 2: total 150@25, invalid@10, refund 60
awaiting_payment -> refunded: lenient: 1: found 100
processing -> awaiting_payment: lenient: 2: a seen@15, invalid@10
processing -> partially_paid: lenient: 1: a seen@15, bills 40
processing -> paid: strict: 1: processing@10, a confirmed@15
processing -> fulfilled: strict: 1: settled@20, fulfil, late@20, accept
processing -> expired: strict: 1: late@10, expired@20
processing -> failed: lenient: 1: total 150@25, invalid@20
processing -> cancelled: strict: 1: late@20, cancel
processing -> partially_refunded: strict: 1: late@10, refund 40
processing -> refunded: strict: 1: processing@20, found 100
partially_paid -> awaiting_payment: lenient: 1: total 50@15, new@20
partially_paid -> processing: strict: 1: underpaid@10, settled@20
partially_paid -> paid: lenient: 1: underpaid@10, settled@10
partially_paid -> fulfilled: lenient: 2: b confirmed@15, settled@10 by 2, fulfil, invalid@20 by 2, accept
partially_paid -> expired: strict: 1: partial@20, expired@20
partially_paid -> failed: lenient: 1: b seen@15, invalid@10
partially_paid -> cancelled: strict: 1: partial@20, cancel
partially_paid -> partially_refunded: strict: 1: total 50@15, found 40
partially_paid -> refunded: strict: 1: partial@20, found 100
paid -> awaiting_payment: lenient: 2: a confirmed@15, invalid@20
paid -> processing: strict: 1: settled@10, late@20
paid -> partially_paid: strict: 1: a confirmed@15, bills 40
paid -> fulfilled: lenient: 1: settled@10, fulfil
paid -> expired: lenient: 1: processing@10, expired@20
paid -> failed: lenient: 1: a confirmed@15, invalid@20
paid -> partially_refunded: lenient: 1: settled@10, found 40
paid -> refunded: strict: 1: settled@20, found 100
fulfilled -> awaiting_payment: lenient: 2: processing@10 by 2, fulfil, expired@10 by 2
fulfilled -> processing: strict: 1: settled@10, fulfil, invalid@10
fulfilled -> partially_paid: strict: 1: a confirmed@15, fulfil, bills 40
fulfilled -> expired: lenient: 1: processing@20, fulfil, expired@20
fulfilled -> failed: lenient: 1: settled@10, fulfil, invalid@20
fulfilled -> partially_refunded: lenient: 1: settled@10, fulfil, refund 60
fulfilled -> refunded: lenient: 1: a confirmed@15, fulfil, found 100
expired -> awaiting_payment: lenient: 1: expired@10, new@20
expired -> processing: strict: 1: expired@10, late@10
expired -> partially_paid: strict: 1: expired@10, underpaid@20
expired -> paid: lenient: 1: lapsed, processing@20
expired -> fulfilled: strict: 1: a seen@15, accept, fulfil, expired@20, total 150@25
expired -> failed: strict: 1: expired@10, invalid@20
expired -> cancelled: lenient: 1: expired@20, cancel
expired -> partially_refunded: lenient: 2: a seen@15, expired@10 by 2, invalid@20, refund 40
expired -> refunded: strict: 1: expired@10, found 100
failed -> awaiting_payment: lenient: 1: invalid@10, new@20
failed -> processing: lenient: 1: invalid@10, settled@10
failed -> partially_paid: lenient: 1: invalid@10, underpaid@20
failed -> paid: lenient: 1: invalid@10, late@20
failed -> fulfilled: lenient: 1: a confirmed@15, fulfil, invalid@10, processing@20
failed -> expired: lenient: 1: invalid@10, expired@20
failed -> cancelled: strict: 1: invalid@20, cancel
failed -> partially_refunded: lenient: 1: total 150@25, invalid@10, refund 60
failed -> refunded: strict: 1: invalid@10, found 100
cancelled -> awaiting_payment: lenient: 1: bills 40, cancel, accept
cancelled -> processing: strict: 1: settled@20, invalid@20, cancel, accept
cancelled -> partially_paid: lenient: 1: underpaid@10, cancel, accept
cancelled -> paid: strict: 1: cancel, settled@20, accept
cancelled -> fulfilled: strict: 1: settled@10, fulfil, late@10, cancel, accept
cancelled -> expired: lenient: 1: a confirmed@15, total 0@25, cancel, expired@20, accept
cancelled -> failed: lenient: 1: cancel, invalid@20, processing@10, accept
cancelled -> partially_refunded: strict: 1: cancel, processing@20, refund 60
cancelled -> refunded: lenient: 1: cancel, found 40
partially_refunded -> paid: lenient: 1: a confirmed@15, found 40, total 150@25
partially_refunded -> fulfilled: strict: 2: settled@10 by 2, fulfil, found 40, processing@20
partially_refunded -> cancelled: strict: 2: total 150@25, cancel, found 40, settled@10 by 2
partially_refunded -> refunded: lenient: 1: settled@10, found 40, total 0@25
refunded -> paid: lenient: 2: a seen@15, found 100, settled@10 by 2
refunded -> fulfilled: lenient: 2: settled@10 by 2, fulfil, found 100, total 150@25
refunded -> cancelled: strict: 2: cancel, settled@10 by 2, found 100, total 150@25
refunded -> partially_refunded: lenient: 1: found 40, late@20
"""


def says(text: str) -> Facts:
    what, _, rest = text.partition(" ")
    if what == "total":
        minor, _, at = rest.partition("@")
        return Facts(credited=Said.once(Money(int(minor), EUR), int(at)))
    if what == "bills":
        return Facts(billed=frozenset({Money(int(rest), EUR)}))
    if what in SATS:
        stage, _, at = rest.partition("@")
        paid_at = 150 if what == "b" else None
        return Facts(
            transfers=(Transfer(what, Money(SATS[what], BTC), Said.once(Stage(stage), int(at)), paid_at),)
        )
    word, _, at = what.partition("@")
    if not at:
        return Facts(flags=frozenset({Flag(word)}))
    return Facts(verdict=Said.once(Word(word), int(at)))


def live(dossier: Dossier, step: str) -> Dossier:
    """Let one thing happen."""
    what, _, rest = step.partition(" ")
    done = RefundFacts(
        Said.once(RefundWord.DONE, 1), asked=frozenset({Money(int(rest), EUR)} if rest.isdigit() else ())
    )
    if what == "found":
        return refund_adopted(dossier, 1, RefundObservation(step, done), at=1)
    if what == "refund":
        amount = Money(int(rest), EUR)
        dossier = refund_requested(
            dossier, payment=1, amount=amount, operation=f"op-{len(dossier.refunds)}", at=1
        )
        number = dossier.refunds[-1].number
        return refund_made(refund_sent(dossier, number, at=1), number, RefundObservation(step, done))
    if what in {kind.value for kind in ActKind}:
        return acted(dossier, Act(ActKind(what), 1, who="m"))
    text, _, payment = step.partition(" by ")
    return observed(dossier, "main", Observation(f"p{payment or 1}", says(text)))


def start(policy: str, payments: int) -> Dossier:
    terms = Terms(DUE, DUE, asks=(Money(1000, BTC),), expires_at=100, policy=POLICIES[policy])
    opened = (Payment(n, terms, account="main", payment_id=f"p{n}") for n in range(1, payments + 1))
    return Dossier(Order("key", "order", DUE), tuple(opened))


def lives() -> list[tuple[str, str, str, str]]:
    found: list[tuple[str, str, str, str]] = []
    for line in LIVES.strip().splitlines():
        change, policy, payments, steps = line.split(": ")
        found.append((change, policy, payments, steps))
    return found


@pytest.mark.parametrize(("change", "policy", "payments", "steps"), lives())
def test_a_change_in_the_table_happens(change: str, policy: str, payments: str, steps: str) -> None:
    dossier = start(policy, int(payments))
    seen = [order_state(dossier).status]
    for step in steps.split(", "):
        dossier = live(dossier, step)
        seen.append(order_state(dossier).status)

    assert f"{seen[-2].value} -> {seen[-1].value}" == change


def test_every_change_in_the_table_has_its_life() -> None:
    listed = {
        f"{before.value} -> {after.value}" for before, all_after in TRANSITIONS.items() for after in all_after
    }

    assert {change for change, _, _, _ in lives()} == listed


def test_every_status_has_a_row_and_none_changes_to_itself() -> None:
    assert set(TRANSITIONS) == set(OrderStatus)
    assert all(status not in after for status, after in TRANSITIONS.items())


def test_the_diagram_draws_the_table() -> None:
    drawn = {line.strip() for line in diagram().splitlines()[2:]}

    assert drawn == {
        f"{before.value} --> {after.value}" for before in TRANSITIONS for after in TRANSITIONS[before]
    }
    assert diagram().startswith("stateDiagram-v2\n    [*] --> awaiting_payment\n")
