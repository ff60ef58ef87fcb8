"""One clock for the sandboxes, the server and the shop: real time, and what a person lets pass on top of it."""

import time
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """Tell Unix seconds. It only ever goes forward."""

    def __init__(self, real: Callable[[], float] = time.time) -> None:
        self._real, self.ahead = real, 0.0

    def __call__(self) -> float:
        return self._real() + self.ahead

    def let_pass(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self.ahead += seconds
