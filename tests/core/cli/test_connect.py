import asyncio
import stat
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import read_config
from bursar.cli.callback import Callback
from bursar.cli.connect import account_to_paste
from bursar.cli.secretfiles import write_secret
from bursar.errors import ConfigError, Declined
from bursar.providers import Connection

NOW = 1_790_000_000.0


class Consents:
    """A provider whose flow asks nothing, so that the callback alone is tested."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.forms = problem, list[Mapping[str, Any]]()

    def authorize_url(self, *, callback: str, shop: str) -> str:
        return callback

    def read_callback(self, form: Mapping[str, Any], *, webhook_url: str, now: int) -> Any:
        yield from ()
        self.forms.append(form)
        if self.problem:
            raise self.problem
        return Connection({"webhook_url": webhook_url, "at": str(now)})


class Post:
    """Post to a callback, in one event loop with it."""

    def __init__(self, provider: Any = None, *, clock: Callable[[], float] = lambda: NOW) -> None:
        self.provider = provider or Consents()
        self.callback = Callback(
            self.provider,
            httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))),
            path="/connect/main",
            nonce="the-nonce",
            expires_at=NOW + 900,
            webhook_url="https://pay.example.com/webhooks/main",
            clock=clock,
        )
        transport = httpx.ASGITransport(app=self.callback.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="https://pay.example.com")

    async def __call__(self, query: str = "?nonce=the-nonce", **more: Any) -> httpx.Response:
        more.setdefault("data", {"apiKey": "k", "permissions[]": ["a", "b"]})
        # What a browser sends from the provider's own site.
        headers = {"Origin": "https://btcpay.example.com", "Sec-Fetch-Site": "cross-site"}
        return await self.client.post(f"/connect/main{query}", headers=headers, **more)


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_the_providers_own_site_may_post_and_the_form_is_read_with_its_lists() -> None:
    async def story() -> None:
        post = Post()

        answer = await post()

        assert answer.status_code == 200
        assert post.provider.forms == [{"apiKey": ["k"], "permissions[]": ["a", "b"]}]
        made = await post.callback.outcome
        assert made.settings == {
            "webhook_url": "https://pay.example.com/webhooks/main",
            "at": str(int(NOW)),
        }

    in_loop(story)


def test_a_nonce_is_good_once() -> None:
    async def story() -> None:
        post = Post()
        await post()

        again = await post()

        assert again.status_code == 410
        assert len(post.provider.forms) == 1

    in_loop(story)


def test_a_nonce_expires() -> None:
    async def story() -> None:
        post = Post(clock=lambda: NOW + 900)

        assert (await post()).status_code == 410
        assert not post.callback.outcome.done()

    in_loop(story)


@given(st.text(st.characters(codec="utf-8"), max_size=30).filter(lambda text: text != "the-nonce"))
def test_nothing_but_the_nonce_opens_the_door(guess: str) -> None:
    async def story() -> None:
        post = Post()

        answer = await post("?" + str(httpx.QueryParams({"nonce": guess})))

        assert answer.status_code == 403
        assert post.provider.forms == []
        assert not post.callback.outcome.done()

    in_loop(story)


@pytest.mark.parametrize("query", ["", "?nonce=", "?nonce=the-nonce&nonce=the-nonce", "?Nonce=the-nonce"])
def test_a_missing_or_doubled_nonce_is_none(query: str) -> None:
    async def story() -> None:
        assert (await Post()(query)).status_code == 403

    in_loop(story)


def test_looking_at_the_address_uses_nothing_up() -> None:
    async def story() -> None:
        post = Post()

        looked = await post.client.get("/connect/main?nonce=the-nonce")

        assert looked.status_code == 200
        assert (await post()).status_code == 200

    in_loop(story)


def test_a_body_beyond_reason_is_refused_before_it_is_read_whole() -> None:
    async def story() -> None:
        post = Post()

        assert (await post(content=b"x" * 70_000, data=None)).status_code == 413
        assert (await post(content=b"&".join([b"a=1"] * 200), data=None)).status_code == 413
        assert post.provider.forms == []

    in_loop(story)


def test_what_the_provider_refuses_ends_the_command_with_its_words() -> None:
    async def story() -> None:
        post = Post(Consents(Declined("the key is good for <b>two</b> stores")))

        answer = await post()

        assert answer.status_code == 400
        assert "&lt;b&gt;two" in answer.text
        with pytest.raises(Declined, match="two"):
            await post.callback.outcome

    in_loop(story)


def account(text: str = 'provider = "btcpay"\nurl = "https://btcpay.example.com"') -> Any:
    return read_config(f"[accounts.main]\n{text}\n", env={}).accounts["main"]


def test_secrets_go_into_files_that_nobody_else_can_read(tmp_path: Path) -> None:
    made = Connection(
        {
            "url": "https://btcpay.example.com",
            "api_key": "SECRET-KEY",
            "store_id": 'a"b',
            "webhook_secret": "SECRET-HOOK",
        }
    )

    lines = account_to_paste(account(), made, tmp_path)

    assert "SECRET" not in lines
    table = tomllib.loads(lines)["accounts"]["main"]
    assert table["store_id"] == 'a"b'
    for key, secret in (("api_key", "SECRET-KEY"), ("webhook_secret", "SECRET-HOOK")):
        file = tmp_path / table[key].removeprefix("file:")
        assert file.read_text(encoding="utf-8") == secret + "\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old and much longer", encoding="utf-8")
    path.chmod(0o644)

    write_secret(path, "new")

    assert path.read_text(encoding="utf-8") == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_secret_that_cannot_be_written_says_where_and_not_what(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write_secret(tmp_path / "no" / "key", "hush")

    assert str(tmp_path) in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_setting_that_the_plugin_does_not_have_is_its_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'colour', which is no setting"):
        account_to_paste(account(), Connection({"colour": "red"}), tmp_path)


def test_an_account_that_is_not_there_or_cannot_be_connected_is_refused(site: Any) -> None:
    assert site("connect", "nobody").exit_code == 2
    refused = site("connect", "coinpay")

    assert refused.exit_code == 1
    assert "has no consent page" in refused.stderr
