"""What a payment service can do, and its habits, as data: a plugin states them, core derives all behaviour from them.

Nothing here is configured by anyone; a plugin that states it wrongly is broken.
"""

from enum import Enum

import attrs

from bursar.errors import BadInput

__all__ = ["Capabilities", "Habits", "Recovery", "Refunding", "Retries"]


class Recovery(Enum):
    """Say what helps after a request whose outcome is unknown."""

    KEY = "key"
    """The service has idempotency keys: the same request with the same key is safe to send again."""
    SEARCH = "search"
    """The service can be searched for our operation id."""
    NOTHING = "nothing"
    """Neither: such an intent is listed for a person."""


class Refunding(Enum):
    """Say how money goes back."""

    API = "api"
    MANUAL = "manual"
    """The service cannot: a person sends it and records it."""


class Retries(Enum):
    """Say which answers to a webhook make the service send it again."""

    SERVER_ERRORS = "server_errors"
    """5xx, 408, 429 and no answer; any other 4xx is final."""
    ANY_FAILURE = "any_failure"
    """Everything that is not 2xx."""
    NEVER = "never"


def _check_gaps(_: object, __: object, gaps: tuple[int, ...]) -> None:
    if not gaps or min(gaps) < 1:
        raise BadInput("gaps between polls are one or more positive numbers of seconds")


@attrs.frozen
class Habits:
    """State how a service behaves over time; all numbers are seconds.

    *retries* and *retry_gaps*: what is sent again, and after how long; *queue_blocks*: a failing event holds back all
    later ones. *clock_lag*: by how much the clock of its answers may run behind that of its events. *totals*: its polls
    report a running total. *poll_gaps*: how long to wait for news before the first, second, … poll of an open payment;
    the last one repeats. *expiry_grace*: how long after the window's end it may still call a payment open. *late_for*:
    how long after the window's end late money is still looked for, every *late_gap*. *settle_for*: how long after an
    unknown outcome the effect may still show up in a search; *key_life*: how long an idempotency key holds (None: for
    ever).
    """

    retries: Retries
    retry_gaps: tuple[int, ...] = ()
    queue_blocks: bool = False
    clock_lag: int = 0
    totals: bool = False
    poll_gaps: tuple[int, ...] = attrs.field(default=(60, 120, 300, 600), validator=_check_gaps)
    expiry_grace: int = 60
    late_for: int = 86_400
    late_gap: int = 3_600
    settle_for: int = 120
    key_life: int | None = None
    refund_gaps: tuple[int, ...] = attrs.field(default=(60, 300, 3_600, 21_600), validator=_check_gaps)


@attrs.frozen
class Capabilities:
    """State what a provider can do.

    *bills*: the currencies it prices in, None for any. *opening* and *refund_recovery*: what helps after an unknown
    outcome. *methods*: the buyer's payment method can be chosen when a payment is opened; *method_required*: it must
    be. *window*: the buyer's window can be set. *hosted*: it has a page of its own for the buyer. *modal*: that page can
    be shown inside ours.
    """

    habits: Habits
    bills: frozenset[str] | None = None
    opening: Recovery = Recovery.NOTHING
    refunding: Refunding = Refunding.MANUAL
    refund_recovery: Recovery = Recovery.NOTHING
    partial_refunds: bool = False
    cancels: bool = False
    lists: bool = False
    connects: bool = False
    methods: bool = False
    method_required: bool = False
    window: bool = False
    hosted: bool = False
    modal: bool = False
