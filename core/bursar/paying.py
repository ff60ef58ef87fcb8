"""Operations on payments: start one, recover one of unknown outcome, ask how one stands, cancel one."""

import uuid
from typing import Final

from bursar.changes import (
    cancel_sent,
    cancel_wanted,
    payment_adopted,
    payment_intended,
    payment_opened,
    payment_refused,
    payment_unknown,
    polled,
)
from bursar.desk import Account, Desk
from bursar.effects import Carry, Operation, Read, keep, rehearse
from bursar.errors import Busy, Declined, OutcomeUnknown, PluginBroken, ProviderError, Refused, Unavailable
from bursar.facts import Observation
from bursar.habits import Recovery
from bursar.lifecycle import standings
from bursar.money import Money
from bursar.orders import ActKind, Dossier, Opened, Payment, Rate, Terms
from bursar.providers import Cancels, OpenRequest
from bursar.rates import convert
from bursar.refunds import Sending
from bursar.standing import PaymentStatus
from bursar.work import Kept, OnOrder

__all__ = ["PATIENCE", "adopt", "cancel_payment", "poll", "recover", "start", "sync"]

PATIENCE: Final = 3_600
"""How long a provider that refuses to be asked is asked again before a person is, in seconds."""
_OF_THE_REQUEST: Final = frozenset({200, 201, 400, 409, 422})
"""The answers that are about the request itself; with an idempotency key that is the very request that made it, or not."""
_USABLE = frozenset({PaymentStatus.WAITING, PaymentStatus.PARTIAL, PaymentStatus.PROCESSING})


def start(
    desk: Desk, order_key: str, *, account: str = "", method: str = "", return_url: str = ""
) -> Operation[tuple[Kept, Payment]]:
    """Start a payment of what the order still needs, and return it with the order.

    One that is open already at the same account, with the same method, is returned instead: a double click pays once.
    Raises `Refused` where the order needs none, `Declined` or `Unavailable` where none was made, and `OutcomeUnknown` where
    one may have been: it is looked up by itself, and starting again then is safe.
    """
    kept: Kept = yield Read(lambda: desk.kept(order_key))
    at = desk.account(account)
    now = desk.now
    found = _open_payment(kept.dossier, at.name, method, now)
    if found is not None:
        return kept, found
    terms = yield from _terms(desk, at, kept.dossier)
    attempt = str(uuid.uuid4())
    request = _request(desk, kept.dossier, attempt, terms, method, return_url)
    # What the provider cannot be asked for (a coin it does not know) is refused here, with no intent left behind.
    rehearse(at.provider.open_payment(request, now=now))

    def intend(dossier: Dossier) -> Dossier:
        # Asked again here, where nobody else can start one at the same moment.
        if _open_payment(dossier, at.name, method, now) is not None:
            return dossier
        if _needed(dossier) != terms.worth:
            raise Busy("money for this order came in at this moment; ask again")
        return payment_intended(dossier, account=at.name, attempt=attempt, terms=terms, at=now, method=method)

    kept = yield from keep(OnOrder(order_key, intend, now, f"payment started at {at.name}"))
    mine = next((p for p in kept.dossier.payments if p.attempt == attempt), None)
    if mine is None:
        theirs = _open_payment(kept.dossier, at.name, method, now)
        if theirs is None:
            raise Busy("another payment of this order was started at the same moment; ask again")
        return kept, theirs
    try:
        opened = yield Carry(at.provider.open_payment(request, now=now))
    except OutcomeUnknown:
        opened = yield from _find(desk, at, request)
        if opened is None:
            raise
    except (Declined, Unavailable) as error:
        yield from keep(_refused(order_key, mine.number, desk.now, error))
        raise
    kept = yield from _keep_opened(desk, at, order_key, mine.number, opened)
    return kept, kept.dossier.payment(mine.number)


def recover(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Find out what became of a payment of unknown outcome. Raise `Unavailable` while it is too early to say."""
    payment = kept.dossier.payment(number)
    at = desk.account(payment.account)
    key, now = kept.dossier.order.key, desk.now
    if at.capabilities.opening is Recovery.NOTHING:
        problem = f"{at.name} gave no answer and cannot be asked; look there for attempt {payment.attempt}"
        return (
            yield from keep(
                OnOrder(key, lambda d: payment_unknown(d, number, problem), now, "payment unknown")
            )
        )
    request = _request(desk, kept.dossier, payment.attempt, payment.terms, payment.method, "")
    try:
        opened = yield Carry(at.provider.find_payment(request, now=now))
    except Declined as error:
        if at.capabilities.opening is Recovery.KEY and error.status in _OF_THE_REQUEST:
            return (yield from keep(_refused(key, number, now, error)))
        # A refusal to be asked (a key without rights, a redirect) says nothing about what was made before.
        problem = f"{at.name} refuses to be asked about attempt {payment.attempt}: {error}"
        if now < payment.sent_at + PATIENCE:
            raise Unavailable(problem) from error
        unknown = OnOrder(key, lambda d: payment_unknown(d, number, problem), now, "payment unknown")
        return (yield from keep(unknown))
    if opened is not None:
        return (yield from _keep_opened(desk, at, key, number, opened))
    if now < payment.sent_at + at.habits.settle_for:
        raise Unavailable(f"{at.name} does not know the payment yet; it may still appear")
    gone = Declined(f"{at.name} never had it: not found {at.habits.settle_for} s after it was asked for")
    return (yield from keep(_refused(key, number, now, gone)))


def poll(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Ask the provider how a payment stands, and join what it says."""
    payment = kept.dossier.payment(number)
    if payment.payment_id is None:
        raise Refused(f"payment {number} was never opened at {payment.account}, so there is nothing to ask")
    at, asked = desk.account(payment.account), desk.now
    seen: Observation = yield Carry(
        at.provider.look_up(payment.payment_id, billed=payment.terms.billed, now=asked)
    )

    def change(dossier: Dossier) -> Dossier:
        return polled(dossier, number, seen, at=asked, habits=at.habits)

    return (yield from keep(OnOrder(kept.dossier.order.key, change, asked, f"{at.name} asked")))


def sync(desk: Desk, order_key: str) -> Operation[Kept]:
    """Ask the providers about every payment of the order, now; one of unknown outcome is searched for."""
    kept: Kept = yield Read(lambda: desk.kept(order_key))
    for payment in kept.dossier.payments:
        if payment.account not in desk.accounts:
            continue
        at = desk.account(payment.account)
        if payment.payment_id is not None:
            kept = yield from poll(desk, kept, payment.number)
        elif payment.sending is Sending.SENT and at.capabilities.opening is not Recovery.NOTHING:
            try:
                kept = yield from recover(desk, kept, payment.number)
            except Unavailable:
                if desk.now >= payment.sent_at + at.habits.settle_for:
                    raise
    return kept


def adopt(desk: Desk, order_key: str, *, account: str, payment_id: str) -> Operation[Kept]:
    """Follow a payment that exists at the provider already as a payment of this order."""
    kept: Kept = yield Read(lambda: desk.kept(order_key))
    at, now = desk.account(account), desk.now
    opened: Opened = yield Carry(at.provider.read_opened(payment_id, now=now))
    worth = kept.dossier.order.amount
    if opened.billed is not None and opened.billed.asset != worth.asset:
        raise Refused(f"payment {payment_id} is billed in {opened.billed.asset}, the order in {worth.asset}")
    terms = Terms(worth=worth, billed=worth, policy=desk.policy(at, kept.dossier))

    def change(dossier: Dossier) -> Dossier:
        return payment_adopted(dossier, account=at.name, terms=terms, opened=opened, at=now)

    return (yield from keep(OnOrder(order_key, change, now, f"payment adopted from {at.name}")))


def cancel_payment(desk: Desk, kept: Kept, number: int) -> Operation[Kept]:
    """Cancel a payment at its provider. Of unknown outcome it is sent again: repeating it is harmless."""
    payment = kept.dossier.payment(number)
    at = desk.account(payment.account)
    outcome, problem, cause = Sending.DONE, "", f"payment cancelled at {at.name}"
    if not isinstance(at.provider, Cancels) or payment.payment_id is None:
        outcome, cause = Sending.REFUSED, "payment left to expire"
    else:
        try:
            yield Carry(at.provider.cancel(payment.payment_id, now=desk.now))
        except Declined as error:
            outcome, problem, cause = Sending.REFUSED, str(error), f"{at.name} refused to cancel the payment"

    def change(dossier: Dossier) -> Dossier:
        return cancel_sent(dossier, number, outcome=outcome, problem=problem)

    return (yield from keep(OnOrder(kept.dossier.order.key, change, desk.now, cause)))


def _open_payment(dossier: Dossier, account: str, method: str, now: int) -> Payment | None:
    for payment, standing in zip(dossier.payments, standings(dossier), strict=True):
        if payment.account != account or (method and payment.method != method):
            continue
        if payment.payment_id is None:
            if payment.sending is Sending.SENT and not payment.problem:
                raise Busy(
                    "a payment of this order is being opened at this moment; ask again in a few seconds"
                )
            continue
        closes = payment.terms.expires_at
        still_open = closes is None or now < closes or standing.status is PaymentStatus.PROCESSING
        if standing.status in _USABLE and still_open:
            return payment
    return None


def _needed(dossier: Dossier) -> Money:
    """Return what of the order is not paid yet."""
    paid = sum((s.counts for s in standings(dossier)), Money.zero(dossier.order.amount.asset))
    return dossier.order.amount - paid


def _terms(desk: Desk, at: Account, dossier: Dossier) -> Operation[Terms]:
    worth = _needed(dossier)
    if worth.minor <= 0:
        raise Refused(f"order {dossier.order.reference!r} needs no further payment: all of it is paid")
    policy = desk.policy(at, dossier)
    bills = at.capabilities.bills
    if bills is None or worth.asset.code in bills:
        return Terms(worth=worth, billed=worth, policy=policy)
    currency = min(bills)
    if desk.rates is None:
        raise Refused(
            f"account {at.name!r} bills in {', '.join(sorted(bills))} only and the order is in {worth.asset}; "
            "configure a rate source under [rates], or use another account. Nothing was created"
        )
    rate: Rate = yield Carry(desk.rates.rate(worth.asset.code, currency, now=desk.now))
    return Terms(worth=worth, billed=convert(worth, rate, desk.asset(currency)), policy=policy, rate=rate)


def _request(
    desk: Desk, dossier: Dossier, attempt: str, terms: Terms, method: str, return_url: str
) -> OpenRequest:
    order = dossier.order
    details = {"description": order.description, "order_key": order.key, "shop": order.shop}
    give = desk.config.server.give_away
    return OpenRequest(
        attempt=attempt,
        reference=order.reference,
        amount=terms.billed,
        description=order.description if "description" in give else "",
        method=method,
        return_url=return_url or order.return_url,
        metadata=tuple((name, details[name]) for name in give if name in details and name != "description"),
    )


def _find(desk: Desk, at: Account, request: OpenRequest) -> Operation[Opened | None]:
    if at.capabilities.opening is Recovery.NOTHING:
        return None
    try:
        opened: Opened | None = yield Carry(at.provider.find_payment(request, now=desk.now))
    except (ProviderError, PluginBroken):
        # The courier goes on asking; whoever waits is told that the outcome is not known yet.
        return None
    return opened


def _keep_opened(desk: Desk, at: Account, order_key: str, number: int, opened: Opened) -> Operation[Kept]:
    cancelling = frozenset({at.name}) if at.capabilities.cancels else frozenset[str]()

    def change(dossier: Dossier) -> Dossier:
        after = payment_opened(dossier, number, opened)
        cancelled = any(act.kind is ActKind.CANCEL for act in dossier.acts)
        return cancel_wanted(after, cancelling) if cancelled else after

    return (yield from keep(OnOrder(order_key, change, desk.now, f"payment opened at {at.name}")))


def _refused(order_key: str, number: int, now: int, error: ProviderError) -> OnOrder:
    problem = str(error)
    return OnOrder(order_key, lambda d: payment_refused(d, number, problem), now, "payment not opened")
