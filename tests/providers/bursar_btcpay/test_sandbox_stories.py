"""The sandbox lives through every recorded story of a real server, and answers and sends the same.

`sandbox_data/deliveries.json` says what it was distilled from. All stories are played in one go, in the order in which
they were recorded, for the lists of a later one show the objects of earlier ones.
"""

import base64
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from bursar_btcpay.sandbox import BTCPaySandbox
from bursar_btcpay.sandbox.ids import Ids
from bursar_btcpay.sandbox.permissions import MERCHANT
from bursar_btcpay.sandbox.transport import AppTransport

DATA = json.loads((Path(__file__).parent / "sandbox_data" / "deliveries.json").read_text("utf-8"))
STORIES: dict[str, Any] = DATA["scenarios"]
SERVER = "http://127.0.0.1:23000"
MANAGER = (
    *MERCHANT,
    "btcpay.store.canmodifystoresettings",
    "btcpay.store.cancreatepullpayments",
    "btcpay.store.canmanagepullpayments",
    "btcpay.store.canmanagepayouts",
)
# Where the sandbox's answer differs, and may: (story, seq of the request) -> why.
_ANY_ORDER = "nine invoices of one second: the server lists them in any order, and so does the sandbox"
DIFFERENCES = {("update_and_search", 19): _ANY_ORDER, ("update_and_search", 20): _ANY_ORDER}


class Mismatch(Exception):
    pass


@attrs.define
class Names:
    """Bind the recording's numbered ids to the sandbox's own, both ways, as they are first seen."""

    base: int = 0
    to_real: dict[str, str] = attrs.field(factory=dict[str, str])
    to_name: dict[str, str] = attrs.field(factory=dict[str, str])

    def fill(self, text: str) -> str:
        """Put the sandbox's ids into *text* of the recording."""
        text = re.sub(r"<t:(-?\d+)>", lambda found: str(self.base + int(found[1])), text)
        return re.sub(r"<[a-z-]+:\w+>", lambda found: self.to_real.get(found[0], found[0]), text)

    def bind(self, name: str, real: str) -> None:
        if self.to_real.setdefault(name, real) != real or self.to_name.setdefault(real, name) != name:
            raise Mismatch(f"{name} is {self.to_real[name]}, yet here stands {real}")

    def text(self, wanted: str, real: str) -> None:
        wanted = re.sub(r"<(any|trace|secret|log time)>", "<any:x>", wanted)
        real_pattern = ""
        names: list[str] = []
        for piece in re.split(r"(<[a-z-]+:\w+>)", wanted):
            if piece == "<any:x>":
                real_pattern += ".+?"
            elif re.fullmatch(r"<[a-z-]+:\w+>", piece):
                names.append(piece)
                real_pattern += r"([0-9A-Za-z-]+)"
            else:
                real_pattern += re.escape(piece)
        found = re.fullmatch(real_pattern, real, re.DOTALL)
        if found is None:
            raise Mismatch(f"{real!r} is not {wanted!r}")
        for name, value in zip(names, found.groups(), strict=True):
            self.bind(name, value)


def expand(value: Any) -> Any:
    match value:
        case {"$": int(at)}:
            return expand(DATA["parts"][at])
        case dict():
            return {name: expand(item) for name, item in value.items()}
        case list():
            return [expand(item) for item in value]
        case _:
            return value


def compare(wanted: Any, real: Any, names: Names, path: str = "") -> Iterator[str]:
    """Yield every place where *real* is not what was recorded: members, their order, types and values."""
    try:
        match wanted:
            case "<any>":
                return
            case {"number": str(text)}:
                if not isinstance(real, Decimal) or str(real) != text:
                    raise Mismatch(f"{real!r} is not the number {text}")
            case dict():
                if not isinstance(real, dict) or list(wanted) != list(real):
                    raise Mismatch(
                        f"members {list(real) if isinstance(real, dict) else real}, not {list(wanted)}"
                    )
                for name in wanted:
                    yield from compare(wanted[name], real[name], names, f"{path}.{name}")
            case list():
                if not isinstance(real, list) or len(wanted) != len(real):
                    raise Mismatch(f"{real!r} is not a list of {len(wanted)}")
                for at, item in enumerate(wanted):
                    yield from compare(item, real[at], names, f"{path}[{at}]")
            case str() if re.fullmatch(r"<t:-?\d+>", wanted):
                # Its requests took some milliseconds, ours take none: a second may have turned in between.
                if type(real) is not int or abs(real - int(names.fill(wanted))) > 1:
                    raise Mismatch(f"{real!r} is not within a second of {names.fill(wanted)}")
            case str():
                if not isinstance(real, str):
                    raise Mismatch(f"{real!r} is not the text {wanted!r}")
                names.text(wanted, real)
            case _:
                if type(real) is not type(wanted) or real != wanted:
                    raise Mismatch(f"{real!r} is not {wanted!r}")
    except Mismatch as mismatch:
        yield f"{path}: {mismatch}"


class Session:
    """Play merchant, buyer, chain and webhook receiver against one sandbox, and note all mismatches."""

    def __init__(self) -> None:
        self.now: float = STORIES["setup"]["base"]
        self.story, self.names = "setup", Names()
        self.compared, self.delivered = 0, 0
        self.differed: set[tuple[str, int]] = set()
        self.buyers = Ids(99)
        self.problems: dict[str, list[str]] = {}
        self.came: dict[str, list[Any]] = {}
        self.answers: dict[str, list[int]] = {}
        self.sandbox = BTCPaySandbox(clock=lambda: self.now, url=SERVER)
        other = self.sandbox.server.add_store("Recorded other_store 6b03559a").id
        main = self.sandbox.server.stores[self.sandbox.store_id]
        named = attrs.evolve(main, name="Recorded store 6b03559a")
        self.sandbox.server.stores[main.id] = named
        self.names.bind("<store:main>", main.id)
        self.names.bind("<store:other>", other)
        keys = {
            "merchant": (MERCHANT, main.id),
            "manager": (MANAGER, main.id),
            "viewer": (MERCHANT[:1], main.id),
            "other": (MERCHANT, other),
            "revoked": (MERCHANT[:1], main.id),
        }
        for name, (permissions, store) in keys.items():
            key = self.sandbox.make_key(f"recorder {name}", permissions, store_id=store)
            self.names.bind(f"<api-key:{name}>", key)
        self.http = httpx.Client(transport=AppTransport(self.sandbox.app), base_url=SERVER)

    def play(self, name: str) -> None:
        story = STORIES[name]
        self.story, self.names.base = name, story["base"]
        self.problems[name], self.came[name] = [], []
        self.sandbox.server.fee_rate = story["fee_rate"] or 5
        self.answers = {}
        for delivery in story["deliveries"]:
            self.answers.setdefault(delivery["to"], []).append(delivery["answered"])
        for step in story["steps"]:
            self.wait_until(story["base"] + step["at"])
            if "do" in step:
                self.act(step)
            else:
                self.ask(step)
            self.deliver()
        last = max([d["at"] for d in story["deliveries"]], default=0)
        self.wait_until(story["base"] + last)
        self.check_deliveries(story["deliveries"])

    def wait_until(self, time: float) -> None:
        while (due := self.sandbox.wakes_at()) is not None and due <= time:
            self.now = max(self.now, due)
            self.deliver()
        self.now = max(self.now, time)

    def deliver(self) -> None:
        while batch := self.sandbox.due():
            for outgoing in batch:
                label = outgoing.url.rsplit("/", 1)[1]
                queue = self.answers.get(label, [])
                answered = queue.pop(0) if queue else None
                body = json.loads(outgoing.body, parse_float=Decimal)
                assert outgoing.body.decode() == json.dumps(body, indent=2, ensure_ascii=False)
                self.came[self.story].append((label, body, dict(outgoing.headers)))
                self.sandbox.answered(outgoing, answered)

    def act(self, step: dict[str, Any]) -> None:
        invoices = [
            self.names.to_real[name] for name in STORIES[self.story]["invoices"] if name in self.names.to_real
        ]
        match step["do"]:
            case "send":
                address = self.names.fill(step["to"])
                id = next(i for i in invoices if self.sandbox.server.invoice(i).address == address)
                self.sandbox.send(id, Decimal(step["amount"]), replaceable=step["replaceable"])
            case "mine":
                self.sandbox.mine()
            case "replace":
                self.sandbox.replace(invoices[-1])
            case "reorganize":
                self.sandbox.reorganize(invoices[-1])
            case "pay_payouts":
                ready = [
                    p.id for p in self.sandbox.server.refunds.payouts.values() if p.state == "AwaitingPayment"
                ]
                for id in ready:
                    self.sandbox.pay_payout(id)
            case other:
                raise AssertionError(other)

    def ask(self, step: dict[str, Any]) -> None:
        headers = {"Accept": "application/json"}
        if "authorization" in step:
            headers["Authorization"] = step["authorization"]
        elif step["auth"]:
            name = f"<api-key:{step['auth']}>"
            headers["Authorization"] = f"token {self.names.to_real[name]}"
        if "json" in step:
            headers["Content-Type"] = step["json"]
        for name in re.findall(r"<address:\d+>", step.get("body", "")):
            # A buyer's own address, to which a refund is claimed.
            if name not in self.names.to_real:
                self.names.bind(name, self.buyers.address())
        body = (
            base64.b64decode(step["base64"])
            if "base64" in step
            else self.names.fill(step.get("body", "")).encode()
        )
        target = self.names.fill(step["target"])
        answer = self.http.request(step["method"], target, headers=headers, content=body)
        self.compared += 1
        real = json.loads(answer.text, parse_float=Decimal) if answer.text else None
        found = list(compare(expand(step.get("answer")), real, self.names))
        for wanted, seen in (
            (step["status"], answer.status_code),
            (step["type"], answer.headers.get("content-type", "")),
            (step["bare"], "x-frame-options" not in answer.headers),
            (step.get("allow"), answer.headers.get("allow")),
        ):
            if wanted != seen:
                found.append(f": {seen!r}, not {wanted!r}")
        if (self.story, step["seq"]) in DIFFERENCES:
            self.differed.add((self.story, step["seq"]))
        else:
            self.problems[self.story] += [f"{step['seq']} {step['method']} {target} {line}" for line in found]

    def check_deliveries(self, recorded: list[dict[str, Any]]) -> None:
        """Compare what each webhook got, in its order. Across webhooks there is none, and none is compared."""
        labels = list(dict.fromkeys(delivery["to"] for delivery in recorded))
        for label in labels:
            wanted = [delivery for delivery in recorded if delivery["to"] == label]
            real = [item for item in self.came[self.story] if item[0] == label]
            self.delivered += len(real)
            kinds = [d["body"]["type"] if "type" in d["body"] else expand(d["body"])["type"] for d in wanted]
            if kinds != [item[1]["type"] for item in real]:
                self.problems[self.story].append(
                    f"{label} got {[item[1]['type'] for item in real]}, not {kinds}"
                )
                continue
            for delivery, (_, body, headers) in zip(wanted, real, strict=True):
                lines = list(compare(expand(delivery["body"]), body, self.names))
                if ("traceparent" in headers) != bool(delivery.get("traceparent")):
                    lines.append(": traceparent")
                self.problems[self.story] += [f"{label} {body['type']} {line}" for line in lines]


@pytest.fixture(scope="module")
def session() -> Session:
    played = Session()
    for name in STORIES:
        played.play(name)
    return played


@pytest.mark.parametrize("story", STORIES)
def test_a_recorded_story_has_the_same_answers_and_deliveries(session: Session, story: str) -> None:
    assert session.problems[story] == []


def test_every_recorded_request_and_delivery_was_compared(session: Session) -> None:
    requests = sum("target" in step for story in STORIES.values() for step in story["steps"])
    deliveries = sum(len(story["deliveries"]) for story in STORIES.values())
    assert (session.compared, session.delivered) == (requests, deliveries)
    assert session.differed == set(DIFFERENCES)
