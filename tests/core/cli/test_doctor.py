import json
from typing import Any

import pytest

from bursar.cli.doctor import own_findings, read_public_url


def test_a_healthy_set_up_exits_with_0_and_says_what_was_looked_at(site: Any) -> None:
    result = site("doctor")

    assert result.exit_code == 0, result.output
    assert "accounts.btcpay (btcpay)" in result.stdout
    assert "accounts.coinpay (coinpay)" in result.stdout
    assert "sqlite answers" in result.stdout
    assert " 0 errors" in result.stdout


def test_a_wrong_key_is_an_error_with_a_cure_and_exit_1(site: Any) -> None:
    good = site.services["btcpay"].sandbox.account(webhook_url="http://127.0.0.1:8000/webhooks/btcpay")
    site.write("0" * 40, instead_of=good["api_key"])

    result = site("doctor")
    document = json.loads(site("doctor", "--json").stdout)

    assert result.exit_code == 1
    assert "ERROR" in result.stdout
    assert "→ " in result.stdout
    broken = [one["name"] for one in document if not one["healthy"]]
    assert broken == ["accounts.btcpay"]
    assert all(f["cure"] for one in document for f in one["findings"] if f["level"] == "error")


def test_a_service_that_is_away_is_a_finding_not_a_crash(site: Any, unused_port: int) -> None:
    site.write(f"http://127.0.0.1:{unused_port}", instead_of=site.services["btcpay"].url)

    result = site("doctor")

    assert result.exit_code == 1
    assert "never reached" in result.stdout


def test_what_waits_for_a_person_is_mentioned(site: Any) -> None:
    site.paid("1001", share="1.5")

    assert "1 wait for a person" in site("doctor").stdout


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("https://pay.example.com", "ok"),
        ("http://127.0.0.1:8000", "ok"),
        ("http://localhost:8000", "ok"),
        ("http://pay.example.com", "warning"),
        ("http://192.168.1.5", "warning"),
    ],
)
def test_an_unencrypted_public_address_is_warned_of(url: str, level: str) -> None:
    found = read_public_url(url)

    assert found.level.value == level
    assert bool(found.cure) is (level == "warning")


def test_a_missing_api_key_is_warned_of(site: Any) -> None:
    site.write("", instead_of='api_key = "literal:key"\n')

    found = {finding.subject: finding for finding in own_findings(site.bursar)}

    assert found["api_key"].level.value == "warning"
    assert found["api_key"].cure
