"""The shop's own books: what was sold, and what the shop was told of each order, message by message."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["PRODUCTS", "Ledger", "Product", "Sale"]


@attrs.frozen
class Product:
    """Something to buy. *price* is exact text in *currency*."""

    id: str
    name: str
    text: str
    price: str
    currency: str


PRODUCTS = {
    product.id: product
    for product in (
        Product("boat", "Paper boat", "Folded by hand, floats for an hour.", "4.90", "EUR"),
        Product("tea", "Harbour tea", "A tin of 250 grams. Smells of rope.", "12.00", "USD"),
        Product("lantern", "Storm lantern", "Brass, burns through any weather.", "89.00", "EUR"),
    )
}


@attrs.define
class Sale:
    """One order as the shop knows it: from what it sold, and from what it was told since.

    *number* is that of the last message that was acted on; *told* holds (number, status) of each, *repeats* counts those
    that told nothing new. *refunds* are as the server's API last showed them. *shipped* counts how often the goods were sent, which must never be more than once.
    """

    reference: str
    product: Product
    account: str
    at: int
    key: str = ""
    checkout_url: str = attrs.field(default="", repr=False)
    number: int = 0
    status: str = ""
    order: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    told: list[tuple[int, str]] = attrs.field(factory=list[tuple[int, str]])
    refunds: list[Mapping[str, Any]] = attrs.field(factory=list[Mapping[str, Any]])
    looked_at: float = 0
    repeats: int = 0
    shipped: int = 0

    @property
    def entered(self) -> Counter[str]:
        """How often the order came into each status, as far as the shop was told."""
        counts: Counter[str] = Counter()
        before = ""
        for _, status in self.told:
            if status != before:
                counts[status] += 1
            before = status
        return counts


class Ledger:
    """Keep sales, newest last. *version* grows with every change, so that a page knows when to look again."""

    def __init__(self) -> None:
        self.sales: dict[str, Sale] = {}
        self.version = 0
        self.last = 1000
        self.strays = 0

    def sell(self, product: Product, account: str, *, at: int) -> Sale:
        """Write a new sale down, under a reference of its own."""
        # A number is never given twice, not even that of a sale that came to nothing.
        self.last += 1
        sale = Sale(str(self.last), product, account, at)
        self.sales[sale.reference] = sale
        self.version += 1
        return sale

    def unsell(self, sale: Sale) -> None:
        """Strike out a sale that came to nothing."""
        del self.sales[sale.reference]
        self.version += 1

    def opened(self, sale: Sale, *, key: str, checkout_url: str) -> None:
        """Note that the order for *sale* is open."""
        sale.key, sale.checkout_url = key, checkout_url
        self.version += 1

    def looked(self, sale: Sale, order: Mapping[str, Any], *, at: float) -> None:
        """Note what the server's API showed of the order's refunds; its links come from there."""
        sale.looked_at = at
        if order["refunds"] != sale.refunds:
            sale.refunds = order["refunds"]
            self.version += 1

    def hear(self, message: Mapping[str, Any]) -> None:
        """Act on one proved message: the newest number wins, and what is not newer changes nothing."""
        order: Mapping[str, Any] = message["order"]
        sale = self.sales.get(order["reference"])
        if sale is None:
            self.strays += 1
            return
        self.version += 1
        if message["number"] <= sale.number:
            sale.repeats += 1
            return
        if order["status"] == "paid" and sale.status != "paid":
            sale.shipped += 1
        sale.number, sale.status, sale.order = message["number"], order["status"], order
        sale.told.append((message["number"], order["status"]))
