"""BTCPay Server. API: https://docs.btcpayserver.org/API/Greenfield/v1/"""

from typing import TYPE_CHECKING

from bursar.hookspecs import hookimpl

if TYPE_CHECKING:
    from bursar.providers import Provider
    from bursar.testing.sandboxes import Sandbox

__all__ = ["bursar_register_providers", "bursar_register_sandboxes"]


@hookimpl
def bursar_register_providers() -> "list[type[Provider]]":
    """Bring the provider `btcpay`."""
    from bursar_btcpay.provider import BTCPay

    return [BTCPay]


@hookimpl
def bursar_register_sandboxes() -> "list[type[Sandbox]]":
    """Bring the sandbox `btcpay`, a faithful fake of a BTCPay Server."""
    from bursar_btcpay.sandbox import BTCPaySandbox

    return [BTCPaySandbox]
