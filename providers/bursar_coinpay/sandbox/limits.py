"""The service's rate limits: so many requests in a minute of the clock, for each caller."""

from typing import Final

__all__ = ["Limits"]

_WINDOW: Final = 60


class Limits:
    """Count requests by caller and minute."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def take(self, caller: str, limit: int, now: float) -> tuple[int, int]:
        """Count one request; return how many are left, below zero where it is one too many, and when the minute ends."""
        window = int(now) // _WINDOW
        seen, count = self._counts.get(caller, (window, 0))
        count = count + 1 if seen == window else 1
        self._counts[caller] = (window, count)
        return limit - count, (window + 1) * _WINDOW
