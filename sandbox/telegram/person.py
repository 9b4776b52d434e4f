"""Person: plays one person from Python, for demonstrations and tests.

In        the address of the chat page and a name.
Out       what the bot says to this person, as soon as it is said.
Promises  a wait is bounded, and when nothing fits it tells what was heard instead; what is said
          or pressed is done once, also when the server was killed in between.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from sandbox.telegram.entities import Entity, utf16_slice

POLL_MS = 10_000
TRY_AGAIN_MS = 100
TRIES_MAX = 100
HEARD_MAX = 1_000


class NotHeard(TimeoutError):
    """Tell that the bot did not say what was expected, and what it said instead."""


@dataclass(frozen=True, slots=True)
class Button:
    """One inline button: what it says and what it does."""

    text: str
    data: str | None = None
    url: str | None = None
    web_app: str | None = None
    copy_text: str | None = None
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a message said when it was sent or edited.

    Attributes:
        seq: the place of this saying among everything that happened; later is higher.
        text: the text, or the caption of a photo.
    """

    seq: int
    message_id: int
    text: str
    by_bot: bool
    edited: bool
    rows: tuple[tuple[Button, ...], ...] = ()
    photo: bool = False
    entities: tuple[Entity, ...] = ()

    def button(self, text_contains: str) -> Button | None:
        """Find the first button whose text contains this, in any case."""
        wanted = text_contains.lower()
        buttons = (button for row in self.rows for button in row)
        return next((button for button in buttons if wanted in button.text.lower()), None)

    def marked(self, kind: str) -> list[str]:
        """List what stands in entities of one kind, such as ``"code"``."""
        return [utf16_slice(self.text, e) for e in self.entities if e["type"] == kind]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot answered to a press: a toast, or an alert; often with no text at all."""

    seq: int
    text: str
    alert: bool
    url: str


Saying = TypeVar("Saying", Message, Answer)


@dataclass(slots=True)
class Person:
    """One person in a chat with the bot."""

    person_id: int
    name: str
    _client: httpx.AsyncClient = field(repr=False)
    _seq: int = 0
    _acted_at: int = 0
    _heard: list[Message | Answer] = field(default_factory=list, repr=False)
    _used: set[int] = field(default_factory=set, repr=False)
    _current: dict[int, Message] = field(default_factory=dict, repr=False)

    @classmethod
    @asynccontextmanager
    async def joins(cls, page_url: str, name: str) -> "AsyncIterator[Person]":
        """Be this person while the context lasts; a new name is a new person."""
        # The page speaks plain HTTP; loading the usual authorities would only take time.
        none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(
            base_url=page_url, timeout=60, trust_env=False, verify=none
        ) as client:
            person = cls(0, name, client)
            person.person_id = (await person._post("people", {"name": name}))["id"]
            yield person

    async def say(self, text: str, *, reply_to: Message | None = None) -> int:
        """Write to the bot and answer the message's number."""
        reply = {"reply_to": reply_to.message_id} if reply_to else {}
        return int((await self._act("say", {"text": text, **reply}))["message_id"])

    async def press(
        self, text_contains: str, *, on: Message | None = None, timeout_s: float = 10
    ) -> None:
        """Press the button whose text contains this: on one message, or on the newest with it."""
        message, button = await self._find_button(text_contains, on, timeout_s)
        if button.data is None:
            raise ValueError(f"the button {button.text!r} opens something and cannot be pressed")
        await self.press_data(message, button.data)

    async def press_data(self, message: Message, data: str) -> None:
        """Press with any data, also with what no button had."""
        await self._act("press", {"message_id": message.message_id, "data": data})

    async def expect(
        self, pattern: str, timeout_s: float = 20, *, after: int | None = None
    ) -> Message:
        """Wait until the bot has said or edited something that fits a regular expression.

        Looks at what came after this person's own last words or press (or after ``after``), and
        takes each saying once.

        Raises:
            NotHeard: nothing fitted in time.
        """
        return await self._expect(Message, pattern, timeout_s, after)

    async def expect_answer(
        self, pattern: str = "", timeout_s: float = 10, *, after: int | None = None
    ) -> Answer:
        """Wait until the bot has answered a press with something that fits."""
        return await self._expect(Answer, pattern, timeout_s, after)

    async def messages(self) -> list[Message]:
        """List all messages of the chat as they stand now, oldest first."""
        while await self._listen(0):
            continue
        return [self._current[message_id] for message_id in sorted(self._current)]

    async def test_funds(self) -> str:
        """Ask for test funds for the wallet that the bot has shown, and answer the signature."""
        return str((await self._post(f"people/{self.person_id}/test-funds", {}))["signature"])

    async def block(self, *, blocked: bool = True) -> None:
        """Block the bot, or take it back."""
        await self._post(f"people/{self.person_id}/block", {"blocked": blocked})

    async def _act(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._post(f"people/{self.person_id}/{verb}", {**body, "once": str(uuid4())})
        self._acted_at = int(answer["seq"])
        return answer

    async def _expect(
        self, kind: type[Saying], pattern: str, timeout_s: float, after: int | None
    ) -> Saying:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        since = self._acted_at if after is None else after
        while True:
            for saying in self._heard:
                if (
                    isinstance(saying, kind)
                    and saying.seq > since
                    and saying.seq not in self._used
                    and re.search(pattern, saying.text, re.DOTALL)
                ):
                    self._used.add(saying.seq)
                    return saying
            left_ms = int((deadline - loop.time()) * 1000)
            if left_ms <= 0:
                raise NotHeard(f"{self.name} waited {timeout_s} s for {pattern!r}; {self._told()}")
            await self._listen(min(left_ms, POLL_MS))

    async def _find_button(
        self, text_contains: str, on: Message | None, timeout_s: float
    ) -> tuple[Message, Button]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            candidates = sorted(self._current.values(), key=lambda message: -message.seq)
            if on is not None:
                candidates = [self._current.get(on.message_id, on)]
            for message in candidates:
                button = message.button(text_contains)
                if button is not None:
                    return message, button
            left_ms = int((deadline - loop.time()) * 1000)
            if left_ms <= 0:
                raise NotHeard(f"{self.name} saw no button {text_contains!r}; {self._told()}")
            await self._listen(min(left_ms, POLL_MS))

    async def _listen(self, wait_ms: int) -> bool:
        url = f"people/{self.person_id}/messages"
        answer = await self._request("GET", url, params={"after": self._seq, "wait_ms": wait_ms})
        self._seq = int(answer["seq"])
        for event in answer["events"]:
            self._hear(event)
        del self._heard[:-HEARD_MAX]
        return bool(answer["events"])

    def _hear(self, event: dict[str, Any]) -> None:
        seq = int(event["seq"])
        if event["kind"] in {"message", "edited"}:
            message = read_message(seq, event["message"], edited=event["kind"] == "edited")
            self._current[message.message_id] = message
            if message.by_bot:
                self._heard.append(message)
        elif event["kind"] == "deleted":
            self._current.pop(event["deleted"], None)
        elif event["kind"] == "answer":
            answer = event["answer"]
            self._heard.append(Answer(seq, answer["text"], answer["alert"], answer["url"]))

    def _told(self) -> str:
        since = [saying.text for saying in self._heard if saying.seq > self._acted_at]
        return f"heard since: {since[-5:]}" if since else "heard nothing since"

    async def _post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._request("POST", url, json=body)

    async def _request(self, verb: str, url: str, **how: Any) -> dict[str, Any]:  # noqa: ANN401 (httpx's own)
        for _ in range(TRIES_MAX):
            try:
                response = await self._client.request(verb, url, **how)
            except httpx.TransportError:
                # The server is being started again; what we ask carries a name and is done once.
                await asyncio.sleep(TRY_AGAIN_MS / 1000)
                continue
            answer: dict[str, Any] = response.json()
            if response.is_error:
                raise RuntimeError(f"{self.name}: {answer.get('error', response.status_code)}")
            return answer
        raise ConnectionError(f"{self.name}: the chat page at {self._client.base_url} is away")


def read_message(seq: int, body: dict[str, Any], *, edited: bool) -> Message:
    """Read a Bot API message as a person sees it."""
    rows = body.get("reply_markup", {}).get("inline_keyboard", [])
    return Message(
        seq=seq,
        message_id=body["message_id"],
        text=body.get("text", body.get("caption", "")),
        by_bot=body["from"]["is_bot"],
        edited=edited,
        rows=tuple(tuple(_button(button) for button in row) for row in rows),
        photo="photo" in body,
        entities=tuple(body.get("entities", body.get("caption_entities", ()))),
    )


def _button(body: dict[str, Any]) -> Button:
    return Button(
        text=body["text"],
        data=body.get("callback_data"),
        url=body.get("url"),
        web_app=body.get("web_app", {}).get("url"),
        copy_text=body.get("copy_text", {}).get("text"),
        style=body.get("style"),
    )
