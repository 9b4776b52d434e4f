"""What was said and not yet acknowledged is there again after kill -9."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from sandbox.telegram.bell import Bell
from sandbox.telegram.person import Person
from sandbox.telegram.records import Records
from sandbox.telegram.serve import RunningTelegram, TelegramSettings, running_telegram
from tests.sandbox_telegram.conftest import TOKEN, Api, plain_http

CHILD = """
import asyncio, sys
from pathlib import Path
from sandbox.telegram.serve import TelegramSettings, serve
def ready(running):
    sys.stdout.write(running.page_url + "\\n")
    sys.stdout.flush()
asyncio.run(serve(TelegramSettings(data_dir=Path(sys.argv[1]), port=int(sys.argv[2])), ready))
"""


Child = tuple[str, asyncio.subprocess.Process]


@asynccontextmanager
async def child(
    settings: TelegramSettings, port: int = 0
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run the stand-in as a process of its own, which the test may kill."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, str(settings.data_dir), str(port)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"http"):
            assert line, "the stand-in said where it is found"
        yield line.decode().strip(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_kill_9_loses_no_word_and_no_update(settings: TelegramSettings) -> None:
    async with plain_http() as client, child(settings) as (page_url, process):
        api = Api(client, f"{page_url}bot")
        await api.result("getMe")
        async with Person.joins(page_url, "Ann") as ann:
            await ann.say("taken")
            (taken,) = await api.result("getUpdates")
            await api.result("getUpdates", offset=taken["update_id"] + 1)
            await ann.say("not taken yet")
            answer = await api.result("sendMessage", chat_id=ann.person_id, text="first")
            process.kill()
            await process.wait()
            port = int(page_url.rstrip("/").rsplit(":", 1)[1])
            async with child(settings, port):
                (again,) = await api.result("getUpdates")
                assert again["message"]["text"] == "not taken yet"
                assert again["update_id"] == taken["update_id"] + 1
                await ann.say("after")
                heard = await api.result("getUpdates")
                numbers = [update["update_id"] for update in heard]
                assert numbers == [again["update_id"], again["update_id"] + 1]
                await api.result(
                    "editMessageText",
                    chat_id=ann.person_id,
                    message_id=answer["message_id"],
                    text="edited",
                )
                assert (await ann.expect("edited")).edited
                texts = [message.text for message in await ann.messages()]
                assert texts == ["taken", "not taken yet", "edited", "after"]


async def test_a_person_who_asks_while_the_server_is_away_is_heard_once(
    settings: TelegramSettings,
) -> None:
    async with running_telegram(settings) as first:
        port = first.port
        async with plain_http() as client:
            await Api(client, first.base_url).result("getMe")
        joined = Person.joins(first.page_url, "Ann")
        ann = await joined.__aenter__()
    async with asyncio.TaskGroup() as tasks:
        saying = tasks.create_task(ann.say("hello?"))
        await asyncio.sleep(0.15)
        async with running_telegram(replace(settings, port=port)) as second, plain_http() as client:
            await saying
            updates = await Api(client, second.base_url).result("getUpdates")
            assert [update["message"]["text"] for update in updates] == ["hello?"]
    await joined.__aexit__(None, None, None)


def test_of_events_no_longer_kept_each_message_is_told_once_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.telegram.records.EVENTS_KEPT", 10)
    with closing(Records(tmp_path / "telegram.sqlite", Bell())) as records:
        for number in range(1_005):
            body = {"message_id": number % 600, "text": f"saying {number}"}
            with records.transaction():
                seq = records.add_event(1, 2, {"kind": "edited", "message": body})
                records.save_message(1, 2, seq, body)
        told = {}
        after = 0
        while events := records.events(1, after, 2):
            for event in events:
                told[event["message"]["message_id"]] = event["message"]["text"]
            assert [event["seq"] for event in events] == sorted({e["seq"] for e in events})
            after = events[-1]["seq"]
        assert after == records.latest_seq() == 1_005
        assert told == {n % 600: f"saying {n}" for n in range(405, 1_005)}
        assert len(records.events(1, 0, 2, limit=2_000)) == 600


async def test_a_long_history_is_listed_whole(telegram: RunningTelegram, api: Api) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("first")
        offer = {"chat_id": ann.person_id, "text": "x", "reply_markup": {"remove_keyboard": True}}
        for _ in range(3):
            await api.result("sendMessage", **offer)
        with mock.patch("sandbox.telegram.records.EVENTS_TOLD", 2):
            assert len(await ann.messages()) == 4


async def test_a_port_or_a_folder_in_use_is_told_in_one_sentence(
    telegram: RunningTelegram, settings: TelegramSettings
) -> None:
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{telegram.port}: Address al"):
        async with running_telegram(replace(settings, port=telegram.port)):
            pass
    with pytest.raises(OSError, match="another chat server uses the data in"):
        async with running_telegram(settings):
            pass


async def test_two_bots_have_their_own_chats(telegram: RunningTelegram) -> None:
    async with plain_http() as client:
        one, two = Api(client, telegram.base_url), Api(client, telegram.base_url, "778:another")
        names = [(await api.result("getMe"))["username"] for api in (one, two)]
        assert names == ["rooms_bot", "rooms_778_bot"]
        assert two.token != TOKEN
        async with Person.joins(telegram.page_url, "Ann") as ann:
            await ann.say("to the one that called last")
        assert await one.result("getUpdates") == []
        assert len(await two.result("getUpdates")) == 1
