"""The chat page: its files, its live events, test funds and signed web pages."""

import asyncio
import hashlib
import hmac
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import websockets

import sandbox.telegram.page
from sandbox.telegram.person import Person
from sandbox.telegram.serve import RunningTelegram, TelegramSettings, running_telegram
from tests.sandbox_telegram.conftest import TOKEN, WALLET, Api, plain_http

FOLDER = Path(sandbox.telegram.page.__file__).with_name("page")


async def test_the_page_and_all_it_names_are_served_and_nothing_from_elsewhere(
    telegram: RunningTelegram,
) -> None:
    async with plain_http() as client:
        page = await client.get(telegram.page_url)
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        named = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
        script = await client.get(f"{telegram.page_url}page/chat.js")
        named |= {f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', script.text)}
        assert named == {f"/page/{path.name}" for path in FOLDER.iterdir()} - {"/page/index.html"}
        for address in named:
            answer = await client.get(telegram.page_url.rstrip("/") + address)
            assert answer.status_code == 200
    for path in FOLDER.iterdir():
        outside = re.findall(r"https?://[^\s\"'`]+", path.read_text())
        assert set(outside) <= {"http://www.w3.org/2000/svg"}, path


async def test_every_name_the_script_looks_for_is_on_the_page() -> None:
    script, page = (FOLDER / "chat.js").read_text(), (FOLDER / "index.html").read_text()
    wanted = set(re.findall(r'\$\("([a-z-]+)"\)', script))
    assert len(wanted) > 20
    assert wanted <= set(re.findall(r'id="([a-z-]+)"', page))
    style = (FOLDER / "chat.css").read_text()
    for kind in ("primary", "success", "danger"):
        assert f".key.{kind}" in style


async def test_the_page_begins_with_people_and_waits_for_a_bot(telegram: RunningTelegram) -> None:
    async with plain_http() as client:
        state = (await client.get(f"{telegram.page_url}page/state")).json()
        assert state["bot"] is None
        assert [p["first_name"] for p in state["people"]] == ["Ann", "Bo", "Cy", "Di"]
        early = await client.post(
            f"{telegram.page_url}people/{state['people'][0]['id']}/say", json={"text": "x"}
        )
        assert (early.status_code, early.json()) == (409, {"error": "no bot has called yet"})
        api = Api(client, telegram.base_url)
        commands = [{"command": "wallet", "description": "Your wallet"}]
        await api.result("setMyCommands", commands=commands)
        await api.result("setMyDescription", description="Bets.")
        state = (await client.get(f"{telegram.page_url}page/state")).json()
        assert state["bot"]["description"] == "Bets."
        assert state["people"][0]["commands"] == commands
        assert state["test_funds"] is False


async def test_the_page_hears_of_everyone_as_it_happens_and_of_what_it_missed(
    telegram: RunningTelegram, api: Api
) -> None:
    live = f"{telegram.page_url.replace('http', 'ws', 1)}page/live"
    async with Person.joins(telegram.page_url, "Ann") as ann, asyncio.timeout(5):
        async with websockets.connect(f"{live}?after=0") as page:
            await ann.say("one")
            (event,) = json.loads(await page.recv())["events"]
            assert (event["kind"], event["person_id"]) == ("message", ann.person_id)
            assert event["message"]["text"] == "one"
        await api.result("sendMessage", chat_id=ann.person_id, text="two")
        await api.result("sendChatAction", chat_id=ann.person_id, action="typing")
        async with websockets.connect(f"{live}?after={event['seq']}") as page:
            events = json.loads(await page.recv())["events"]
        assert [each["kind"] for each in events] == ["message", "action"]


async def test_a_page_is_told_when_the_server_goes(settings: TelegramSettings) -> None:
    async with running_telegram(settings) as running:
        live = f"{running.page_url.replace('http', 'ws', 1)}page/live"
        page = await websockets.connect(live)
    async with asyncio.timeout(5):
        with pytest.raises(websockets.ConnectionClosed):
            await page.recv()
    await page.wait_closed()


async def test_a_web_page_opens_with_data_signed_by_telegrams_rule(
    telegram: RunningTelegram, api: Api
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        body = {"person_id": ann.person_id, "url": "http://127.0.0.1:1/pin?room=7"}
        answer = await api.client.post(f"{telegram.page_url}page/web-app", json=body)
    url = urlsplit(answer.json()["url"])
    assert url.query == "room=7"
    data = dict(parse_qsl(parse_qs(url.fragment)["tgWebAppData"][0]))
    signature = data.pop("hash")
    lines = "\n".join(f"{name}={data[name]}" for name in sorted(data))
    secret = hmac.new(b"WebAppData", TOKEN.encode(), hashlib.sha256).digest()
    assert hmac.new(secret, lines.encode(), hashlib.sha256).hexdigest() == signature
    assert json.loads(data["user"])["id"] == ann.person_id


@asynccontextmanager
async def solana_node(answer: dict[str, Any]) -> AsyncIterator[tuple[str, list[Any]]]:
    """Answer every call of JSON-RPC with the same words, and keep what was asked."""
    asked: list[Any] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None
        asked.append(json.loads(await reader.readexactly(int(length[1]))))
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/", asked


async def test_test_funds_go_to_the_wallet_that_the_bot_showed_when_asked(
    settings: TelegramSettings,
) -> None:
    async with (
        solana_node({"jsonrpc": "2.0", "id": 1, "result": "a-signature"}) as (url, asked),
        running_telegram(replace(settings, solana_url=url)) as running,
        plain_http() as client,
        Person.joins(running.page_url, "Ann") as ann,
    ):
        api = Api(client, running.base_url)
        await api.result("getMe")
        with pytest.raises(RuntimeError, match="Send /start first"):
            await ann.test_funds()
        chat, shown = ann.person_id, f"<code>{WALLET}</code>"
        stranger = "<code>11111111111111111111111111111111</code>"
        await ann.say("my words")
        await api.result("sendMessage", chat_id=chat, text=stranger, parse_mode="HTML")
        with pytest.raises(RuntimeError, match="Send /start first"):
            await ann.test_funds()
        await ann.say("/start room_7")
        sent = await api.result("sendMessage", chat_id=chat, text="One moment …")
        await api.result(
            "editMessageText",
            chat_id=chat,
            message_id=sent["message_id"],
            text=shown,
            parse_mode="HTML",
        )
        await api.result("sendMessage", chat_id=chat, text=stranger, parse_mode="HTML")
        assert await ann.test_funds() == "a-signature"
    assert asked == [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "requestAirdrop",
            "params": [WALLET, 5_000_000_000],
        }
    ]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"error": {"code": -32000, "message": "faucet is dry"}}, "refused: faucet is dry"),
        (None, "does not answer"),
    ],
)
async def test_a_node_that_gives_nothing_is_told_as_such(
    settings: TelegramSettings, answer: dict[str, Any] | None, told: str
) -> None:
    async with solana_node(answer or {}) as (url, _):
        node = url if answer else "http://127.0.0.1:9/"
        async with (
            running_telegram(replace(settings, solana_url=node)) as running,
            plain_http() as client,
            Person.joins(running.page_url, "Ann") as ann,
        ):
            api = Api(client, running.base_url)
            await api.result("getMe")
            await ann.say("/wallet")
            await api.result(
                "sendMessage",
                chat_id=ann.person_id,
                text=f"<code>{WALLET}</code>",
                parse_mode="HTML",
            )
            with pytest.raises(RuntimeError, match=told):
                await ann.test_funds()


async def test_people_are_asked_for_what_is_missing(telegram: RunningTelegram, api: Api) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        base = f"{telegram.page_url}people"
        for path, body, status, told in (
            ("", {"name": " "}, 400, "a name has 1 to 32 characters"),
            ("", {}, 400, "name is missing"),
            ("/1/say", {"text": "x"}, 404, "there is no such person"),
            (f"/{ann.person_id}/say", {}, 400, "text is missing"),
            (f"/{ann.person_id}/say", {"text": " "}, 400, "message text is empty"),
            (f"/{ann.person_id}/say", {"text": "x" * 4097}, 400, "message is too long"),
            (f"/{ann.person_id}/press", {"message_id": 9, "data": "x"}, 400, "message not found"),
            (f"/{ann.person_id}/test-funds", {}, 404, "there are no test funds here"),
        ):
            answer = await api.client.post(base + path, json=body)
            assert (answer.status_code, answer.json()["error"]) == (status, told)
        await ann.say("/start")
        card = {"inline_keyboard": [[{"text": "YES", "callback_data": "y"}]]}
        sent = await api.result("sendMessage", chat_id=ann.person_id, text="?", reply_markup=card)
        press = f"{base}/{ann.person_id}/press"
        by_text = {"message_id": sent["message_id"], "text": "YES", "once": "a press"}
        first, second = [(await api.client.post(press, json=by_text)).json() for _ in range(2)]
        assert first == second
        updates = await api.result("getUpdates")
        assert [u["callback_query"]["data"] for u in updates if "callback_query" in u] == ["y"]
        wrong = await api.client.post(press, json={**by_text, "text": "MAYBE", "once": "another"})
        assert "has no button 'MAYBE'" in wrong.json()["error"]


HALF = b"\\ud800"
HUGE = "9" * 26
CANNOT_BE_KEPT = [
    # method, path after the server's address, body; {ann} is a person's number
    ("POST", "people", b'{"name": "' + HALF + b'"}'),
    ("POST", "people/{ann}/say", b'{"text": "' + HALF + b'"}'),
    ("POST", "people/{ann}/say", b'{"text": "x", "once": "' + HALF + b'"}'),
    ("POST", "people/{ann}/say", b'{"text": "x", "reply_to": ' + HUGE.encode() + b"}"),
    ("POST", "people/{ann}/say", b'{"text": "x", "reply_to": "1"}'),
    ("POST", "people/{ann}/say", b"[" * 100_000),
    ("POST", "people/{ann}/press", b'{"message_id": 1, "data": "' + HALF + b'"}'),
    ("POST", "people/{ann}/press", b'{"message_id": ' + HUGE.encode() + b', "data": "x"}'),
    ("POST", "page/web-app", b'{"person_id": ' + HUGE.encode() + b', "url": "http://x"}'),
    ("POST", "page/web-app", b'{"person_id": "ann", "url": "http://x"}'),
    ("POST", f"bot{TOKEN}/sendMessage", b'{"chat_id": {ann}, "text": "' + HALF + b'"}'),
    ("POST", f"bot{TOKEN}/sendMessage", b'{"chat_id": ' + HUGE.encode() + b', "text": "x"}'),
    ("GET", f"bot{TOKEN}/getUpdates?offset={HUGE}", b""),
    ("GET", f"page/state?bot={HUGE}", b""),
    ("GET", "page/state?bot=²", b""),
    ("GET", f"people/{HUGE}/messages", b""),
    ("GET", f"people/{'9' * 5_000}/messages", b""),
    ("GET", f"people/{{ann}}/messages?after={HUGE}", b""),
    ("GET", "people/{ann}/messages?after=-5", b""),
    ("GET", "people/{ann}/messages?wait_ms=abc", b""),
    ("GET", f"people/{{ann}}/chat?limit={HUGE}", b""),
]


async def test_what_cannot_be_kept_and_told_again_is_refused_at_the_door(
    telegram: RunningTelegram, api: Api
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        number = str(ann.person_id)
        for method, path, body in CANNOT_BE_KEPT:
            answer = await api.client.request(
                method,
                telegram.page_url + path.replace("{ann}", number),
                content=body.replace(b"{ann}", number.encode()),
                headers={"content-type": "application/json"},
            )
            assert answer.status_code == 400, (path, body[:80], answer.text)
        live = f"{telegram.page_url.replace('http', 'ws', 1)}page/live"
        for query in (f"after={HUGE}", "after=abc", f"bot={HUGE}"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(f"{live}?{query}")
            assert refused.value.response.status_code == 400
        await ann.say("still heard 🎈")
    heard = [update["message"]["text"] for update in await api.result("getUpdates")]
    assert heard == ["/start", "still heard 🎈"]


async def test_half_a_character_that_was_kept_before_stops_no_queue(
    settings: TelegramSettings,
) -> None:
    async with running_telegram(settings) as running, plain_http() as client:
        await Api(client, running.base_url).result("getMe")
        async with Person.joins(running.page_url, "Ann") as ann:
            await ann.say("/start")
            await ann.say("half")
    with closing(sqlite3.connect(settings.data_dir / "telegram.sqlite")) as kept, kept:
        for table in ("updates", "messages", "events"):
            kept.execute(rf"UPDATE {table} SET body = replace(body, 'half', '\ud83c \ud83d\ude00')")
    async with running_telegram(settings) as running, plain_http() as client:
        updates = await Api(client, running.base_url).result("getUpdates")
        assert [each["message"]["text"] for each in updates] == ["/start", "? 😀"]
        for path in ("page/state", f"people/{ann.person_id}/messages"):
            assert (await client.get(running.page_url + path)).status_code == 200
