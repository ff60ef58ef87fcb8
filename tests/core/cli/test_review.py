import json
import shlex
from typing import Any

from bursar.cli.showing import cures
from bursar.lifecycle import REMEDIES, Reason, Review
from bursar.money import Money, fiat


def test_nothing_to_look_at_is_said(site: Any) -> None:
    site.paid("1001")

    assert site("review").stdout == "nothing waits for a person\n"


def test_what_waits_for_a_person_is_listed_with_the_commands_that_settle_it(site: Any) -> None:
    order = site.paid("1001", share="1.5")
    key = order.reviews[0].key

    listed = site("review").stdout
    document = json.loads(site("review", "--json").stdout)

    assert "order 1001 (shop): paid, 10.00 USD" in listed
    assert f"bursar review resolve 1001 {shlex.quote(key)} --why" in listed
    assert document["orders"][0]["reviews"][0]["key"] == key
    assert document["parked"] == []


def test_the_command_that_is_offered_settles_the_finding(site: Any) -> None:
    order = site.paid("1001", share="1.5")
    offered = next(line for line in site("review").stdout.splitlines() if "review resolve" in line)
    words = shlex.split(offered.split("bursar ")[1].replace("…", "gift"))

    result = site(*words)

    assert result.exit_code == 0, result.stderr
    assert site.bursar.order(order.key).reviews == ()
    assert site("review").stdout == "nothing waits for a person\n"


def test_a_finding_that_is_not_there_is_refused(site: Any) -> None:
    site.paid("1001")

    result = site("review", "resolve", "1001", "surplus:1:1.00 USD")

    assert result.exit_code == 1
    assert "has no open review 'surplus:1:1.00 USD'" in result.stderr


def test_late_money_is_accepted_from_the_list_too(site: Any) -> None:
    site.paid_late("1001")

    result = site("review", "accept", "1001", "--why", "kept its word")

    assert result.stdout.startswith("order 1001: paid")


def test_a_webhook_about_a_payment_that_is_not_ours_is_listed(site: Any) -> None:
    order = site.order("1001")
    sandbox = site.services["btcpay"].sandbox
    sandbox.pay(order.payment.payment_id)
    # Another Bursar opened it: this one has an empty database.
    site.write("other.db", instead_of="bursar.db")
    site.deliver()

    listed = site("review").stdout

    assert "payments that are not known here" in listed
    assert order.payment.payment_id in listed


def test_every_remedy_of_every_finding_is_a_command_that_exists(site: Any) -> None:
    order = site.order("1001")
    named: set[tuple[str, ...]] = set()

    for reason in Reason:
        commands = cures(order, Review(reason, 1, Money.of("1.00", fiat("USD")), 1))

        assert len(commands) == len(REMEDIES[reason]) > 0
        words = [shlex.split(command)[1:3] for command in commands]
        named |= {
            (first,) if (first, second) == ("refund", "1001") else (first, second) for first, second in words
        }
    for command in named:
        assert site(*command, "--help").exit_code == 0, command
