"""The Bot API by plain HTTP: envelopes, encodings, the queue of updates."""

import asyncio
import json
from typing import Any

from sandbox.telegram.faults import Fault
from sandbox.telegram.person import Person
from sandbox.telegram.serve import RunningTelegram, TelegramSettings, running_telegram
from tests.sandbox_telegram.conftest import TOKEN, Api, plain_http

REFUSALS: list[tuple[str, dict[str, Any], int, str]] = [
    # method, parameters, status, description
    ("sendMessage", {"text": "x"}, 400, "Bad Request: chat_id is empty"),
    ("sendMessage", {"chat_id": 1, "text": "x"}, 400, "Bad Request: chat not found"),
    ("sendMessage", {"chat_id": "@ann", "text": "x"}, 400, "Bad Request: chat not found"),
    ("SENDMESSAGE", {"chat_id": 1}, 400, "Bad Request: message text is empty"),
    ("sendSpaceship", {}, 404, "Not Found: method not found"),
    (
        "sendChatAction",
        {"chat_id": 1, "action": "dance"},
        400,
        "Bad Request: wrong parameter action in request",
    ),
    (
        "setMyCommands",
        {"commands": [{"command": "Start", "description": "x"}]},
        400,
        "Bad Request: BOT_COMMAND_INVALID",
    ),
    (
        "setWebhook",
        {"url": "http://example.org/hook"},
        400,
        "Bad Request: bad webhook: An HTTPS URL must be provided for webhook",
    ),
    (
        "setWebhook",
        {"url": "https://example.org:8081/hook"},
        400,
        "Bad Request: bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443",
    ),
    (
        "setWebhook",
        {"url": "https://example.org/", "secret_token": "no blanks"},
        400,
        "Bad Request: secret token contains unallowed characters",
    ),
    (
        "answerCallbackQuery",
        {"callback_query_id": "1"},
        400,
        "Bad Request: query is too old and response timeout expired or query ID is invalid",
    ),
    (
        "getFile",
        {"file_id": "x"},
        400,
        "Bad Request: wrong file_id or the file is temporarily unavailable",
    ),
]


async def test_refusals_read_as_telegrams(api: Api) -> None:
    for method, values, status, description in REFUSALS:
        assert await api.refusal(method, **values) == (status, description)


async def test_only_accepted_tokens_count(settings: TelegramSettings) -> None:
    strict = TelegramSettings(data_dir=settings.data_dir, tokens=frozenset({TOKEN}))
    assert TOKEN not in repr(strict)
    async with running_telegram(strict) as running, plain_http() as client:
        assert (await Api(client, running.base_url).result("getMe"))["username"] == "rooms_bot"
        other = Api(client, running.base_url, token="777000:another")
        assert await other.refusal("getMe") == (401, "Unauthorized")
        shapeless = Api(client, running.base_url, token="nonsense")
        assert await shapeless.refusal("getMe") == (404, "Not Found")


async def test_a_call_means_the_same_however_it_is_encoded(
    telegram: RunningTelegram, api: Api
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        markup = {"inline_keyboard": [[{"text": "é", "callback_data": "x"}]]}
        form = {"chat_id": str(ann.person_id), "text": "<b>é</b> & so", "parse_mode": "HTML"}
        url = f"{api.base_url}{TOKEN}/sendMessage"
        flat = form | {"reply_markup": json.dumps(markup)}
        answers = [
            await api.client.post(
                url, json=form | {"chat_id": ann.person_id, "reply_markup": markup}
            ),
            await api.client.post(url, data=flat),
            await api.client.post(url, files={name: (None, text) for name, text in flat.items()}),
            await api.client.get(url, params=flat),
        ]
    results = [answer.json()["result"] for answer in answers]
    for result in results:
        assert result.pop("message_id")
        assert result.pop("date")
        assert result == results[0]
    assert results[0]["text"] == "é & so"
    assert results[0]["reply_markup"] == markup


async def test_a_poll_offers_an_update_until_an_offset_confirms_it(
    telegram: RunningTelegram, api: Api
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("one")
        await ann.say("/two")
        first = await api.result("getUpdates")
        assert [update["message"]["text"] for update in first] == ["one", "/two"]
        assert first[1]["message"]["entities"] == [
            {"type": "bot_command", "offset": 0, "length": 4}
        ]
        assert await api.result("getUpdates") == first
        rest = await api.result("getUpdates", offset=first[1]["update_id"])
        assert rest == first[1:]
        await ann.say("three")
        newest = await api.result("getUpdates", offset=-1)
        assert [update["message"]["text"] for update in newest] == ["three"]
        assert newest[0]["update_id"] == first[1]["update_id"] + 1


async def test_a_long_poll_answers_the_moment_something_is_said(
    telegram: RunningTelegram, api: Api
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann, asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(api.result("getUpdates", timeout=30))
        await asyncio.sleep(0)
        await ann.say("now")
        async with asyncio.timeout(5):
            assert (await poll)[0]["message"]["text"] == "now"


async def test_polls_and_webhooks_exclude_each_other(api: Api) -> None:
    async with asyncio.TaskGroup() as tasks:
        older = tasks.create_task(api.refusal("getUpdates", timeout=30))
        newer = tasks.create_task(_after_the_first_poll(api, older))
        assert await older == (
            409,
            "Conflict: terminated by other getUpdates request; "
            "make sure that only one bot instance is running",
        )
        assert await newer == []
    url = "http://127.0.0.1:9/hook"
    _, answer = await api.call("setWebhook", url=url, secret_token="s")
    assert answer == {"ok": True, "result": True, "description": "Webhook was set"}
    status, description = await api.refusal("getUpdates")
    assert (status, description[:55]) == (
        409,
        "Conflict: can't use getUpdates method while webhook is ",
    )
    assert (await api.result("getWebhookInfo"))["url"] == url
    _, answer = await api.call("deleteWebhook")
    assert answer["description"] == "Webhook was deleted"
    assert await api.result("getUpdates") == []


async def _after_the_first_poll(api: Api, older: "asyncio.Task[tuple[int, str]]") -> object:
    # The older poll ends only when a newer one comes: so newer ones come until it has.
    while True:
        result = await api.result("getUpdates")
        if older.done():
            return result
        await asyncio.sleep(0.01)


async def test_an_update_nobody_asked_for_is_not_queued(
    telegram: RunningTelegram, api: Api
) -> None:
    await api.result("getUpdates", allowed_updates=["callback_query"])
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("unheard")
        sent = await api.result("sendMessage", chat_id=ann.person_id, text="x")
        await api.client.post(
            f"{telegram.page_url}people/{ann.person_id}/press",
            json={"message_id": sent["message_id"], "data": "d"},
        )
    (update,) = await api.result("getUpdates")
    assert update["callback_query"]["data"] == "d"
    assert update["callback_query"]["message"]["text"] == "x"


async def test_a_duplicated_update_comes_once_more(telegram: RunningTelegram, api: Api) -> None:
    telegram.faults.add(Fault("duplicate"))
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("pay me")
    (update,) = await api.result("getUpdates")
    offset = update["update_id"] + 1
    assert await api.result("getUpdates", offset=offset) == [update]
    assert await api.result("getUpdates", offset=offset) == []


async def test_a_press_can_overtake_the_message_before_it(
    telegram: RunningTelegram, api: Api
) -> None:
    async with Person.joins(telegram.page_url, "Ann") as ann:
        await ann.say("/start")
        sent = await api.result("sendMessage", chat_id=ann.person_id, text="x")
        telegram.faults.add(Fault("overtake", person_id=ann.person_id))
        await ann.say("held")
        assert len(await api.result("getUpdates")) == 1
        message = (await ann.messages())[1]
        assert message.message_id == sent["message_id"]
        await ann.press_data(message, "d")
    updates = await api.result("getUpdates")
    assert [("callback_query" in update) for update in updates] == [False, True, False]
    numbers = [update["update_id"] for update in updates]
    assert numbers == sorted(set(numbers))


async def test_faults_are_asked_for_by_http(telegram: RunningTelegram, api: Api) -> None:
    url = f"{telegram.page_url}faults"
    wanted = {"kind": "too_many_requests", "method": "getMe", "retry_after_s": 3}
    listed = (await api.client.post(url, json=wanted)).json()["faults"]
    assert [fault["kind"] for fault in listed] == ["too_many_requests"]
    status, envelope = await api.call("getMe")
    assert status == 429
    assert envelope["parameters"] == {"retry_after": 3}
    assert envelope["description"] == "Too Many Requests: retry after 3"
    refused: list[object] = [
        {"kind": "earthquake"},
        {"kind": "cut", "times": 0},
        {"kind": "cut", "x": 1},
        [],
    ]
    for wrong in refused:
        assert (await api.client.post(url, json=wrong)).status_code == 400
    await api.client.post(url, json={"kind": "cut"})
    assert (await api.client.delete(url)).json() == {"faults": []}
