"""When an order is due: by its own rule or because its shop has to be told, and not before a failure's hold is over."""

from collections.abc import Callable

import attrs

from bursar.orders import Dossier

__all__ = ["Timing"]


@attrs.frozen
class Timing:
    """Hold the pure rules that the store is given: when an order wants to be woken, and whether a shop is told at all."""

    wake: Callable[[Dossier], int | None]
    tell: Callable[[str], bool]

    def due_at(
        self,
        shop: str,
        *,
        wake_at: int | None,
        target: int,
        changed_at: int,
        cursor: int,
        hold_until: int,
        shop_hold_until: int,
    ) -> int | None:
        """Return when the order is next due for anything, None for never."""
        errand = self.errands_at(wake_at=wake_at, hold_until=hold_until)
        telling = self.telling_at(
            shop, target=target, changed_at=changed_at, cursor=cursor, shop_hold_until=shop_hold_until
        )
        if errand is None or telling is None:
            return telling if errand is None else errand
        return min(errand, telling)

    def errands_at(self, *, wake_at: int | None, hold_until: int) -> int | None:
        """Return when its errands are due."""
        return None if wake_at is None else max(wake_at, hold_until)

    def telling_at(
        self, shop: str, *, target: int, changed_at: int, cursor: int, shop_hold_until: int
    ) -> int | None:
        """Return when its shop is to be told: at once after a change, so the order that has waited longest comes first."""
        if cursor >= target or not self.tell(shop):
            return None
        return max(changed_at, shop_hold_until)
