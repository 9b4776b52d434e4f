"""Telegram may forget an update only when we have it: by polling and by webhook."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bot.app import BadTokenError, run_bot
from bot.bell import Bell
from bot.factors import Factors
from bot.intake import SECRET_HEADER, Intake, door
from bot.settings import WebhookSettings
from storage.connections import Connections
from tests.bot.town import FACTOR_KEY, TOKEN, Town
from tests.place import Prices
from tests.postgres import free_port

WEBHOOK = WebhookSettings(url="http://127.0.0.1/hook", secret="s3cret", body_bytes_max=10_000)
UPDATE: dict[str, Any] = {
    "update_id": 5,
    "message": {
        "message_id": 1,
        "date": 1,
        "from": {"id": 7, "is_bot": False, "first_name": "A"},
        "chat": {"id": 7, "type": "private"},
        "text": "hi",
    },
}


def client(connections: Connections) -> httpx.AsyncClient:
    route = Route(
        "/hook", door(Intake(connections, Bell(), Factors(FACTOR_KEY)), WEBHOOK), methods=["POST"]
    )
    transport = httpx.ASGITransport(app=Starlette(routes=[route]))
    return httpx.AsyncClient(transport=transport, base_url="http://bot")


async def test_an_update_is_stored_before_it_is_acknowledged(connections: Connections) -> None:
    async with client(connections) as http:
        for _ in range(3):
            answer = await http.post("/hook", json=UPDATE, headers={SECRET_HEADER: "s3cret"})
            assert answer.status_code == 200
            assert answer.content == b""
    assert await connections.fetchval("SELECT count(*) FROM updates") == 1


async def test_a_request_that_is_not_telegrams_writes_nothing(connections: Connections) -> None:
    good = {SECRET_HEADER: "s3cret"}
    async with client(connections) as http:
        for headers in (
            {},
            {SECRET_HEADER: "wrong"},
            {SECRET_HEADER: "s3cre"},
            {SECRET_HEADER: ""},
        ):
            assert (await http.post("/hook", json=UPDATE, headers=headers)).status_code == 403
        large = {**UPDATE, "filler": "x" * 10_000}
        assert (await http.post("/hook", json=large, headers=good)).status_code == 413
        for body in (
            b"",
            b"{",
            b"[]",
            b"5",
            b'{"update_id": "5"}',
            b'{"update_id": true}',
            b"\xff",
        ):
            answer = await http.post("/hook", content=body, headers=good)
            assert answer.status_code == 400
        assert (await http.get("/hook", headers=good)).status_code == 405
    assert await connections.fetchval("SELECT count(*) FROM updates") == 0


async def test_odd_letters_are_no_reason_to_fall(connections: Connections) -> None:
    odd = {**UPDATE, "message": {**UPDATE["message"], "text": "a\0b"}}
    async with client(connections) as http:
        answer = await http.post("/hook", json=odd, headers={SECRET_HEADER: "s3cret"})
    assert answer.status_code == 200
    assert await connections.fetchval("SELECT payload #>> '{message,text}' FROM updates") == "ab"


async def test_the_webhook_answers_only_after_the_commit(connections: Connections) -> None:
    async with client(connections) as http, connections.acquire() as connection:
        await connection.execute("BEGIN; LOCK TABLE updates")
        asking = asyncio.create_task(
            http.post("/hook", json=UPDATE, headers={SECRET_HEADER: "s3cret"})
        )
        done, _ = await asyncio.wait({asking}, timeout=0.2)
        assert not done
        await connection.execute("COMMIT")
        assert (await asking).status_code == 200


async def test_a_bot_behind_a_webhook_serves_people(quiet_town: Town) -> None:
    town = quiet_town
    port = free_port()
    hook = WebhookSettings(url=f"http://127.0.0.1:{port}/hook", secret="s3cret", port=port)
    await town.start_bot(webhook=hook)
    ann = await town.person("Ann")
    await ann.say("/rules")
    await ann.expect("How a room works")
    await ann.say("/rooms")
    await ann.press("Home")
    await ann.expect("Hello, Ann")
    await town.stop_bot()
    await ann.say("/bets")
    await town.start_bot()
    await ann.expect("None yet")


async def test_what_was_said_while_the_bot_was_away_is_answered(quiet_town: Town) -> None:
    town = quiet_town
    await town.start_bot()
    ann = await town.person("Ann")
    await town.stop_bot()
    await ann.say("/rules")
    await town.start_bot()
    await ann.expect("How a room works")


async def test_only_one_bot_works_on_a_database(quiet_town: Town) -> None:
    town = quiet_town
    first = await town.start_bot()
    ready = asyncio.Event()
    second = asyncio.create_task(
        run_bot(town.settings, town.place.connections, town.place.prices, ready=ready.set)
    )
    town.bots.append(second)
    done, _ = await asyncio.wait({second}, timeout=0.5)
    assert not done
    assert not ready.is_set()
    first.cancel()
    async with asyncio.timeout(10):
        await ready.wait()


async def test_a_token_that_telegram_does_not_know_is_not_shown(
    connections: Connections, quiet_town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = replace(quiet_town.settings, token="no:token at all")
    with pytest.raises(BadTokenError) as refused:
        await run_bot(settings, connections, Prices())
    assert "no:token" not in str(refused.value)
    assert refused.value.__suppress_context__


async def test_the_token_is_in_no_log_line(
    quiet_town: Town, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "telegram"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    await quiet_town.start_bot()
    ann = await quiet_town.person("Ann")
    await ann.say("/help")
    await ann.expect("What you can do")
    # The stand-in's own server runs in this process too and names what it was asked.
    ours = [each.getMessage() for each in caplog.records if not each.name.startswith("uvicorn")]
    shown = "\n".join([*ours, *capsys.readouterr(), repr(quiet_town.settings)])
    assert TOKEN not in shown
    assert TOKEN.partition(":")[2] not in shown
