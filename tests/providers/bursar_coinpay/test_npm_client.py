"""The service's own JavaScript client, as published, against the sandbox and the signature engine."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvicorn

from bursar.errors import BadSignature
from bursar.signatures import sign, verify
from bursar_coinpay.events import read_event
from bursar_coinpay.provider import CoinPay
from bursar_coinpay.sandbox import CoinPaySandbox

pytestmark = [pytest.mark.node, pytest.mark.slow]

PACKAGE = "@profullstack/coinpay@0.11.2"
# Only its terminal dashboard needs this one, and not every registry has it.
LEFT_OUT = "@profullstack/hqtui"
NOW = 1_785_240_000
SECRET = "whsecret_" + "5a" * 32

SCRIPT = """
import { readFileSync } from 'node:fs';
const { job, now, ...input } = JSON.parse(readFileSync(0, 'utf8'));
Date.now = () => now * 1000;
const coinpay = await import('./package/src/index.js');
const jobs = {
  async shop({ apiKey, baseUrl, businessId }) {
    const client = new coinpay.CoinPayClient({ apiKey, baseUrl });
    const order = { businessId, amount: 49.99, currency: 'USD', blockchain: 'usdc_pol' };
    const created = await client.createPayment({ ...order, description: 'Tea', metadata: { orderId: 'order-1' } });
    const read = await client.getPayment(created.payment.id);
    const refused = await client.createPayment({ ...order, blockchain: 'LTC' }).catch((error) => error);
    const coins = await coinpay.getSupportedCoins({ client }).catch((error) => ({ failed: error.message }));
    const listed = await client.listPayments({ businessId }).catch((error) => error);
    return {
      created, read, coins,
      qr: client.getPaymentQRUrl(created.payment.id),
      refused: { message: refused.message, status: refused.status, response: refused.response },
      listed: { message: listed.message, status: listed.status },
    };
  },
  async wait({ apiKey, baseUrl, paymentId }) {
    const client = new coinpay.CoinPayClient({ apiKey, baseUrl });
    return client.waitForPayment(paymentId, { interval: 1, timeout: 1000 });
  },
  async verify({ cases }) {
    return cases.map(({ payload, signature, secret }) => {
      try {
        return coinpay.verifyWebhookSignature({ payload, signature, secret });
      } catch (error) {
        return false;
      }
    });
  },
  async parse({ payload }) { return coinpay.parseWebhookPayload(payload); },
  async sign({ payload, secret }) { return coinpay.generateWebhookSignature({ payload, secret, timestamp: now }); },
};
console.log(JSON.stringify(await jobs[job](input)));
"""


class Node:
    """Run jobs in Node.js with the package, at the test's time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "script.mjs").write_text(SCRIPT)

    def __call__(self, job: str, **values: Any) -> Any:
        given = json.dumps({"job": job, "now": NOW, **values})
        done = subprocess.run(
            ["node", "script.mjs"],
            input=given,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout, parse_float=Decimal)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js and npm are not installed")
    folder = tmp_path_factory.mktemp("npm")

    def npm(*arguments: str, where: Path = folder) -> None:
        done = subprocess.run(
            ["npm", *arguments], cwd=where, capture_output=True, text=True, timeout=240, check=False
        )
        if done.returncode:
            pytest.skip(f"npm {arguments[0]} failed, so {PACKAGE} is not here: {done.stderr[-300:]}")

    npm("pack", PACKAGE, "--silent")
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    manifest = folder / "package" / "package.json"
    declared = json.loads(manifest.read_text())
    declared["dependencies"].pop(LEFT_OUT, None)
    declared.pop("devDependencies", None)
    manifest.write_text(json.dumps(declared))
    npm("install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", where=folder / "package")
    return Node(folder)


class Served(uvicorn.Server):
    """Say when it can be reached."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@pytest.fixture
def sandbox() -> Iterator[CoinPaySandbox]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    fake = CoinPaySandbox(clock=lambda: NOW, url=url, worker="A")
    config = uvicorn.Config(fake.app, log_level="error", lifespan="off", ws="none")
    server = Served(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    assert server.ready.wait(20)
    yield fake
    server.should_exit = True
    thread.join(20)
    listener.close()


def test_the_client_creates_reads_and_waits_for_a_payment(node: Node, sandbox: CoinPaySandbox) -> None:
    account = sandbox.account(webhook_url="https://shop.test/hook")
    access = {"apiKey": account["api_key"], "baseUrl": account["url"]}

    seen = node("shop", businessId=account["business_id"], **access)

    payment = seen["created"]["payment"]
    assert seen["created"]["success"] is True
    assert (payment["amount"], payment["crypto_amount"]) == (Decimal("49.99"), Decimal("50.0050005"))
    assert payment["metadata"]["orderId"] == "order-1"
    assert seen["read"]["payment"]["id"] == payment["id"]
    assert seen["read"]["payment"]["currency"] == "USD"
    assert seen["qr"] == f"{account['url']}/payments/{payment['id']}/qr"
    assert seen["refused"]["status"] == 400
    assert seen["refused"]["message"].startswith("No LTC wallet configured")
    assert seen["refused"]["response"]["success"] is False
    assert (seen["listed"]["status"], seen["listed"]["message"]) == (401, "Invalid or expired token")
    assert seen["coins"]["total"] == 18
    sandbox.pay(payment["id"])
    sandbox.confirm(payment["id"])
    assert node("wait", paymentId=payment["id"], **access)["payment"]["status"] == "forwarded"


def test_the_client_believes_the_sandboxs_notices_and_reads_them(node: Node, sandbox: CoinPaySandbox) -> None:
    account = sandbox.account(webhook_url="https://shop.test/hook")
    row = sandbox.machine.open(
        amount=Decimal("49.99"), code="BTC", method="crypto", metadata={"note": "café ☕"}, key="", now=NOW
    )
    sandbox.pay(row.id)
    sandbox.confirm(row.id)
    outgoing = sandbox.due()[0]
    header = dict(outgoing.headers)["X-CoinPay-Signature"]
    body, secret = outgoing.body.decode(), account["webhook_secret"]

    verdicts = node(
        "verify",
        cases=[
            {"payload": body, "signature": header, "secret": secret},
            {"payload": body + " ", "signature": header, "secret": secret},
            {"payload": body, "signature": header, "secret": secret + "x"},
        ],
    )
    parsed = node("parse", payload=body)

    assert verdicts == [True, False, False]
    assert (parsed["type"], parsed["data"]["payment_id"]) == ("payment.confirmed", row.id)
    assert parsed["businessId"] == account["business_id"]


def test_the_engine_believes_what_the_client_signs_and_the_client_what_the_engine_signs(node: Node) -> None:
    body = json.dumps(
        {"id": "evt_1", "type": "test.webhook", "data": {"note": "café ☕"}}, ensure_ascii=False
    )

    header = node("sign", payload=body, secret=SECRET)
    ours = sign(CoinPay.scheme, body.encode(), SECRET.encode(), now=NOW)["X-CoinPay-Signature"]

    verify(
        CoinPay.scheme,
        body.encode(),
        {"X-CoinPay-Signature": header},
        secrets=[SECRET.encode()],
        now=NOW + 300,
    )
    assert read_event(body.encode(), business_id="x").event == "test.webhook"
    assert header == ours
    assert node("verify", cases=[{"payload": body, "signature": ours, "secret": SECRET}]) == [True]


def test_whatever_the_engine_accepts_the_client_accepts(node: Node) -> None:
    """Two thousand mangled headers: the engine may be stricter, and never is looser."""
    draw, body = Random(11), '{"id":"evt_1"}'
    genuine = sign(CoinPay.scheme, body.encode(), SECRET.encode(), now=NOW)["X-CoinPay-Signature"]
    headers = [genuine, genuine.upper(), *(_mangled(genuine, draw) for _ in range(2000))]

    theirs = node("verify", cases=[{"payload": body, "signature": h, "secret": SECRET} for h in headers])
    ours = [_accepts(body, header) for header in headers]

    assert sum(ours) > 50
    assert sum(theirs) < len(theirs) - 500
    assert [h for h, mine, their in zip(headers, ours, theirs, strict=True) if mine and not their] == []


def _accepts(body: str, header: str) -> bool:
    try:
        verify(
            CoinPay.scheme, body.encode(), {"x-coinpay-signature": header}, secrets=[SECRET.encode()], now=NOW
        )
    except BadSignature:
        return False
    return True


def _mangled(header: str, draw: Random) -> str:
    time, mac = header.split(",")
    parts = draw.choice(
        [
            [time, mac],
            [mac, time],
            [time, mac, "v0=" + "0" * 64],
            [time, mac, mac],
            [time, time, mac],
            [f"t={NOW - draw.choice([299, 300, 301])}", mac],
            [time, "v1=" + mac[3:].upper()],
            [time, mac + draw.choice(["", "0", "zz", " "])],
            [time, mac[: -draw.randint(1, 4)]],
            ["t=0" + time[2:], mac],
            ["extra", time, mac],
        ]
    )
    text = draw.choice([",", ",", ", ", ";"]).join(parts)
    if draw.random() < 0.3:
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice(["", "x", "=", ",", "1"]) + text[at + 1 :]
    return text
