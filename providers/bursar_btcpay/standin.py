"""Stand in for the server that was recorded: whatever is asked about an invoice is answered with a recorded answer."""

from email.utils import formatdate

import httpx

from bursar_btcpay.recording import Look, Recording

__all__ = ["StandIn"]


class StandIn:
    """Answer as the recorded server did. The answer shown is chosen by `show`; at the end, the last one, at a later time."""

    url = "http://127.0.0.1:23000"

    def __init__(self, recording: Recording) -> None:
        self.recording, self.shown = recording, dict[str, Look]()
        self.now = float(recording.ended_at)
        self.last = False
        self.transport = httpx.MockTransport(self._answer)

    def show(self, invoice: str, look: Look) -> None:
        """Answer questions about *invoice* with *look* from now on."""
        self.shown[invoice] = look

    def show_last(self) -> None:
        """Answer every question as the server would after the recording's end: its last word, with the time of asking."""
        self.shown = {i: self.recording.invoice(i).last for i in self.recording.invoices}
        self.last = True

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = [part for part in request.url.path.split("/") if part]
        look = next((self.shown[part] for part in path if part in self.shown), None)
        if request.method != "GET" or look is None:
            return httpx.Response(
                404, json={"code": "not-recorded", "message": f"{request.method} {request.url.path}"}
            )
        # Two seconds behind, as far as the real server's clock was ever seen to lag.
        date = formatdate(self.now - 2, usegmt=True) if self.last else look.date
        body = look.methods if path[-1] == "payment-methods" else look.body
        return httpx.Response(
            200,
            content=body.encode(),
            headers={"Content-Type": "application/json; charset=utf-8", "Date": date},
        )
