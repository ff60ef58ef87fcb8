"""Replay recordings of a real BTCPay Server through the whole of Bursar, and compare where every invoice ends.

`python -m bursar_btcpay.recordings DIR` takes any folder of recordings (`format` 1: every HTTP exchange and every webhook
delivery of a scenario, byte for byte). Each scenario is played in recorded, reversed and shuffled order with duplicates:
its deliveries come in with their true signatures, its recorded answers stand in for the server whenever it is asked, and
each play has a database of its own. What is expected is what the invoice's last recorded answer means.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bursar import Bursar, read_config
from bursar.errors import BursarError
from bursar.standing import PaymentStatus
from bursar_btcpay.recording import Delivered, Recording, read_recording
from bursar_btcpay.standin import StandIn

__all__ = ["Outcome", "main", "play", "plays"]

_LOOKS, _A_WHILE = 3, 10
_CONFIG = """
[bursar]
database = "sqlite:///{database}"
[accounts.main]
provider = "btcpay"
url = "{url}"
store_id = "{store}"
api_key = "literal:standing-in"
allow_http = true
webhook_secret = "literal:{secret}"
old_webhook_secrets = [{others}]
"""


@attrs.frozen
class Outcome:
    """Report one invoice of one scenario: what its last answer means, and where each play ended.

    *reached* maps each end to the number of plays that ended so; *asked* counts the plays in which it took a poll.
    """

    scenario: str
    invoice: str
    expected: PaymentStatus
    means: str
    reached: dict[PaymentStatus | str, int]
    asked: int

    @property
    def right(self) -> bool:
        return set(self.reached) == {self.expected}


def plays(recording: Recording, *, shuffles: int, seed: int) -> Iterator[list[object]]:
    """Yield what happens in each play, in order: deliveries, looks (a recorded answer read again), and openings by invoice id."""
    events: list[object] = [*recording.invoices, *recording.steps]
    yield events
    # Here every delivery comes before its payment is known: it has to wait, and not be lost.
    yield events[::-1]
    for number in range(shuffles):
        dice = random.Random(f"{seed}/{recording.scenario}/{number}")
        again = [step for step in recording.steps if dice.random() < 0.4]
        shuffled = [*events, *again]
        dice.shuffle(shuffled)
        yield shuffled


def play(
    recording: Recording, events: Sequence[object], folder: Path
) -> dict[str, tuple[PaymentStatus | str, bool]]:
    """Play *events* on a fresh database in *folder*; return by invoice id where it ended and whether a poll was needed."""
    stand_in = StandIn(recording)
    first, *others = recording.secrets or ["unused"]
    text = _CONFIG.format(
        database=(folder / "bursar.db").as_posix(),
        url=stand_in.url,
        store=recording.store,
        secret=first,
        others=", ".join(f'"literal:{secret}"' for secret in others),
    )
    config = read_config(text, env={}, source=recording.scenario)
    ended: dict[str, tuple[PaymentStatus | str, bool]] = {}
    with Bursar(config, clock=lambda: stand_in.now, transport=stand_in.transport) as bursar:
        keys: dict[str, str] = {}
        for event in events:
            if isinstance(event, str):
                invoice = recording.invoice(event)
                order = bursar.open_order(reference=event, amount=invoice.due, currency=invoice.currency)
                keys[event] = order.key
                stand_in.show(event, invoice.created)
                bursar.adopt(order.key, account="main", payment_id=event)
            elif isinstance(event, Delivered):
                answer = bursar.receive("main", event.body, dict(event.headers))
                if answer.status != (200 if event.genuine else 401):
                    return dict.fromkeys(
                        recording.invoices, (f"delivery {event.seq}: {answer.status} {answer.text}", False)
                    )
            elif (look := recording.look(event)) and look.invoice in keys:
                stand_in.show(look.invoice, look)
                bursar.sync(keys[look.invoice])
        stand_in.show_last()
        before = {i: bursar.order(key).payments[0].status for i, key in keys.items()}
        for _ in range(_LOOKS):
            stand_in.now += _A_WHILE
            bursar.run_due()
        for invoice_id, key in keys.items():
            after = bursar.order(key).payments[0].status
            ended[invoice_id] = (after, after is not before[invoice_id])
    return ended


def outcomes(recording: Recording, *, shuffles: int, seed: int) -> list[Outcome]:
    """Play a recording in every order asked for and say how each of its invoices ended."""
    reached: dict[str, dict[PaymentStatus | str, int]] = {i: {} for i in recording.invoices}
    asked = dict.fromkeys(recording.invoices, 0)
    for events in plays(recording, shuffles=shuffles, seed=seed):
        with tempfile.TemporaryDirectory(prefix="bursar-recordings-") as folder:
            try:
                ended = play(recording, events, Path(folder))
            except BursarError as error:
                ended = {i: (f"{type(error).__name__}: {error}", False) for i in recording.invoices}
        for invoice_id, (status, poll) in ended.items():
            reached[invoice_id][status] = reached[invoice_id].get(status, 0) + 1
            asked[invoice_id] += poll
    return [
        Outcome(recording.scenario, i, *recording.invoice(i).expected, reached[i], asked[i])
        for i in recording.invoices
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a folder of recordings, print scenario, expected and reached, and return 1 if any invoice ended wrong."""
    parser = argparse.ArgumentParser(prog="python -m bursar_btcpay.recordings", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a folder of recordings (*.json)")
    parser.add_argument("--shuffles", type=int, default=8, help="shuffled plays per scenario (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the shuffles (default: 1)")
    options = parser.parse_args(arguments)
    files = (
        sorted(f for f in options.folder.glob("*.json") if f.name != "manifest.json")
        if options.folder.is_dir()
        else []
    )
    if not files:
        print(
            f"{options.folder}: no recordings there; name a folder that holds *.json recordings",
            file=sys.stderr,
        )
        return 2
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    console = Console() if sys.stdout.isatty() else Console(width=140)
    table = Table("scenario", "last answer", "expected", "reached", "plays", "by a poll", title=None)
    total, right, empty, played = 0, 0, 0, 0
    for file in track(
        files,
        description="replaying",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ):
        try:
            recording = read_recording(json.loads(file.read_text(encoding="utf-8"), parse_float=str))
        except (ValueError, KeyError, TypeError) as error:
            print(f"{file}: not a recording of format 1: {error!r}", file=sys.stderr)
            return 2
        found = outcomes(recording, shuffles=options.shuffles, seed=options.seed)
        empty += not found
        played += 2 + options.shuffles if found else 0
        for outcome in found:
            total += 1
            right += outcome.right
            ends = ", ".join(getattr(end, "value", str(end)) for end in outcome.reached)
            mark = ends if outcome.right else f"[red]{ends}[/red]"
            table.add_row(
                outcome.scenario,
                outcome.means,
                outcome.expected.value,
                mark,
                str(sum(outcome.reached.values())),
                str(outcome.asked),
            )
    console.print(table)
    print(
        f"recordings: {len(files)} scenarios ({empty} without an invoice), {total} invoices, {played} plays: "
        f"{right} ended as their last answer means in every order, {total - right} did not"
    )
    return 0 if right == total else 1


if __name__ == "__main__":
    sys.exit(main())
