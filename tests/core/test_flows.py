import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeVar

import httpx
import pytest
import stamina

from bursar.errors import BursarError, Declined, OutcomeUnknown, PluginBroken, Unavailable
from bursar.flows import (
    MAX_ANSWER,
    MAX_REQUESTS,
    TIMEOUT,
    Flow,
    arun,
    make_async_client,
    make_client,
    meaning,
    run,
)

T = TypeVar("T")
URL: Final = "https://pay.example/api"
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


def ask(method: str = "GET", url: str = URL, **more: Any) -> Flow[httpx.Response]:
    return (yield httpx.Request(method, url, **more))


def run_with(handler: Handler, flow: Flow[T]) -> T:
    with make_client(httpx.MockTransport(handler)) as client:
        return run(flow, client)


def arun_with(handler: Handler, flow: Flow[T]) -> T:
    async def carry() -> T:
        async with make_async_client(httpx.MockTransport(handler)) as client:
            return await arun(flow, client)

    return asyncio.run(carry())


Runner = Callable[[Handler, Flow[Any]], Any]
both: Final = pytest.mark.parametrize("carry", [run_with, arun_with], ids=["sync", "async"])


class Watched:
    """Make flows, and know whether each was closed."""

    def __init__(self, *requests: object) -> None:
        self.requests, self.closed = requests, False

    def __call__(self) -> Flow[str]:
        try:
            for request in self.requests:
                _ = yield request  # type: ignore[misc]
            return "done"
        finally:
            self.closed = True


@both
def test_a_flow_is_sent_each_answer_and_its_result_comes_back(carry: Runner) -> None:
    def flow() -> Flow[list[str]]:
        first = yield httpx.Request("POST", URL, json={"n": 1})
        second = yield httpx.Request("GET", URL + "/" + first.json()["id"])
        return [first.text, second.text, str(second.request.url)]

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": request.method})

    assert carry(handler, flow()) == ['{"id":"POST"}', '{"id":"GET"}', URL + "/POST"]


@both
def test_a_flow_that_asks_nothing_has_its_result_without_a_request(carry: Runner) -> None:
    def flow() -> Flow[int]:
        yield from ()
        return 7

    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing was to be sent")

    assert carry(handler, flow()) == 7


@both
def test_an_answer_that_was_packed_is_read_unpacked(carry: Runner) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"hello"))

    answer = carry(handler, ask())

    assert answer.text == "hello"
    assert "content-encoding" not in answer.headers


@both
def test_headers_that_are_given_twice_both_arrive(carry: Runner) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=[("x-a", "1"), ("x-a", "2")])

    assert carry(handler, ask()).headers.get_list("x-a") == ["1", "2"]


@both
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_never_left_is_tried_again_and_then_safe_to_repeat(
    carry: Runner, error: type[httpx.TransportError], method: str
) -> None:
    tries: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        tries.append(request.method)
        raise error("no")

    with pytest.raises(Unavailable, match="nothing happened there"):
        carry(handler, ask(method))
    assert tries == [method] * 3


@both
@pytest.mark.parametrize(
    "error",
    [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError],
)
@pytest.mark.parametrize(
    ("method", "kind"), [("GET", Unavailable), ("POST", OutcomeUnknown), ("DELETE", OutcomeUnknown)]
)
def test_a_request_that_broke_on_the_way_is_sent_once_and_may_have_had_its_effect_unless_it_only_reads(
    carry: Runner, error: type[httpx.TransportError], method: str, kind: type[BursarError]
) -> None:
    tries: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        tries.append(request.method)
        raise error("broken")

    with pytest.raises(BursarError) as caught:
        carry(handler, ask(method))
    assert type(caught.value) is kind
    assert tries == [method]


@pytest.mark.parametrize("url", ["ftp://pay.example/x", "pay.example/x"])
def test_a_request_to_no_http_address_never_left_the_house(url: str) -> None:
    with make_client() as client, pytest.raises(Unavailable, match="nothing happened"):
        run(ask("POST", url), client)
    with pytest.raises(Unavailable, match="nothing happened"):
        over_network_async(ask("POST", url))


@both
def test_after_a_write_was_answered_no_failure_says_that_nothing_happened(carry: Runner) -> None:
    def flow() -> Flow[None]:
        yield httpx.Request("POST", URL)
        yield httpx.Request("GET", URL)

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            raise httpx.ConnectError("gone")
        return httpx.Response(200)

    with pytest.raises(OutcomeUnknown, match="may have taken effect"):
        carry(handler, flow())


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed_and_says_what_to_mend(carry: Runner, status: int) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "pay.example"
        return httpx.Response(status, headers={"location": "https://elsewhere.example/"})

    with pytest.raises(Declined, match=r"elsewhere\.example.*base URL") as caught:
        carry(handler, ask())
    assert caught.value.status == status


@both
def test_an_answer_without_end_is_cut_off(carry: Runner) -> None:
    heard = 0

    class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal heard
            for _ in range(1000):
                heard += 65_536
                yield b"x" * 65_536

        async def __aiter__(self) -> Any:
            for piece in self:
                yield piece

    with pytest.raises(Unavailable, match="_TooLong"):
        carry(lambda _: httpx.Response(200, stream=Endless()), ask())
    assert heard <= MAX_ANSWER + 65_536


@both
def test_the_longest_answer_that_is_allowed_is_read_whole(carry: Runner) -> None:
    answer = carry(lambda _: httpx.Response(200, content=b"x" * MAX_ANSWER), ask())

    assert len(answer.content) == MAX_ANSWER


@both
@pytest.mark.parametrize("rubbish", [None, "GET /", 3, httpx.Response(200)])
def test_a_flow_that_yields_rubbish_is_broken_and_closed(carry: Runner, rubbish: object) -> None:
    watched = Watched(rubbish)

    with pytest.raises(PluginBroken, match="yields"):
        carry(lambda _: httpx.Response(200), watched())
    assert watched.closed


@both
def test_an_operation_that_is_no_generator_is_broken(carry: Runner) -> None:
    not_a_flow: Any = "an id"

    with pytest.raises(PluginBroken, match="generator of requests, not str"):
        carry(lambda _: httpx.Response(200), not_a_flow)


@both
def test_a_flow_that_never_ends_is_broken_and_closed(carry: Runner) -> None:
    watched = Watched(*[httpx.Request("GET", URL)] * (MAX_REQUESTS + 1))
    enough = Watched(*[httpx.Request("GET", URL)] * MAX_REQUESTS)

    with pytest.raises(PluginBroken, match=f"more than {MAX_REQUESTS} requests"):
        carry(lambda _: httpx.Response(200), watched())
    assert watched.closed
    assert carry(lambda _: httpx.Response(200), enough()) == "done"


@both
@pytest.mark.parametrize("ending", ["break", "redirect", "bug"])
def test_a_flow_is_closed_however_it_ends(carry: Runner, ending: str) -> None:
    watched = Watched(httpx.Request("POST", URL))

    def handler(request: httpx.Request) -> httpx.Response:
        if ending == "redirect":
            return httpx.Response(302, headers={"location": "/x"})
        raise httpx.ReadTimeout("x") if ending == "break" else KeyError("x")

    with pytest.raises((BursarError, KeyError)):
        carry(handler, watched())
    assert watched.closed


@both
def test_what_a_flow_raises_while_it_is_closed_does_not_hide_the_outcome(carry: Runner) -> None:
    def clumsy() -> Flow[None]:
        try:
            yield httpx.Request("POST", URL)
        finally:
            raise RuntimeError("clumsy")

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("x")

    with pytest.raises(OutcomeUnknown):
        carry(handler, clumsy())


def test_a_flow_is_closed_when_its_task_is_cancelled() -> None:
    watched = Watched(httpx.Request("POST", URL))

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def story() -> None:
        async with make_async_client(httpx.MockTransport(never)) as client:
            task = asyncio.ensure_future(arun(watched(), client))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())
    assert watched.closed


@both
def test_the_clients_own_limits_hold_for_requests_that_plugins_make(carry: Runner) -> None:
    seen: dict[str, Any] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        seen.update(request.extensions["timeout"])
        return httpx.Response(200)

    carry(handler, ask())

    assert seen == TIMEOUT.as_dict()
    assert None not in seen.values()


def test_what_a_failure_means_names_the_place_and_no_secret() -> None:
    request = httpx.Request(
        "POST", "https://user:secret@pay.example/pay?key=hidden", headers={"authorization": "token hush"}
    )

    text = str(meaning(request, httpx.ReadTimeout("x")))

    assert text.startswith("POST pay.example/pay gave no answer (ReadTimeout)")
    assert not any(word in text for word in ("secret", "hidden", "hush"))


class Shop(BaseHTTPRequestHandler):
    """A real server whose paths misbehave in their own ways."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("content-length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
        elif self.path == "/hang-up":
            self.close_connection = True
        elif self.path == "/moved":
            self.send_response(301)
            self.send_header("location", "/cut")
            self.send_header("content-length", "0")
            self.end_headers()
        elif self.path == "/big":
            self.send_response(200)
            self.end_headers()
            for _ in range(MAX_ANSWER // 65_536 + 2):
                try:
                    self.wfile.write(b"x" * 65_536)
                except OSError:
                    return
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0))) or b"nothing"
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_GET


@pytest.fixture
def shop() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def over_network(flow: Flow[T]) -> T:
    with make_client() as client:
        return run(flow, client)


def over_network_async(flow: Flow[T]) -> T:
    async def carry() -> T:
        async with make_async_client() as client:
            return await arun(flow, client)

    return asyncio.run(carry())


really: Final = pytest.mark.parametrize("carry", [over_network, over_network_async], ids=["sync", "async"])
Carrier = Callable[[Flow[Any]], Any]


@really
def test_a_real_server_is_asked_and_answers(carry: Carrier, shop: ThreadingHTTPServer) -> None:
    base = f"http://127.0.0.1:{shop.server_port}"

    assert carry(ask("POST", base + "/echo", content=b"\x00\xff")).content == b"\x00\xff"
    assert carry(ask("GET", base + "/echo")).text == "nothing"


@really
@pytest.mark.parametrize("path", ["/cut", "/hang-up"])
def test_a_real_connection_that_breaks_leaves_only_a_write_in_doubt(
    carry: Carrier, shop: ThreadingHTTPServer, path: str
) -> None:
    url = f"http://127.0.0.1:{shop.server_port}{path}"

    with pytest.raises(Unavailable):
        carry(ask("GET", url))
    with pytest.raises(OutcomeUnknown):
        carry(ask("POST", url, content=b"pay"))
    assert shop.seen == [path, path]  # type: ignore[attr-defined]


@really
def test_a_real_redirect_is_not_followed(carry: Carrier, shop: ThreadingHTTPServer) -> None:
    with pytest.raises(Declined, match="redirect"):
        carry(ask("GET", f"http://127.0.0.1:{shop.server_port}/moved"))
    assert shop.seen == ["/moved"]  # type: ignore[attr-defined]


@really
def test_a_real_answer_that_is_too_long_is_cut_off(carry: Carrier, shop: ThreadingHTTPServer) -> None:
    with pytest.raises(Unavailable, match="_TooLong"):
        carry(ask("GET", f"http://127.0.0.1:{shop.server_port}/big"))


@really
def test_a_real_server_that_is_down_was_never_reached(carry: Carrier, shop: ThreadingHTTPServer) -> None:
    # Stopped first: a thread that still waits on the socket would keep it open.
    shop.shutdown()
    shop.server_close()

    with pytest.raises(Unavailable, match="never reached"):
        carry(ask("POST", f"http://127.0.0.1:{shop.server_port}/"))
