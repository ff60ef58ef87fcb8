"""The sandbox's pages: a panel to play buyer, chain and service on, a buyer's page, and a card's."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bursar.errors import BadInput
from bursar_coinpay.sandbox import qr
from bursar_coinpay.sandbox.creation import FAULTS
from bursar_coinpay.sandbox.ledger import Row
from bursar_coinpay.sandbox.writing import javascript_time

if TYPE_CHECKING:
    from bursar_coinpay.sandbox.sandbox import CoinPaySandbox

__all__ = ["routes"]

_RESCAN: Final = 30 * 60
_WORKERS: Final = {
    "A": "A: tells everything",
    "B": "B: tells little, once",
    "C": "C: as B, blind at the end",
    "D": "D: tells nobody",
}
_pages: Final = Environment(loader=PackageLoader("bursar_coinpay.sandbox", "pages"), autoescape=True)


def routes(sandbox: "CoinPaySandbox") -> list[Route]:
    """Return the pages' routes."""

    async def show(request: Request) -> Response:
        with sandbox.lock:
            sandbox.tick()
            return _page("panel.html", **_shown(sandbox), said=request.query_params.get("said", ""))

    async def act(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        path = request.path_params
        with sandbox.lock:
            said = _act(sandbox, path.get("id", ""), path["verb"], form)
        return RedirectResponse(request.url_for("panel").include_query_params(said=said), 303)

    async def pay(request: Request) -> Response:
        with sandbox.lock:
            row = sandbox.machine.rows.get(request.path_params["id"])
            if row is None:
                return HTMLResponse("<h1>Payment not found</h1>", 404)
            code = qr.link(row) or row.address
            return _page("pay.html", row=row, qr=Markup(qr.svg(code)) if code else "")

    async def card(request: Request) -> Response:
        body = (await request.body()).decode()
        with sandbox.lock:
            row = _row_of_card(sandbox, request.path_params["session"])
            if row is None or row.card is None:
                return HTMLResponse("<h1>Session not found</h1>", 404)
            if request.method == "GET":
                return _page("card.html", row=row)
            if "decline" in body:
                sandbox.decline_card(row.id)
                return _page("card.html", row=row, declined=True)
            sandbox.pay_card(row.id)
            return RedirectResponse(row.card.success_url, 303)

    return [
        Route("/panel", show, name="panel"),
        Route("/panel/{verb}", act, methods=["POST"]),
        Route("/panel/{id}/{verb}", act, methods=["POST"]),
        Route("/pay/{id}", pay),
        Route("/card/{session}", card, methods=["GET", "POST"]),
    ]


def _act(sandbox: "CoinPaySandbox", payment_id: str, verb: str, form: dict[str, str]) -> str:
    verbs: dict[str, Callable[[], object]] = {
        "pay": lambda: sandbox.pay(payment_id),
        "pay-part": lambda: sandbox.pay(payment_id, share=Decimal("0.5")),
        "pay-more": lambda: sandbox.pay(payment_id, share=Decimal("1.2")),
        "pay-late": lambda: _pay_late(sandbox, payment_id),
        "confirm": lambda: sandbox.confirm(payment_id),
        "double-spend": lambda: sandbox.double_spend(payment_id),
        "expire": lambda: sandbox.expire(payment_id),
        "card-pay": lambda: sandbox.pay_card(payment_id),
        "card-decline": lambda: sandbox.decline_card(payment_id),
        "fail-payout": lambda: sandbox.fail_payout(payment_id),
        "worker": lambda: sandbox.choose_worker(payment_id, form.get("worker", "")),
        "fault": lambda: sandbox.fail_next(form.get("fault", "")),
        "test": sandbox.send_test,
    }
    if verb not in verbs:
        return f"there is no {verb!r} here"
    try:
        verbs[verb]()
    except BadInput as error:
        return str(error)
    return f"done: {verb.replace('-', ' ')}"


def _pay_late(sandbox: "CoinPaySandbox", payment_id: str) -> None:
    # As long ago as it takes for the service to look a second time.
    sandbox.expire(payment_id, ago=_RESCAN)
    sandbox.machine.look(sandbox.row(payment_id), "A", sandbox.now)
    sandbox.pay(payment_id)
    sandbox.confirm(payment_id)


def _shown(sandbox: "CoinPaySandbox") -> dict[str, Any]:
    return {
        "rows": list(reversed(sandbox.machine.rows.values())),
        "jobs": list(reversed(sandbox.outbox.jobs))[:50],
        "webhook": sandbox.outbox.url,
        "workers": _WORKERS,
        "faults": list(FAULTS),
        "pending_faults": list(sandbox.faults),
        "now": javascript_time(sandbox.now),
    }


def _row_of_card(sandbox: "CoinPaySandbox", session: str) -> Row | None:
    rows = sandbox.machine.rows.values()
    return next((row for row in rows if row.card is not None and row.card.id == session), None)


def _page(name: str, **values: Any) -> Response:
    return HTMLResponse(_pages.get_template(name).render(time=javascript_time, **values))
