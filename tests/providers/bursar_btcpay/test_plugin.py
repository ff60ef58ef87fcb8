import subprocess
import sys

from bursar import plugins
from bursar.habits import Recovery, Refunding, Retries
from bursar.providers import AcceptsConnection, Cancels, ListsMethods, Provider, Refunds
from bursar.secrets import Secret
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings


def test_the_plugin_brings_the_provider_by_its_name() -> None:
    assert plugins.provider("btcpay") is BTCPay


def test_it_is_all_that_it_says_it_is(btcpay: BTCPay) -> None:
    can = btcpay.capabilities

    for port in (Provider, Refunds, Cancels, ListsMethods, AcceptsConnection):
        assert isinstance(btcpay, port)
    assert can.refunding is Refunding.API
    assert can.opening is can.refund_recovery is Recovery.SEARCH
    assert can.cancels
    assert can.connects
    assert can.bills is None


def test_its_habits_are_those_that_were_measured(btcpay: BTCPay) -> None:
    habits = btcpay.capabilities.habits

    assert habits.retries is Retries.SERVER_ERRORS
    assert habits.retry_gaps == (10, 60, 600, 600, 600, 600, 600, 600)
    assert habits.queue_blocks
    assert habits.clock_lag == 2
    assert habits.totals
    assert habits.expiry_grace >= 120


def test_the_current_secret_comes_before_the_old_ones_and_an_empty_one_never(settings: Settings) -> None:
    rotating = Settings(
        url="https://btcpay.example", webhook_secret=Secret("new"), old_webhook_secrets=(Secret("old"),)
    )

    assert BTCPay(rotating).secrets() == (b"new", b"old")
    assert BTCPay(Settings(url="https://btcpay.example")).secrets() == ()


def test_naming_the_plugin_loads_neither_the_provider_nor_the_sandbox() -> None:
    code = "import sys, bursar_btcpay; print(sorted(m for m in sys.modules if m.startswith('bursar_btcpay.') or m == 'httpx'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
