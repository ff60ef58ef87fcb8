"""Open the configured Bursar for one command, and find the order that a person means."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bursar.cli.options import Level
from bursar.cli.printing import plain
from bursar.errors import BadInput, NotFound

if TYPE_CHECKING:
    from bursar.service import Bursar
    from bursar.views import OrderView

__all__ = ["find_order", "opened", "say"]


@contextmanager
def opened(path: Path) -> Generator["Bursar", None, None]:
    """Open what the configuration at *path* says, quietly, for as long as a command takes."""
    from bursar.cli.logs import set_up_logs
    from bursar.service import Bursar

    set_up_logs(Level.ERROR)
    with Bursar.from_config(path) as bursar:
        yield bursar


def find_order(bursar: "Bursar", name: str, shop: str = "") -> "OrderView":
    """Return the order whose key or reference is *name*. Raise `NotFound`, or `BadInput` where several shops have one."""
    shops = [shop] if shop else sorted({"shop", *bursar.config.shops})
    if not shop:
        try:
            return bursar.order(name)
        except NotFound:
            pass
    found: list[OrderView] = []
    for one in shops:
        try:
            found.append(bursar.find(name, shop=one))
        except NotFound:
            continue
    if len(found) > 1:
        names = ", ".join(order.shop for order in found)
        raise BadInput(f"several shops have an order {name!r}: {names}; say which with --shop")
    if not found:
        raise NotFound(f"there is no order with key or reference {name!r} in {', '.join(shops)}")
    return found[0]


def say(order: "OrderView") -> None:
    """Print where *order* stands now, in one line, and that a person should look where one should."""
    look = (
        f"; for a person: {', '.join(review.reason.value for review in order.reviews)}"
        if order.reviews
        else ""
    )
    flags = f" ({', '.join(order.flags)})" if order.flags else ""
    print(plain(f"order {order.reference}: {order.status.value}{flags}{look}"))
