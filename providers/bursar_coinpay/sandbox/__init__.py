"""A faithful fake of CoinPay: its API, its four workers, its webhooks, and a page to play buyer and chain on.

It shares no code with the provider beside it: a mistake in one must not hide in the other.
"""

from bursar_coinpay.sandbox.sandbox import CoinPaySandbox

__all__ = ["CoinPaySandbox"]
