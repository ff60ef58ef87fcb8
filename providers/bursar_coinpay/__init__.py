"""CoinPay (CoinPayPortal): payments in cryptocurrency, priced in US dollars, to an address of their own each.

API: https://coinpayportal.com/docs
"""

from typing import TYPE_CHECKING

from bursar.hookspecs import hookimpl

if TYPE_CHECKING:
    from bursar.providers import Provider
    from bursar.rates import RateSource
    from bursar.testing.sandboxes import Sandbox

__all__: list[str] = []


@hookimpl
def bursar_register_providers() -> "list[type[Provider]]":
    from bursar_coinpay.provider import CoinPay

    return [CoinPay]


@hookimpl
def bursar_register_rate_sources() -> "list[type[RateSource]]":
    from bursar_coinpay.rates import CoinPayRates

    return [CoinPayRates]


@hookimpl
def bursar_register_sandboxes() -> "list[type[Sandbox]]":
    from bursar_coinpay.sandbox import CoinPaySandbox

    return [CoinPaySandbox]
