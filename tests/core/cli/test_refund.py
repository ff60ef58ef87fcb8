import json
from typing import Any


def test_a_refund_is_sent_and_the_buyers_link_is_printed(site: Any) -> None:
    site.paid("1001")

    result = site("refund", "1001", "4.00", "--reason", "broken")

    assert result.exit_code == 0, result.stderr
    assert "refund 1 of 4.00 USD: waiting_for_buyer" in result.stdout
    assert f"the buyer claims it at {site.services['btcpay'].url}/pull-payments/" in result.stdout
    kept = json.loads(site("order", "show", "1001", "--json").stdout)["refunds"][0]
    assert (kept["who"], kept["reason"]) == ("Ada", "broken")
    assert "waiting_for_buyer" in site("order", "show", "1001").stdout


def test_without_an_amount_all_that_is_left_goes_back(site: Any) -> None:
    site.paid("1001")
    site("refund", "1001", "4.00")

    result = site("refund", "1001")

    assert "refund 2 of 6.00 USD" in result.stdout


def test_more_than_can_go_back_is_refused_and_nothing_is_sent(site: Any) -> None:
    site.paid("1001")

    result = site("refund", "send", "1001", "10.01")

    assert result.exit_code == 1
    assert "more than can go back: 10.00 USD is left" in result.stderr
    assert json.loads(site("order", "show", "1001", "--json").stdout)["refunds"] == []


def test_an_amount_that_is_none_is_an_input_error(site: Any) -> None:
    site.paid("1001")

    for amount in ("ten", "1e2", "1.005", "0.00"):
        result = site("refund", "1001", amount)

        assert result.exit_code == 2, amount
        assert result.stderr.startswith("bursar: input: ")


def test_asking_again_under_the_same_name_never_pays_twice(site: Any) -> None:
    site.paid("1001")

    first = site("refund", "1001", "4.00", "--operation", "case-7")
    again = site("refund", "1001", "4.00", "--operation", "case-7")

    assert first.stdout == again.stdout
    assert len(json.loads(site("order", "show", "1001", "--json").stdout)["refunds"]) == 1


def test_where_the_provider_cannot_it_becomes_a_task_that_is_recorded(site: Any) -> None:
    site.paid("1001", account="coinpay")

    asked = site("refund", "1001")
    recorded = site("refund", "record", "1001", "1", "--transaction", "0xabc")

    assert "waiting_for_person" in asked.stdout
    assert "bursar refund record 1001 1 --transaction ID" in asked.stdout
    assert recorded.exit_code == 0, recorded.stderr
    assert recorded.stdout.startswith("order 1001: refunded")
    assert "0xabc" in site("order", "show", "1001").stdout


def test_a_transaction_has_to_be_named(site: Any) -> None:
    site.paid("1001", account="coinpay")
    site("refund", "1001")

    assert site("refund", "record", "1001", "1").exit_code == 2
    blank = site("refund", "record", "1001", "1", "--transaction", " ")
    assert blank.exit_code == 2
    assert "name the transaction" in blank.stderr


def test_a_refund_that_the_provider_follows_is_not_recorded_by_hand(site: Any) -> None:
    site.paid("1001")
    site("refund", "1001", "4.00")

    result = site("refund", "record", "1001", "1", "--transaction", "x")

    assert result.exit_code == 1
    assert "followed at the provider" in result.stderr


def test_a_refund_that_was_not_sent_is_withdrawn(site: Any) -> None:
    site.paid("1001", account="coinpay")
    site("refund", "1001")

    result = site("refund", "withdraw", "1001", "1")

    assert result.exit_code == 0, result.stderr
    assert json.loads(site("order", "show", "1001", "--json").stdout)["refunds"][0]["status"] == "cancelled"


def test_a_refund_that_does_not_exist_is_named(site: Any) -> None:
    site.paid("1001")

    result = site("refund", "withdraw", "1001", "3")

    assert result.exit_code == 2
    assert "has no refund 3" in result.stderr


def test_an_order_whose_reference_is_a_subcommand_is_refunded_by_the_long_form(site: Any) -> None:
    site.paid("record")

    result = site("refund", "send", "record", "1.00")

    assert "refund 1 of 1.00 USD" in result.stdout
