from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest

from bursar.providers import Finding, Level
from bursar.secrets import Secret
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

Play = Callable[..., tuple[list[httpx.Request], Any]]
Answer = Callable[[str, int], httpx.Response]
NOW = 1795380700
HOOK = "http://127.0.0.1:45693/hooks/main"
HEALTHY = httpx.Response(200, json={"synchronized": True})
ORDER = ("health", "info", "key", "store", "methods", "webhooks", "deliveries")


@pytest.fixture
def well(answer: Answer) -> dict[str, httpx.Response]:
    """What a server says where nothing is wrong."""
    return {
        "health": HEALTHY,
        "info": answer("setup", 20),
        "key": answer("setup", 26),
        "store": answer("setup", 21),
        "methods": answer("setup", 22),
        "webhooks": answer("setup", 25),
        "deliveries": httpx.Response(200, json=[]),
    }


@pytest.fixture
def provider(settings: Settings) -> BTCPay:
    return BTCPay(attrs.evolve(settings, webhook_url=HOOK))


def changed(response: httpx.Response, **members: Any) -> httpx.Response:
    content = response.json()
    if isinstance(content, list):
        return httpx.Response(200, json=[content[0] | members, *content[1:]])
    return httpx.Response(200, json=content | members)


def findings(provider: BTCPay, play: Play, answers: dict[str, httpx.Response]) -> Sequence[Finding]:
    found: Sequence[Finding] = play(
        provider.check(now=NOW), *(answers[name] for name in ORDER if name in answers)
    )[1]
    assert all(f.cure for f in found if f.level is not Level.OK)
    return found


def bad(found: Sequence[Finding]) -> list[tuple[Level, str]]:
    return [(f.level, f.subject) for f in found if f.level is not Level.OK]


def test_nothing_is_found_where_nothing_is_wrong(
    provider: BTCPay, play: Play, well: dict[str, httpx.Response]
) -> None:
    found = findings(provider, play, well)

    assert bad(found) == []
    assert {f.subject for f in found} == {"server", "api key", "store", "payment methods", "webhook"}
    assert any("2.4.1" in f.message for f in found)


@pytest.mark.parametrize(
    ("step", "members", "level", "subject", "named"),
    [
        ("health", {"synchronized": False}, Level.ERROR, "server", "synchronised"),
        ("info", {"version": "1.13.7"}, Level.WARNING, "server", "old"),
        (
            "info",
            {"syncStatus": [{"paymentMethodId": "BTC-CHAIN", "available": False}]},
            Level.ERROR,
            "server",
            "BTC-CHAIN",
        ),
        ("key", {"permissions": ["unrestricted"]}, Level.WARNING, "api key", "every store"),
        ("store", {"anyoneCanCreateInvoice": True}, Level.WARNING, "store", "anyone"),
        ("store", {"archived": True}, Level.WARNING, "store", "archived"),
        ("store", {"paymentTolerance": 100.0}, Level.ERROR, "store", "paid at once"),
        ("methods", {"enabled": False}, Level.ERROR, "payment methods", "none is enabled"),
        ("webhooks", {"automaticRedelivery": False}, Level.WARNING, "webhook", "again"),
        ("webhooks", {"url": "https://other.example"}, Level.ERROR, "webhook", "https://other.example"),
        (
            "webhooks",
            {"authorizedEvents": {"everything": False, "specificEvents": ["InvoiceSettled"]}},
            Level.ERROR,
            "webhook",
            "InvoiceProcessing",
        ),
    ],
)
def test_what_is_wrong_is_found_and_has_a_cure(
    provider: BTCPay,
    play: Play,
    well: dict[str, httpx.Response],
    step: str,
    members: dict[str, Any],
    level: Level,
    subject: str,
    named: str,
) -> None:
    if members.get("url"):
        del well["deliveries"]
    found = findings(provider, play, well | {step: changed(well[step], **members)})

    assert (level, subject) in bad(found)
    assert any(named in f.message for f in found if f.level is level and f.subject == subject)


def test_a_disabled_webhook_is_an_error_and_its_deliveries_are_not_asked_for(
    provider: BTCPay, play: Play, well: dict[str, httpx.Response]
) -> None:
    del well["deliveries"]
    found = findings(provider, play, well | {"webhooks": changed(well["webhooks"], enabled=False)})

    assert bad(found) == [(Level.ERROR, "webhook")]


def test_every_missing_permission_is_named_with_what_it_is_for(
    provider: BTCPay, play: Play, well: dict[str, httpx.Response]
) -> None:
    found = findings(provider, play, well | {"key": changed(well["key"], permissions=[])})
    about = [f for f in found if f.subject == "api key"]

    assert sum(f.level is Level.ERROR for f in about) == 2
    assert sum(f.level is Level.WARNING for f in about) == 4
    assert any("refunds" in f.message for f in about)


def test_a_method_that_is_set_and_not_enabled_is_named(
    settings: Settings, play: Play, well: dict[str, httpx.Response]
) -> None:
    some = BTCPay(attrs.evolve(settings, payment_methods=("BTC-CHAIN", "BTC-LN"), webhook_url=HOOK))
    none = BTCPay(attrs.evolve(settings, payment_methods=("BTC-LN",), webhook_url=HOOK))

    assert bad(findings(some, play, well)) == [(Level.WARNING, "payment methods")]
    assert bad(findings(none, play, well)) == [(Level.ERROR, "payment methods")]


def test_failed_deliveries_of_the_last_day_are_named(
    provider: BTCPay, play: Play, well: dict[str, httpx.Response]
) -> None:
    failed = {"id": "a", "status": "HttpError", "httpCode": 500, "errorMessage": "HTTP Error Code 500"}
    recent = httpx.Response(
        200, json=[failed | {"timestamp": NOW - 60}, {"id": "b", "status": "HttpSuccess", "timestamp": NOW}]
    )
    old = httpx.Response(200, json=[failed | {"timestamp": NOW - 90_000}])

    named = findings(provider, play, well | {"deliveries": recent})
    assert bad(named) == [(Level.WARNING, "webhook")]
    assert any("HTTP Error Code 500" in f.message and "Redeliver" in f.cure for f in named)
    assert bad(findings(provider, play, well | {"deliveries": old})) == []


def test_a_webhook_that_is_likely_to_be_redirected_is_warned_of(
    settings: Settings, play: Play, well: dict[str, httpx.Response]
) -> None:
    plain = "http://shop.example/webhooks/main"
    provider = BTCPay(attrs.evolve(settings, webhook_url=plain))
    found = findings(provider, play, well | {"webhooks": changed(well["webhooks"], url=plain)})

    assert bad(found) == [(Level.WARNING, "webhook")]
    assert any("redirected" in f.message for f in found)


def test_two_webhooks_for_one_address_are_one_too_many(
    provider: BTCPay, play: Play, well: dict[str, httpx.Response]
) -> None:
    twice = httpx.Response(200, json=well["webhooks"].json() * 2)
    answers = (*(well[name] for name in ORDER[:5]), twice, well["deliveries"], well["deliveries"])
    found = play(provider.check(now=NOW), *answers)[1]

    assert bad(found) == [(Level.WARNING, "webhook")]


def test_a_key_without_the_right_to_webhooks_leaves_them_unchecked(
    provider: BTCPay, play: Play, well: dict[str, httpx.Response], answer: Answer
) -> None:
    del well["deliveries"]
    found = findings(provider, play, well | {"webhooks": answer("authentication_errors", 13)})

    assert bad(found) == [(Level.WARNING, "webhook")]


def test_an_account_without_a_key_is_told_how_to_get_one(play: Play) -> None:
    found = play(BTCPay(Settings(url="https://btcpay.example")).check(now=NOW), HEALTHY)[1]

    assert bad(found) == [(Level.WARNING, "webhook"), (Level.ERROR, "api key")]


def test_an_address_that_buyers_cannot_reach_is_warned_of(
    settings: Settings, play: Play, well: dict[str, httpx.Response]
) -> None:
    inside = BTCPay(attrs.evolve(settings, url="http://btcpayserver:49392", webhook_url=HOOK))

    assert bad(findings(inside, play, well)) == [(Level.WARNING, "url")]


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(401),
        httpx.Response(403),
        httpx.Response(404),
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json="?"),
        httpx.Response(200, json={"version": 7, "permissions": 7, "synchronized": 7}),
    ],
)
def test_whatever_is_answered_the_doctor_goes_on_to_the_end(
    settings: Settings, play: Play, trouble: httpx.Response
) -> None:
    provider = BTCPay(attrs.evolve(settings, tolerance=Decimal(1), old_webhook_secrets=(Secret("older"),)))
    found = play(provider.check(now=NOW), *[trouble] * 6)[1]

    assert len(bad(found)) >= 5
    assert not any("0123456789abcdef" in f.message for f in found)
