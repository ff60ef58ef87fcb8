"""The checkout page in a real browser: it changes by itself, and reads without JavaScript."""

import asyncio
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from bursar import AsyncBursar, read_config
from bursar.plugins import sandbox
from bursar.testing.stage import account_table
from bursar.web import create_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Site:
    """A served Bursar and its sandbox; `run` does something on the server's own event loop."""

    def __init__(self, folder: Path) -> None:
        listener, elsewhere = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.url, shown = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (listener, elsewhere))
        self.fake: Any = sandbox("btcpay")(clock=time.time, url=shown)
        account = self.fake.account(webhook_url=f"{self.url}/webhooks/main") | {"show": "modal"}
        text = (
            f'[bursar]\ndatabase = "sqlite:///{(folder / "bursar.db").as_posix()}"\naccount = "main"\n'
            f'public_url = "{self.url}"\n{account_table("btcpay", account)}'
        )
        transport = httpx.ASGITransport(app=self.fake.app)
        self.bursar = AsyncBursar(read_config(text, env={}), transport=transport)
        self.server = self._server(create_app(self.bursar))
        self.service = self._server(self.fake.app)
        self.loop = asyncio.new_event_loop()
        work = self._serve([(self.server, listener), (self.service, elsewhere)])
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(work), daemon=True)
        self.thread.start()

    @staticmethod
    def _server(app: Any) -> uvicorn.Server:
        return uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))

    @staticmethod
    async def _serve(servers: list[tuple[uvicorn.Server, socket.socket]]) -> None:
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def deliver(self) -> None:
        while due := self.fake.due():
            for outgoing in due:
                answer = httpx.post(outgoing.url, content=outgoing.body, headers=dict(outgoing.headers))
                self.fake.answered(outgoing, answer.status_code)

    def close(self) -> None:
        self.server.should_exit = self.service.should_exit = True
        self.thread.join(20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--disable-gpu", "--disable-background-networking", "--no-first-run", *root]
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield opened
        opened.close()


def begin(site: Site) -> tuple[str, str]:
    order = site.run(site.bursar.open_order(reference="1001", amount="10.00", currency="USD"))
    payment = site.run(site.bursar.start_payment(order.key))
    return order.checkout_url, payment.payment_id


def test_the_page_becomes_paid_by_itself(site: Site, browser: Browser) -> None:
    address, invoice = begin(site)
    page = browser.new_page(viewport={"width": 375, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address, wait_until="domcontentloaded")
    assert page.locator("h1").inner_text() == "Waiting for your payment"
    page.locator(".countdown time", has_text="14:").wait_for(timeout=10_000)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    site.fake.pay(invoice)
    site.deliver()
    page.locator("h1", has_text="Payment seen").wait_for(timeout=10_000)
    site.fake.confirm(invoice)
    site.deliver()
    page.locator("h1", has_text="Paid").wait_for(timeout=10_000)

    assert errors == []
    assert "Your payment is complete" in page.locator("#said").inner_text()
    page.close()


def test_the_service_s_own_window_opens_over_the_page_and_what_it_says_is_a_hint_only(
    site: Site, browser: Browser
) -> None:
    address, invoice = begin(site)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_function("window.btcpay")
    page.locator("#hosted").click()
    page.frame_locator("iframe[name=btcpay]").locator("#status", has_text="New").wait_for(timeout=10_000)

    # The window says that all is settled: the page looks, and since no money has come nothing is paid.
    (window,) = (frame for frame in page.frames if frame.name == "btcpay")
    with page.expect_response(lambda answer: answer.url == address):
        window.evaluate(f"parent.postMessage({{invoiceId: '{invoice}', status: 'Settled'}}, '*')")
    assert page.locator("h1").inner_text() == "Waiting for your payment"
    site.fake.pay(invoice)
    site.fake.confirm(invoice)
    site.deliver()
    page.locator("h1", has_text="Paid").wait_for(timeout=10_000)

    assert errors == []
    page.close()


def test_who_works_by_keyboard_stays_in_place_when_the_page_changes(site: Site, browser: Browser) -> None:
    address, invoice = begin(site)
    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.goto(address, wait_until="domcontentloaded")
    page.locator("#copy-address-1").focus()

    site.fake.pay(invoice)
    site.deliver()
    page.locator("h1", has_text="Payment seen").wait_for(timeout=10_000)

    assert page.evaluate("document.activeElement.textContent") == "Payment seen"
    assert "Payment seen" in page.locator("#said").inner_text()
    page.close()


def test_the_page_reads_without_javascript(site: Site, browser: Browser) -> None:
    address, _ = begin(site)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)

    assert "0.0002 BTC" in page.locator(".way").inner_text()
    assert page.locator(".code svg").is_visible()
    link = page.locator("a.button", has_text="Open in wallet").get_attribute("href")
    assert (link or "").startswith("bitcoin:")
    assert page.locator("noscript").count() == 2 or "20 seconds" in page.content()
    context.close()
