import json
from typing import Any


def test_an_order_is_shown_with_all_that_is_kept_of_it(site: Any) -> None:
    order = site.paid("1001", share="1.5")

    result = site("order", "show", "1001")

    assert result.exit_code == 0, result.output
    shown = result.stdout
    payment = order.payment
    assert payment is not None
    for text in (
        "order 1001: paid",
        order.key,
        "overpaid",
        "10.00 USD",
        "15.00 USD",
        "surplus",
        "for a person",
        "bursar refund 1001 5.00 --payment 1",
        "payment 1 at btcpay: settled",
        payment.payment_id,
        "nothing may be missing",
        "awaiting_payment",
        "history",
        "InvoiceSettled",
        "webhooks",
    ):
        assert text in shown, text


def test_an_order_is_found_by_its_key_too(site: Any) -> None:
    order = site.order("1001")

    result = site("order", "show", order.key)

    assert "order 1001: awaiting_payment" in result.stdout


def test_a_program_gets_json_with_history_and_deliveries(site: Any) -> None:
    order = site.paid("1001")

    document = json.loads(site("order", "show", "1001", "--json").stdout)

    assert document["key"] == order.key
    assert document["status"] == "paid"
    assert [change["after"] for change in document["history"]][-1] == "paid"
    assert {"InvoiceCreated", "InvoiceSettled"} <= {one["event"] for one in document["deliveries"]}
    assert document["payments"][0]["policy"]["late"].startswith("late money: review")


def test_no_signature_or_secret_is_shown_with_an_order(site: Any) -> None:
    site.paid("1001")
    secret = site.services["btcpay"].sandbox.account(webhook_url="http://127.0.0.1:8000/webhooks/btcpay")[
        "webhook_secret"
    ]

    both = site("order", "show", "1001").output + site("order", "show", "1001", "--json").output

    assert secret not in both
    assert "btcpay-sig" not in both.lower()


def test_the_rate_of_a_converted_order_is_shown(site: Any) -> None:
    site.write('\n[rates]\nsource = "fixed"\n[rates.table]\n"EUR/USD" = "1.25"\n')
    order = site.bursar.open_order(reference="eur", amount="8.00", currency="EUR")
    site.bursar.start_payment(order.key, account="coinpay")

    shown = site("order", "show", "eur").stdout

    assert "1 EUR = 1.25 USD (fixed" in shown
    assert "10.00 USD" in shown


def test_an_order_that_is_not_there_is_named(site: Any) -> None:
    result = site("order", "show", "nobody")

    assert result.exit_code == 2
    assert "there is no order with key or reference 'nobody'" in result.stderr


def test_a_reference_of_two_shops_needs_the_shop(site: Any) -> None:
    site.write("\n[shops.north]\n[shops.south]\n")
    for shop in ("north", "south"):
        site.bursar.open_order(reference="7", amount="1.00", currency="USD", shop=shop)

    result = site("order", "show", "7")
    chosen = site("order", "show", "7", "--shop", "south", "--json")

    assert result.exit_code == 2
    assert "north, south; say which with --shop" in result.stderr
    assert json.loads(chosen.stdout)["shop"] == "south"


def test_what_a_stranger_wrote_is_shown_as_it_is_and_steers_nothing(site: Any) -> None:
    hostile = "[bold]sale[/bold] :smile: \u202emoc.knab"
    site.bursar.open_order(reference="1001", amount="1.00", currency="USD", description=hostile)

    shown = site("order", "show", "1001").stdout

    assert "[bold]sale[/bold] :smile:  moc.knab" in shown


def test_orders_are_listed_the_last_changed_first(site: Any) -> None:
    assert site("order", "list").stdout == "no orders\n"
    site.paid("1001")
    site.order("1002")

    listed = site("order", "list").stdout.splitlines()
    only = json.loads(site("order", "list", "--status", "paid", "--json").stdout)

    assert [line.split()[0] for line in listed[1:]] == ["1002", "1001"]
    assert [one["reference"] for one in only] == ["1001"]
    assert only[0]["amount"] == "10.00 USD"


def test_an_unknown_status_is_refused_with_those_there_are(site: Any) -> None:
    result = site("order", "list", "--status", "happy")

    assert result.exit_code == 2
    assert "'happy' is no status" in result.stderr
    assert "partially_paid" in result.stderr


def test_an_unpaid_order_is_cancelled_and_who_did_it_is_kept(site: Any) -> None:
    site.order("1001")

    result = site("order", "cancel", "1001", "--why", "out of stock")

    assert result.exit_code == 0
    assert result.stdout == "order 1001: cancelled\n"
    acts = json.loads(site("order", "show", "1001", "--json").stdout)["acts"]
    assert (acts[0]["kind"], acts[0]["who"], acts[0]["why"]) == ("cancel", "Ada", "out of stock")


def test_a_paid_order_is_not_cancelled_but_refused_with_what_would_help(site: Any) -> None:
    site.paid("1001")

    result = site("order", "cancel", "1001")

    assert result.exit_code == 1
    assert result.stderr.startswith("bursar: refused: ")
    assert "refund it instead" in result.stderr


def test_a_paid_order_is_fulfilled(site: Any) -> None:
    site.paid("1001")

    result = site("order", "fulfil", "1001", "--who", "Grace")

    assert "fulfilled" in result.stdout
    assert "Grace" in site("order", "show", "1001").stdout


def test_late_money_is_accepted(site: Any) -> None:
    site.paid_late("1001")
    assert "paid_late" in site("order", "show", "1001").stdout

    result = site("order", "accept", "1001", "--why", "a good customer")

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("order 1001: paid")


def test_the_providers_are_asked_when_a_person_wants_it(site: Any) -> None:
    order = site.order("1001")
    site.wait(5)
    sandbox = site.services["btcpay"].sandbox
    sandbox.pay(order.payment.payment_id)
    sandbox.confirm(order.payment.payment_id)

    result = site("order", "sync", "1001")

    assert result.exit_code == 0
    assert result.stdout.startswith("order 1001: paid")


def test_a_service_that_is_away_is_temporary(site: Any, unused_port: int) -> None:
    site.order("1001")
    site.write(f"http://127.0.0.1:{unused_port}", instead_of=site.services["btcpay"].url)

    result = site("order", "sync", "1001")

    assert result.exit_code == 75
    assert "never reached" in result.stderr
    assert "try again" in result.stderr


def test_every_act_names_an_order_that_is_not_there(site: Any) -> None:
    for command in ("cancel", "fulfil", "accept", "sync"):
        result = site("order", command, "nobody")

        assert result.exit_code == 2
        assert "nobody" in result.stderr
