"""What is particular to each service when it is played: how the rest is paid, and how a refund goes its way."""

from collections.abc import Awaitable, Callable
from decimal import ROUND_FLOOR, Context
from typing import Any, Final

import attrs

__all__ = ["AT", "Press", "Service"]

Press = Callable[[str, dict[str, str]], Awaitable[None]]
"""Press a button of a service's panel, as a person does: the form's path and its fields."""


@attrs.frozen
class Service:
    """Know one service.

    *last_event* is the last that a paid payment makes it send; *sees_unconfirmed* tells whether it speaks of money
    before that is final; *refunds* whether it can send money back. *talk* makes it tell all that it ever tells of a
    payment; *pay_rest* sends exactly what is still due.
    """

    name: str
    last_event: str
    sees_unconfirmed: bool
    refunds: bool
    talk: Callable[[Press, str], Awaitable[None]]
    pay_rest: Callable[[Any, str], None]


async def _always_talks(press: Press, payment_id: str) -> None:
    return


async def _talks_by_worker_a(press: Press, payment_id: str) -> None:
    await press(f"/panel/{payment_id}/worker", {"worker": "A"})


def _by_asking(sandbox: Any, payment_id: str) -> None:
    sandbox.pay_rest(payment_id)


def _by_share(sandbox: Any, payment_id: str) -> None:
    row = sandbox.row(payment_id)
    # Rounded down here, for the sandbox rounds up to what the chain can carry.
    share = Context(rounding=ROUND_FLOOR).divide(row.asked - row.balance, row.asked)
    sandbox.pay(payment_id, share=share)


AT: Final = {
    service.name: service
    for service in (
        Service("btcpay", "InvoiceSettled", True, True, _always_talks, _by_asking),
        Service("coinpay", "payment.forwarded", False, False, _talks_by_worker_a, _by_share),
    )
}
