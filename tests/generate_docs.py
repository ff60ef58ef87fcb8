"""Write the generated parts of the docs again: `make docs`. Tests compare them."""

import re
import sys
from pathlib import Path

import structlog

from bursar.lifecycle import diagram
from bursar.reviews import REMEDIES, Reason
from bursar.testing.stories import stories_of, table

DOCS = Path(__file__).parents[1] / "docs"
TITLES = {"BTCPay Server": "btcpay", "CoinPay": "coinpay"}
MEANING = {
    Reason.PAID_TWICE: "more than one payment counts, and together they are too much",
    Reason.SURPLUS: "more arrived than was due",
    Reason.UNDERPAID: "the window closed on too little",
    Reason.PAID_LATE: "enough arrived, but late",
    Reason.PAID_AFTER_CANCEL: "money arrived for an order that was cancelled",
    Reason.MONEY_ON_FAILED: "money was seen on a payment that was taken back",
    Reason.MARKED_BY_HAND: "marked at the provider, without money, and the policy asks",
    Reason.REVERSED: "it was paid, and the provider took that back",
    Reason.MISMATCH: "the provider asks for another amount or currency than was agreed",
    Reason.TIE: "the provider contradicts itself within one instant",
    Reason.OVER_REFUNDED: "more went back, or is going back, than was received",
    Reason.OUTCOME_UNKNOWN: "nobody can find out whether a request took effect",
    Reason.REFUND_BY_HAND: "a person has to send this refund, and record it",
    Reason.REFUND_FAILED: "the provider refused a refund",
}


def reviews() -> str:
    """Return the table of reasons and remedies."""
    rows = [f"| `{r.value}` | {MEANING[r]} | {', '.join(REMEDIES[r])} |" for r in Reason]
    return "\n".join(["| reason | when | what can be done |", "| --- | --- | --- |", *rows]) + "\n"


def drawn() -> str:
    """Return the diagram as a block of Markdown."""
    return f"```mermaid\n{diagram()}```\n"


def main() -> int:
    """Replace the generated parts of the pages."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    page = DOCS / "lifecycle.md"
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"```mermaid\n.*?```\n", lambda _: drawn(), text, flags=re.DOTALL)
    text = re.sub(r"\| reason \| when .*?\n\n", lambda _: reviews() + "\n", text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    page = DOCS / "edge-cases.md"
    text = page.read_text(encoding="utf-8")
    for title, provider in TITLES.items():
        head = f"## {title}\n\n"
        assert head in text, f"{page.name} has no {title}"
        before, _, after = text.partition(head)
        rest = re.sub(r"\A(?:\|[^\n]*\n)+", "", after)
        text = before + head + table(provider, stories_of(provider)) + rest
    page.write_text(text, encoding="utf-8")
    print(f"docs: the diagram, {len(MEANING)} reasons and {len(TITLES)} tables of edge cases written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
