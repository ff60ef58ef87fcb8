"""The road from a service to the server: usually it carries what it is given, and in some stories it misbehaves."""

import httpx

from bursar.cli.carrying import post
from bursar.testing.sandboxes import Outgoing

__all__ = ["Road"]


class Road:
    """Carry deliveries. *copies* of each go out; while it *loses* or *holds*, the service believes that they arrived.

    `carried`, `lost` and `doubled` count; `held` is what `release` lets go.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.copies, self.loses, self.holds = 1, False, False
        self.held: list[Outgoing] = []
        self.last: Outgoing | None = None
        self.last_lost = ""
        self.carried = self.lost = self.doubled = 0

    async def __call__(self, outgoing: Outgoing) -> int | None:
        """Carry one attempt, or do not."""
        if self.loses:
            self.lost += 1
            self.last_lost = outgoing.event
            return 200
        if self.holds:
            self.held.append(outgoing)
            return 200
        status = None
        for copy in range(self.copies):
            again = await post(self._client, outgoing)
            status = again if copy == 0 else status
        self.carried += 1
        self.doubled += self.copies - 1
        self.last = outgoing
        return status

    async def release(self) -> int:
        """Let go what was held, the last first; return how many that were."""
        held, self.held, self.holds = self.held, [], False
        for outgoing in reversed(held):
            await post(self._client, outgoing)
        self.carried += len(held)
        return len(held)

    def mend(self) -> None:
        """Carry everything once again."""
        self.copies, self.loses, self.holds = 1, False, False
