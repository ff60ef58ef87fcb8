"""The provider: what is asked of CoinPay, and how its answers are read."""

from collections.abc import Sequence
from decimal import ROUND_DOWN
from typing import Any, ClassVar, Final
from urllib.parse import quote

import httpx

from bursar.errors import BadInput, Declined, OutcomeUnknown, Unavailable
from bursar.facts import Facts, Observation, Said, Stage, Transfer, Word
from bursar.flows import Flow
from bursar.habits import Capabilities, Habits, Recovery, Refunding, Retries
from bursar.money import Asset, Money
from bursar.orders import Opened
from bursar.providers import Delivery, Finding, OpenRequest, Reading
from bursar.signatures import Grammar, Scheme
from bursar_coinpay.answers import creation_error, is_race, reading_error
from bursar_coinpay.coins import ASSETS, COINS, USD, Coin, find_coin
from bursar_coinpay.doctor import read_findings, read_offered
from bursar_coinpay.events import RECEIVED, arrived, read_event
from bursar_coinpay.payments import Unreadable, money, read_facts, read_opened
from bursar_coinpay.settings import CoinPaySettings, base_url
from bursar_coinpay.wire import Members, answered_at, as_members, read_members, text, write_json

__all__ = ["CoinPay"]

_ORDER: Final = "bursar_order"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_RESERVED: Final = frozenset(
    {
        # Acts as the idempotency key itself.
        "idempotency_key",
        # Written by CoinPay over ours.
        *("description", "redirect_url", "payee_override", "wallet_source", "network_fee_usd"),
        *("network_fee_amount", "total_amount", "total_amount_currency", "total_amount_usd"),
        *("stripe_checkout_url", "stripe_session_id", "payment_method", "stripe_payment_intent_id"),
        *("card_confirmed_at", "card_failure_message", "card_failed_at", "forwarding_error"),
        *("forwarding_failed_at", "error", "failure_reason", "source", "invoice_id", "invoice_number"),
        _ORDER,
    }
)


class CoinPay:
    """Take payments through CoinPayPortal: coins to an address of their own, and cards beside them where wanted."""

    name: ClassVar[str] = "coinpay"
    title: ClassVar[str] = "CoinPay"
    Settings: ClassVar[type[Any]] = CoinPaySettings
    assets: ClassVar[tuple[Asset, ...]] = ASSETS
    scheme: ClassVar[Scheme] = Scheme(
        header="X-CoinPay-Signature",
        grammar=Grammar.PAIRS,
        template="{timestamp}.{body}",
        tolerance=300,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        habits=Habits(
            retries=Retries.ANY_FAILURE,
            retry_gaps=(1, 2, *(m * _MINUTE for m in (1, 5, 15, 60, 180, 360, 720, 720))),
            # Two of its workers tell nobody that a payment is paid, and three that it has expired.
            poll_gaps=(20, 30, 60),
            expiry_grace=3 * _MINUTE,
            # It honours money that comes within thirty days of the window's end.
            late_for=30 * _DAY,
            late_gap=_HOUR,
        ),
        bills=frozenset({"USD"}),
        opening=Recovery.KEY,
        refunding=Refunding.MANUAL,
        methods=True,
        method_required=True,
    )

    def __init__(self, settings: CoinPaySettings) -> None:
        self.settings = settings
        self._url = base_url(settings.url, allow_http=settings.allow_http, where="url")

    def secrets(self) -> Sequence[bytes]:
        """Return the webhook secret, then the old ones."""
        live = (self.settings.webhook_secret, *self.settings.old_webhook_secrets)
        return [secret.reveal().encode() for secret in live]

    def open_payment(self, request: OpenRequest, *, now: int) -> Flow[Opened]:
        """Open a payment; the attempt is its idempotency key. A key whose payment is over already is `Declined`."""
        opened = yield from self._create(request)
        if opened.seen and opened.seen.facts.verdict == Said[Word].once(Word.EXPIRED, 0):
            raise Declined(
                f"CoinPay's payment {opened.payment_id} of this attempt has expired; start another payment"
            )
        return opened

    def find_payment(self, request: OpenRequest, *, now: int) -> Flow[Opened | None]:
        """Send the same request with the same key again: CoinPay answers with the payment that it made, or makes it."""
        return (yield from self._create(request))

    def read_opened(self, payment_id: str, *, now: int) -> Flow[Opened]:
        """Read a payment that exists already."""
        payment = yield from self._read(payment_id)
        try:
            return read_opened(payment)
        except Unreadable as error:
            raise Declined(f"CoinPay's payment {payment_id} cannot be followed: {error}") from None

    def look_up(self, payment_id: str, *, billed: Money, now: int) -> Flow[Observation]:
        """Read how a payment stands; where it is open, have CoinPay look at the chain first (`check_balance`)."""
        payment = yield from self._read(payment_id)
        try:
            facts = read_facts(payment, polled=True)
        except Unreadable as error:
            raise Unavailable(f"CoinPay's payment {payment_id} cannot be read: {error}") from None
        if self.settings.check_balance and payment.get("status") == "pending":
            response = yield self._request("POST", f"payments/{quote(payment_id, safe='')}/check-balance")
            facts = _checked(response, payment, now=now) or facts
        return Observation(payment_id, facts, "poll")

    def read_webhook(self, delivery: Delivery) -> Reading:
        """Read a notice of any of CoinPay's products."""
        return read_event(delivery.body, business_id=self.settings.business_id)

    def list_methods(self, *, now: int) -> Flow[Sequence[str]]:
        """Return the offered blockchain codes, or those with an active wallet; the default one first."""
        offered: Sequence[str] = self.settings.blockchains
        if not offered:
            response = yield self._request("GET", "supported-coins")
            if response.status_code != 200:
                raise reading_error(response)
            offered = [code for code in read_offered(response) if code in COINS]
        return sorted(offered, key=lambda code: code != self.settings.blockchain)

    def check(self, *, now: int) -> Flow[Sequence[Finding]]:
        """Prove the key by reading the coins that the business can take."""
        response = yield self._request("GET", "supported-coins")
        return read_findings(response, self.settings)

    def _create(self, request: OpenRequest) -> Flow[Opened]:
        coin, content = self._coin(request.method), self._body(request)
        response = yield self._request("POST", "payments/create", content, key=request.attempt)
        if is_race(response):
            response = yield self._request("POST", "payments/create", content, key=request.attempt)
        if response.status_code not in (200, 201):
            raise creation_error(response)
        return _created(response, coin, self.settings.business_id)

    def _body(self, request: OpenRequest) -> bytes:
        amount = request.amount
        if amount.asset != USD:
            raise BadInput(f"CoinPay bills in US dollars, not in {amount.asset}; convert the amount first")
        if amount.minor <= 0:
            raise BadInput(f"CoinPay needs an amount above nothing, not {amount}")
        taken = sorted(_RESERVED & {name for name, _ in request.metadata})
        if taken:
            raise BadInput(f"metadata: {', '.join(taken)} is CoinPay's own; use another name")
        members: dict[str, object] = {
            "business_id": self.settings.business_id,
            "amount": amount.major,
            "blockchain": self._coin(request.method).code,
            "metadata": {**dict(request.metadata), _ORDER: request.reference},
        }
        if request.description:
            members["description"] = request.description
        if self.settings.card:
            members["payment_method"] = "both"
            if request.return_url:
                members |= {"success_url": request.return_url, "cancel_url": request.return_url}
        return write_json(members)

    def _coin(self, method: str) -> Coin:
        offered = self.settings.blockchains
        code = method.upper() or self.settings.blockchain or (offered[0] if len(offered) == 1 else "")
        if not code:
            raise BadInput(
                f"a CoinPay payment needs a coin: choose one of {', '.join(offered or COINS)} as the payment's "
                "method, or set blockchain in the account"
            )
        coin = find_coin(code)
        if offered and coin.code not in offered:
            raise BadInput(
                f"{coin.code} is not offered; choose one of {', '.join(offered)}, or add it to blockchains"
            )
        return coin

    def _read(self, payment_id: str) -> Flow[Members]:
        # Reading is public, but only a request with a key is spared the limit of 60 a minute.
        response = yield self._request("GET", f"payments/{quote(payment_id, safe='')}")
        if response.status_code != 200:
            raise reading_error(response)
        try:
            payment = as_members(read_members(response.content).get("payment"))
        except ValueError:
            payment = None
        if payment is None or payment.get("id") != payment_id:
            raise Unavailable(f"CoinPay's answer about payment {payment_id} cannot be read", status=200)
        return payment

    def _request(
        self, method: str, path: str, content: bytes | None = None, *, key: str = ""
    ) -> httpx.Request:
        headers = {
            "Authorization": f"Bearer {self.settings.api_key.reveal()}",
            "Accept": "application/json",
            "User-Agent": "Bursar",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        return httpx.Request(method, f"{self._url}/{path}", headers=headers, content=content)


def _created(response: httpx.Response, coin: Coin, business_id: str) -> Opened:
    """Read the payment that was made, or, at a repeated key, the one that was made before, as it stands now."""
    status = response.status_code
    try:
        made = as_members(read_members(response.content).get("payment"))
        if made is None:
            raise Unreadable("no payment")
        if not text(made.get("payment_address")) and made.get("status") == "expired":
            raise Declined(
                "CoinPay made a payment without an address for this attempt; start another payment",
                status=status,
            )
        if text(made.get("business_id")).lower() != business_id.lower():
            raise Unreadable("another business's payment")
        if text(made.get("blockchain")).upper() != coin.code:
            raise Unreadable(f"a payment in {made.get('blockchain')!r:.40}, where {coin.code} was asked for")
        return read_opened(made)
    except ValueError as error:
        raise OutcomeUnknown(
            f"CoinPay answered {status}, but not with the payment that was asked for: {error}", status=status
        ) from None


def _checked(response: httpx.Response, payment: Members, *, now: int) -> Facts | None:
    """Read what the chain says; None where the question was not answered, which says nothing about the payment."""
    if response.status_code != 200:
        return None
    try:
        answer = read_members(response.content)
        facts = read_facts({**payment, "status": answer.get("status")}, polled=True)
        coin = COINS.get(text(payment.get("blockchain")).upper())
        if answer.get("success") is not True or facts.verdict is None:
            return None
        if coin is None or "balance" not in answer:
            return facts
        at = answered_at(response, now)
        if Word.SETTLED in facts.verdict.now:
            expected = answer.get("expected", payment.get("crypto_amount"))
            return facts.join(arrived(coin, answer["balance"], expected, at=at))
        balance = money(answer["balance"], coin.asset, ROUND_DOWN)
    except ValueError:
        return None
    if balance is None:
        return facts
    # A balance that is gone again takes back what an earlier answer saw there.
    stage = Stage.SEEN if balance.minor > 0 else Stage.INVALID
    return facts.join(Facts(transfers=(Transfer(RECEIVED, balance, Said[Stage].once(stage, at)),)))
