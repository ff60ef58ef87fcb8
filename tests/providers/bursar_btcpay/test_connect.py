import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest

from bursar.errors import BadInput, Declined, OutcomeUnknown, Unavailable
from bursar.providers import Level
from bursar.secrets import Secret
from bursar_btcpay.connect import SUBSCRIBED
from bursar_btcpay.permissions import NEEDED, covers, lacking, store_scopes
from bursar_btcpay.provider import BTCPay
from bursar_btcpay.settings import Settings

Play = Callable[..., tuple[list[httpx.Request], Any]]
Answer = Callable[[str, int], httpx.Response]
STORE = "3aHNkVeHX9QkMYRRLiYjJn25JPhWnBmkvRVzWSW57Khn"
KEY = "5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c"
HOOK = "https://shop.example/webhooks/main"
SIX = [need.permission for need in NEEDED]
FORM = {
    "apiKey": [KEY],
    "userId": ["u"],
    "permissions[]": ["unrestricted"],
    "__RequestVerificationToken": ["x"],
}
NONE = httpx.Response(200, json=[])
MADE = httpx.Response(200, json={"id": "new", "secret": "generated", "url": HOOK})


@pytest.fixture
def fresh() -> BTCPay:
    """An account of which only the address is known."""
    return BTCPay(Settings(url="https://btcpay.example"))


def key(*permissions: str, api_key: str = KEY) -> httpx.Response:
    return httpx.Response(200, json={"apiKey": api_key, "label": "shop", "permissions": list(permissions)})


def scoped(permissions: list[str], store: str = STORE) -> list[str]:
    return [f"{permission}:{store}" for permission in permissions]


def test_the_consent_page_is_asked_for_six_permissions_of_one_store(fresh: BTCPay) -> None:
    callback = "https://shop.example/connect/main?nonce=a+b&c=d"
    parts = urlsplit(fresh.authorize_url(callback=callback, shop="Tea & Co"))

    assert parts.path == "/api-keys/authorize"
    assert parse_qs(parts.query) == {
        "permissions": SIX,
        "applicationName": ["Tea & Co"],
        "strict": ["true"],
        "selectiveStores": ["true"],
        "redirect": [callback],
    }
    assert len(SIX) == 6


def test_a_key_is_proved_where_the_flow_began_and_a_webhook_is_made(
    fresh: BTCPay, play: Play, answer: Answer
) -> None:
    requests, connection = play(
        fresh.read_callback(FORM, webhook_url=HOOK, now=1), key(*scoped(SIX)), answer("setup", 21), NONE, MADE
    )

    assert [(r.method, r.url.path) for r in requests] == [
        ("GET", "/api/v1/api-keys/current"),
        ("GET", f"/api/v1/stores/{STORE}"),
        ("GET", f"/api/v1/stores/{STORE}/webhooks"),
        ("POST", f"/api/v1/stores/{STORE}/webhooks"),
    ]
    assert all(
        r.url.host == "btcpay.example" and r.headers["Authorization"] == f"token {KEY}" for r in requests
    )
    assert json.loads(requests[-1].content) == {
        "enabled": True,
        "automaticRedelivery": True,
        "url": HOOK,
        "authorizedEvents": {"everything": False, "specificEvents": list(SUBSCRIBED)},
    }
    assert connection.settings == {
        "url": "https://btcpay.example",
        "api_key": KEY,
        "store_id": STORE,
        "webhook_secret": "generated",
        "webhook_url": HOOK,
    }
    assert {finding.level for finding in connection.findings} == {Level.OK}
    assert KEY not in repr(connection)
    assert "generated" not in repr(connection)


def test_connecting_again_keeps_the_webhook_and_its_secret(fresh: BTCPay, play: Play, answer: Answer) -> None:
    provider = BTCPay(
        attrs.evolve(fresh.settings, api_key=Secret("old"), store_id="Old", webhook_secret=Secret("kept"))
    )
    listed = httpx.Response(
        200,
        json=[
            {"id": "theirs", "url": "https://other.example"},
            {"id": "ours", "url": HOOK},
            {"id": "twice", "url": HOOK},
        ],
    )
    updated = httpx.Response(200, json={"id": "ours"})
    requests, connection = play(
        provider.read_callback(FORM, webhook_url=HOOK, now=1),
        key(*scoped(SIX)),
        answer("setup", 21),
        listed,
        updated,
        httpx.Response(200),
    )

    assert (requests[3].method, requests[3].url.path.rpartition("/")[2]) == ("PUT", "ours")
    assert json.loads(requests[3].content)["secret"] == "kept"
    assert (requests[4].method, requests[4].url.path.rpartition("/")[2]) == ("DELETE", "twice")
    assert connection.settings["webhook_secret"] == "kept"


def test_a_webhook_that_was_deleted_is_made_again(fresh: BTCPay, play: Play, answer: Answer) -> None:
    provider = BTCPay(attrs.evolve(fresh.settings, webhook_secret=Secret("kept")))
    requests, connection = play(
        provider.read_callback(FORM, webhook_url=HOOK, now=1),
        key(*scoped(SIX)),
        answer("setup", 21),
        NONE,
        MADE,
    )

    assert requests[-1].method == "POST"
    assert connection.settings["webhook_secret"] == "generated"


def test_a_webhook_whose_secret_is_lost_is_replaced(fresh: BTCPay, play: Play, answer: Answer) -> None:
    listed = httpx.Response(200, json=[{"id": "ours", "url": HOOK}])
    requests, connection = play(
        fresh.read_callback(FORM, webhook_url=HOOK, now=1),
        key(*scoped(SIX)),
        answer("setup", 21),
        listed,
        MADE,
        httpx.Response(403),
    )

    assert [r.method for r in requests[3:]] == ["POST", "DELETE"]
    assert connection.settings["webhook_secret"] == "generated"


@pytest.mark.parametrize(
    ("permissions", "named"),
    [
        ([], "no permission"),
        (SIX, "one store"),
        ([*scoped(SIX[:3]), *scoped(SIX[3:], "Other")], "one store"),
        (["unrestricted"], "one store"),
        (scoped([SIX[0]]), "cancreateinvoice"),
        (scoped(["btcpay.store.cancreateinvoice"]), "canviewinvoices"),
    ],
)
def test_a_key_that_is_not_good_for_one_store_and_its_invoices_is_refused(
    fresh: BTCPay, play: Play, permissions: list[str], named: str
) -> None:
    with pytest.raises(Declined, match=named):
        play(fresh.read_callback(FORM, webhook_url=HOOK, now=1), key(*permissions))


def test_without_the_right_to_webhooks_a_person_is_told_to_make_one(
    fresh: BTCPay, play: Play, answer: Answer
) -> None:
    few = ["btcpay.store.canviewinvoices", "btcpay.store.cancreateinvoice"]
    requests, connection = play(fresh.read_callback(FORM, webhook_url=HOOK, now=1), key(*scoped(few)))

    assert len(requests) == 1
    assert "webhook_secret" not in connection.settings
    messages = " ".join(finding.message + finding.cure for finding in connection.findings)
    assert HOOK in messages
    assert "refunds will not work" in messages


@pytest.mark.parametrize(
    "form",
    [{}, {"apiKey": []}, {"apiKey": ["a", "b"]}, {"apiKey": ["a b"]}, {"apiKey": [""]}, {"apiKey": ["ä"]}],
)
def test_a_form_without_one_key_is_refused_before_anything_is_asked(
    fresh: BTCPay, form: dict[str, list[str]]
) -> None:
    with pytest.raises(BadInput):
        next(fresh.read_callback(form, webhook_url=HOOK, now=1))


def test_a_key_that_the_server_does_not_know_is_refused(fresh: BTCPay, play: Play, answer: Answer) -> None:
    with pytest.raises(Declined, match="api_key"):
        play(fresh.read_callback(FORM, webhook_url=HOOK, now=1), answer("authentication_errors", 19))
    with pytest.raises(Declined, match="another"):
        play(fresh.read_callback(FORM, webhook_url=HOOK, now=1), key(*scoped(SIX), api_key="other"))
    with pytest.raises(Unavailable):
        play(
            fresh.read_callback(FORM, webhook_url=HOOK, now=1), httpx.Response(200, json={"permissions": "x"})
        )


def test_a_webhook_that_may_have_been_made_is_not_passed_over(
    fresh: BTCPay, play: Play, answer: Answer
) -> None:
    with pytest.raises(OutcomeUnknown):
        play(
            fresh.read_callback(FORM, webhook_url=HOOK, now=1),
            key(*scoped(SIX)),
            answer("setup", 21),
            NONE,
            httpx.Response(502),
        )


@pytest.mark.parametrize(
    ("granted", "needed", "holds"),
    [
        ("unrestricted", "btcpay.store.canviewinvoices", True),
        ("btcpay.store.canviewinvoices", "btcpay.store.canviewinvoices", True),
        (f"btcpay.store.canviewinvoices:{STORE}", "btcpay.store.canviewinvoices", True),
        ("btcpay.store.canviewinvoices:Other", "btcpay.store.canviewinvoices", False),
        (f"btcpay.store.canmodifystoresettings:{STORE}", "btcpay.store.webhooks.canmodifywebhooks", True),
        (f"btcpay.store.canmodifystoresettings:{STORE}", "btcpay.store.canviewinvoices", True),
        (
            f"btcpay.store.canmanagepullpayments:{STORE}",
            "btcpay.store.cancreatenonapprovedpullpayments",
            True,
        ),
        (f"btcpay.store.canviewstoresettings:{STORE}", "btcpay.store.canviewinvoices", True),
        (f"btcpay.store.canviewinvoices:{STORE}", "btcpay.store.cancreateinvoice", False),
        (f"btcpay.store.cancreateinvoice:{STORE}", "btcpay.store.canmodifyinvoices", False),
        ("btcpay.server.canmodifyserversettings", "btcpay.store.canviewinvoices", False),
    ],
)
def test_a_permission_includes_those_below_it_for_its_own_store(
    granted: str, needed: str, holds: bool
) -> None:
    assert covers([granted], needed, STORE) is holds


def test_a_key_that_may_modify_invoices_lacks_nothing_vital() -> None:
    missing = lacking(scoped(["btcpay.store.canmodifyinvoices"]), STORE)

    assert [need.permission.rpartition(".")[2] for need in missing] == [
        "canmodifywebhooks",
        "canviewstoresettings",
        "cancreatenonapprovedpullpayments",
    ]
    assert not any(need.vital for need in missing)


def test_the_six_lack_nothing_and_name_their_store() -> None:
    assert lacking(scoped(SIX), STORE) == ()
    assert store_scopes([*scoped(SIX), "btcpay.user.canviewprofile"]) == {STORE}
