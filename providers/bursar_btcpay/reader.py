"""Say what an invoice means, as facts. Nothing here asks or decides anything.

An answer counts at the server's own `Date`, which runs up to two seconds behind; an event at its `timestamp`. A word that
is not known gives no verdict: the next poll, by a later version of this plugin or after the state has moved on, will.
"""

from typing import Final

from bursar.facts import Facts, Flag, Said, Stage, Transfer, Word
from bursar.money import Asset, Money
from bursar_btcpay.assets import currency_asset, exact, rounded
from bursar_btcpay.invoices import Invoice, Method, Paid

__all__ = ["billed_amount", "invoice_facts", "transfer", "verdict", "word_of"]

_WORDS: Final = {
    "New": Word.NEW,
    "Processing": Word.PROCESSING,
    "Settled": Word.SETTLED,
    "Expired": Word.EXPIRED,
    "Invalid": Word.INVALID,
}
_REFINED: Final = {
    ("New", "PaidPartial"): Word.PARTIAL,
    ("Expired", "PaidPartial"): Word.UNDERPAID,
    ("Expired", "PaidLate"): Word.LATE,
}
_ADDITIONAL: Final = frozenset({"None", "PaidPartial", "PaidLate", "PaidOver", "Marked", "Invalid"})
_STAGES: Final = {"Processing": Stage.SEEN, "Settled": Stage.CONFIRMED, "Invalid": Stage.INVALID}


def word_of(status: str, additional: str) -> Word | None:
    """Return what the two status members mean; None where either is not known."""
    if additional not in _ADDITIONAL:
        return None
    return _REFINED.get((status, additional)) or _WORDS.get(status)


def verdict(word: Word, at: int, *flags: Flag) -> Facts:
    """Return the facts that one event states."""
    return Facts(verdict=Said[Word].once(word, at), flags=frozenset(flags))


def transfer(paid: Paid, at: int, stage: Stage | None = None) -> Transfer:
    """Return one payment as a transfer; *stage* says more than its own status where an event does."""
    known = stage or _STAGES.get(paid.status, Stage.SEEN)
    return Transfer(paid.id, paid.net, Said[Stage].once(known, at), paid.received_at)


def billed_amount(invoice: Invoice, hint: Asset | None = None) -> Money | None:
    """Return what the invoice asks for; None for a top-up whose amount its first payment still has to decide."""
    if invoice.top_up and not invoice.amount:
        return None
    return exact(invoice.amount, currency_asset(invoice.currency, hint))


def invoice_facts(
    invoice: Invoice,
    at: int,
    *,
    hint: Asset | None = None,
    methods: tuple[Method, ...] = (),
    methods_at: int = 0,
) -> Facts:
    """Return all that an answer says; *methods* were read at *methods_at* by the same clock."""
    word = word_of(invoice.status, invoice.additional)
    said = Said[Word].once(word, at) if word else None
    asset = currency_asset(invoice.currency, hint)
    billed = billed_amount(invoice, hint)
    # A total in another currency than was agreed would not add up with anything; that it differs is in *billed*.
    fits = invoice.paid is not None and (hint is None or asset == hint)
    total = rounded(invoice.paid, asset) if fits and invoice.paid is not None else None
    return Facts(
        verdict=said,
        polled=said,
        transfers=tuple(transfer(p, methods_at) for method in methods for p in method.payments),
        credited=Said[Money].once(total, at) if total is not None else None,
        billed=frozenset({billed} if billed is not None else ()),
        flags=_flags(invoice, methods),
    )


def _flags(invoice: Invoice, methods: tuple[Method, ...]) -> frozenset[Flag]:
    """Return what BTCPay will not take back: *PaidOver* is final only once the invoice has settled."""
    flags: set[Flag] = set()
    if invoice.additional == "Marked":
        flags.add(Flag.BY_HAND)
    if invoice.status == "Settled" and invoice.additional == "PaidOver":
        flags.add(Flag.OVERPAID)
    live = [p for m in methods for p in m.payments if p.status != "Invalid"]
    if invoice.status == "Expired" and any((p.received_at or 0) > invoice.expires_at for p in live):
        flags.add(Flag.LATE)
    return frozenset(flags)
