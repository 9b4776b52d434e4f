"""Updates reach a webhook as Telegram brings them: in order, signed, until they are taken."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from telegram import Update

from sandbox.telegram.faults import Fault
from sandbox.telegram.person import Person
from sandbox.telegram.serve import RunningTelegram
from sandbox.telegram.webhook import retry_delay_ms
from tests.sandbox_telegram.conftest import Api, build_bot

SECRET = "only-telegram-knows"
OK = Response(status_code=200)


@dataclass
class Hook:
    """A bot's own web server: what came in, and what it is to answer next."""

    url: str = ""
    answers: list[Response] = field(default_factory=list)
    heard: "asyncio.Queue[tuple[str | None, dict[str, Any]]]" = field(default_factory=asyncio.Queue)
    handle: Callable[[dict[str, Any]], Awaitable[None]] | None = None

    async def take(self, request: Request) -> Response:
        update = await request.json()
        assert request.headers["content-type"] == "application/json"
        await self.heard.put((request.headers.get("x-telegram-bot-api-secret-token"), update))
        answer = self.answers.pop(0) if self.answers else OK
        if self.handle is not None and answer.status_code == 200:
            await self.handle(update)
        return answer

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return (await self.heard.get())[1]


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 (uvicorn's own shape)
        yield


@asynccontextmanager
async def listening() -> AsyncIterator[Hook]:
    """Run a bot's web server while the context lasts."""
    hook = Hook()
    with socket.create_server(("127.0.0.1", 0)) as server_socket:
        hook.url = f"http://127.0.0.1:{server_socket.getsockname()[1]}/hook"
        app = Starlette(routes=[Route("/hook", hook.take, methods=["POST"])])
        server = _Server(uvicorn.Config(app, lifespan="off", log_config=None))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([server_socket]))
            try:
                yield hook
            finally:
                server.should_exit = True


@pytest.fixture
async def hook(api: Api) -> AsyncIterator[Hook]:
    """A bot's web server that is set as its webhook."""
    async with listening() as hook:
        await api.result("setWebhook", url=hook.url, secret_token=SECRET)
        yield hook
        await api.result("deleteWebhook")


async def test_an_unmodified_bot_is_served_by_webhook(
    telegram: RunningTelegram, hook: Hook
) -> None:
    app = build_bot(telegram, by_webhook=True)
    async with app, Person.joins(telegram.page_url, "Ann") as ann:

        async def handle(body: dict[str, Any]) -> None:
            await app.process_update(Update.de_json(body, app.bot))

        hook.handle = handle
        await ann.say("/room")
        await ann.press("yes", on=await ann.expect("Pick a side"))
        await ann.expect("You took bet:y")
        secret, update = await hook.heard.get()
        assert secret == SECRET
        assert update["message"]["text"] == "/room"


async def test_an_update_that_is_not_taken_comes_again_before_the_next(
    telegram: RunningTelegram, api: Api, hook: Hook
) -> None:
    hook.answers = [Response(status_code=500), Response(status_code=403), Response(status_code=502)]
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("first")
        await ann.say("second")
        heard = [(await hook.next())["message"]["text"] for _ in range(5)]
    assert heard == ["first", "first", "first", "first", "second"]
    info = await api.result("getWebhookInfo")
    assert info["last_error_message"] == "Wrong response from the webhook: 502"


async def test_other_queues_flow_on_while_one_is_stuck(
    telegram: RunningTelegram, api: Api, hook: Hook
) -> None:
    async with (
        Person.joins(telegram.page_url, "Ann") as ann,
        Person.joins(telegram.page_url, "Bo") as bo,
    ):
        await ann.say("/start")
        await hook.next()
        sent = await api.result("sendMessage", chat_id=ann.person_id, text="x")
        hook.answers = [Response(status_code=503, headers={"retry-after": "60"})]
        await ann.say("stuck")
        await hook.next()
        await ann.say("behind it")
        await bo.say("free")
        assert (await hook.next())["message"]["text"] == "free"
        await ann.press_data((await ann.messages())[1], "pressed")
        press = (await hook.next())["callback_query"]
        assert (press["data"], press["message"]["message_id"]) == ("pressed", sent["message_id"])
        info = await api.result("getWebhookInfo")
        assert info["pending_update_count"] == 2


async def test_retry_after_is_honoured(telegram: RunningTelegram, hook: Hook) -> None:
    hook.answers = [Response(status_code=429, headers={"retry-after": "1"})]
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("later")
        loop = asyncio.get_running_loop()
        await hook.next()
        first_at = loop.time()
        await hook.next()
    assert loop.time() - first_at >= 0.9


async def test_a_duplicate_is_the_same_update_again(telegram: RunningTelegram, hook: Hook) -> None:
    telegram.faults.add(Fault("duplicate", times=2))
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("pay me")
        await ann.say("the end")
        heard = [await hook.next() for _ in range(4)]
    assert heard[0] == heard[1] == heard[2]
    assert heard[3]["message"]["text"] == "the end"


async def test_a_press_overtakes_the_message_before_it(
    telegram: RunningTelegram, api: Api, hook: Hook
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        await hook.next()
        await api.result("sendMessage", chat_id=ann.person_id, text="x")
        telegram.faults.add(Fault("overtake"))
        await ann.say("held")
        await ann.press_data((await ann.messages())[1], "d")
        press, held = await hook.next(), await hook.next()
    assert "callback_query" in press
    assert held["message"]["text"] == "held"
    assert held["update_id"] < press["update_id"]


async def test_a_reply_in_the_answer_is_done(telegram: RunningTelegram, hook: Hook) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        reply = {"method": "sendMessage", "chat_id": ann.person_id, "text": "by reply"}
        hook.answers = [JSONResponse(reply)]
        await ann.say("/start")
        await ann.expect("by reply")


async def test_a_webhook_that_is_away_gets_all_when_it_is_back(
    telegram: RunningTelegram, api: Api
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    await api.result("setWebhook", url=f"http://127.0.0.1:{port}/")
    async with Person.joins(telegram.page_url, "Ann") as ann:
        for text in ("one", "two"):
            await ann.say(text)
        async with listening() as hook:
            await api.result("setWebhook", url=hook.url)
            texts = [(await hook.next())["message"]["text"] for _ in range(2)]
            await api.result("deleteWebhook")
    assert texts == ["one", "two"]


@given(st.integers(1, 40), st.integers(1, 5_000), st.integers())
def test_a_retry_is_first_at_once_then_later_and_later_up_to_two_minutes(
    failures: int, first_ms: int, seed: int
) -> None:
    delay = retry_delay_ms(failures, first_ms, Random(seed))
    if failures == 1:
        assert delay == 0
    else:
        assert delay == first_ms * 2 ** (failures - 2) or 60_000 <= delay <= 120_000
        assert delay <= 120_000
