"""What can go wrong, sorted by the question the caller asks next: whose fault is it, and may I try again?

BursarError
    ConfigError            a setting is missing or wrong: the integrator mends it
    BadInput               the caller asked for something that cannot be: mend the call
        CurrencyMismatch   two amounts of different assets met
        NotFound           no such order, payment, account or shop
        Refused            right in form, but not allowed as things stand
    BadSignature           not genuine: do not act on it
    BadDelivery            genuine, but unreadable: the provider's fault, never ours to guess
    PluginBroken           a plugin broke its contract: its author mends it
    Busy                   we are full for the moment: nothing was taken, try again
    ProviderError          the service said no, or said nothing
        Declined           final: tell the buyer or the merchant
        Unavailable        nothing happened: safe to try again
        OutcomeUnknown     money may have moved: look it up, never resend
"""

__all__ = [
    "BadDelivery",
    "BadInput",
    "BadSignature",
    "BursarError",
    "Busy",
    "ConfigError",
    "CurrencyMismatch",
    "Declined",
    "NotFound",
    "OutcomeUnknown",
    "PluginBroken",
    "ProviderError",
    "Refused",
    "Unavailable",
]


class BursarError(Exception):
    """Be the root of everything Bursar raises on purpose."""


class ConfigError(BursarError):
    """Say which setting is missing or wrong, where it stands, and the cure."""


class BadInput(BursarError):
    """Say what about the caller's request cannot be."""


class CurrencyMismatch(BadInput):
    """Refuse to mix amounts of different assets."""


class NotFound(BadInput):
    """Say what was looked for and is not there."""


class Refused(BadInput):
    """Refuse what the present state does not allow, and say what would."""


class BadSignature(BursarError):
    """Mark a delivery that is not genuine."""


class BadDelivery(BursarError):
    """Mark a genuine delivery whose content cannot be read."""


class PluginBroken(BursarError):
    """Name the plugin, and what of its contract it broke."""


class Busy(BursarError):
    """Say that nothing was taken because the queue is full."""


class ProviderError(BursarError):
    """Carry what a payment service answered, with what support will ask for.

    *status* is the HTTP status where there was an answer; *retry_after* is in seconds, where the service named it.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Declined(ProviderError):
    """The service refused for good; repeating the same request cannot help."""


class Unavailable(ProviderError):
    """The request had no effect; it is safe to send it again later."""


class OutcomeUnknown(ProviderError):
    """The request may have had its effect; look it up before anything is repeated."""
