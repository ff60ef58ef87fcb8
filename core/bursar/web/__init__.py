"""The HTTP face: webhooks, the merchant's API, the buyer's checkout page."""

from bursar.web.app import create_app

__all__ = ["create_app"]
