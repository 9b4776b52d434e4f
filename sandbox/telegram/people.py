"""People: the door for people who are played by a script or by the chat page.

In        ``POST /people`` {name}; ``POST /people/{id}/say`` {text, reply_to?, once?};
          ``POST /people/{id}/press`` {message_id, data or text, once?};
          ``POST /people/{id}/block`` {blocked}; ``POST /people/{id}/test-funds``;
          ``GET /people/{id}/messages?after=SEQ&wait_ms=N``; ``GET /people/{id}/chat?limit=N``.
          ``POST /faults`` {kind, …}, ``GET /faults``, ``DELETE /faults``.
Out       JSON; a refusal is ``{"error": …}`` with a 4xx status. ``messages`` answers
          ``{"seq", "events"}`` as soon as there is one: message, edited, deleted, answer, keyboard,
          action, blocked, profile.
Promises  a request that carries ``once`` is done once, however often it is sent.
Why       ``?bot=ID`` chooses the bot; without it, the one that called last. ``data`` may be any
          text, because a real client can be made to send any.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.telegram.airdrop import Airdrop
from sandbox.telegram.bell import Bell
from sandbox.telegram.chats import Chats
from sandbox.telegram.faults import Faults, read_fault
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import BotApiError, bad_request
from sandbox.telegram.spoken import read_json, read_number, within_limit

NAME_MAX = 32
WAIT_MS_MAX = 50_000
HISTORY_MAX = 500

Endpoint = Callable[[Request], Awaitable[Response]]


class People:
    """Do what people ask for, and tell them what happens in their chats."""

    def __init__(
        self,
        records: Records,
        chats: Chats,
        bell: Bell,
        clock_ms: Callable[[], int],
        airdrop: Airdrop | None,
    ) -> None:
        self._records = records
        self._chats = chats
        self._bell = bell
        self._clock_ms = clock_ms
        self._airdrop = airdrop

    def routes(self) -> list[Route]:
        """Name the addresses of this door."""
        return [
            Route("/people", refusing(self._list), methods=["GET"]),
            Route("/people", refusing(self._add), methods=["POST"]),
            Route("/people/{id}/say", refusing(self._say), methods=["POST"]),
            Route("/people/{id}/press", refusing(self._press), methods=["POST"]),
            Route("/people/{id}/block", refusing(self._block), methods=["POST"]),
            Route("/people/{id}/test-funds", refusing(self._test_funds), methods=["POST"]),
            Route("/people/{id}/messages", refusing(self._messages), methods=["GET"]),
            Route("/people/{id}/chat", refusing(self._chat), methods=["GET"]),
        ]

    def add(self, name: str) -> Json:
        """Add a person, or find the one who has this name."""
        name = name.strip()
        if not 1 <= len(name) <= NAME_MAX:
            raise bad_request(f"a name has 1 to {NAME_MAX} characters")
        username = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "person"
        with self._records.transaction():
            known = self._records.people()
            person = self._records.add_person(name, username)
            bot_id = self._records.latest_bot_id()
            if bot_id is not None and person not in known:
                self._chats.tell_all(bot_id, "profile")
        return person

    def bot_id(self, request: Request) -> int:
        """Tell which bot a request is about."""
        asked = request.query_params.get("bot")
        bot_id = read_number(asked, "bot") if asked else self._records.latest_bot_id()
        if bot_id is None or self._records.bot(bot_id) is None:
            raise BotApiError(409, "no bot has called yet")
        return bot_id

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"people": self._records.people()})

    async def _add(self, request: Request) -> Response:
        body = await read_object(request)
        return JSONResponse(self.add(_given(body, "name", str)))

    async def _say(self, request: Request) -> Response:
        bot_id, person_id = self.bot_id(request), self._person_id(request)
        body = await read_object(request)
        reply_to = None if body.get("reply_to") is None else _number(body, "reply_to")

        def say() -> Json:
            message = self._chats.say(bot_id, person_id, _given(body, "text", str), reply_to)
            return {"message_id": message["message_id"], "seq": self._records.latest_seq()}

        return self._once(body, say)

    async def _press(self, request: Request) -> Response:
        bot_id, person_id = self.bot_id(request), self._person_id(request)
        body = await read_object(request)

        def press() -> Json:
            message_id = _number(body, "message_id")
            data = body.get("data")
            if data is None:
                data = self._data_of(bot_id, person_id, message_id, _given(body, "text", str))
            query_id = self._chats.press(bot_id, person_id, message_id, str(data))
            return {"callback_query_id": query_id, "seq": self._records.latest_seq()}

        return self._once(body, press)

    async def _block(self, request: Request) -> Response:
        body = await read_object(request)
        self._chats.block(
            self.bot_id(request), self._person_id(request), blocked=_given(body, "blocked", bool)
        )
        return JSONResponse({"blocked": body["blocked"]})

    async def _test_funds(self, request: Request) -> Response:
        if self._airdrop is None:
            raise BotApiError(404, "there are no test funds here")
        chat = self._records.chat(self.bot_id(request), self._person_id(request)) or {}
        if not chat.get("wallet"):
            raise BotApiError(409, "Send /start first: the bot has not shown a wallet yet.")
        return JSONResponse(await self._airdrop.request(chat["wallet"]))

    async def _messages(self, request: Request) -> Response:
        bot_id, person_id = self.bot_id(request), self._person_id(request)
        after = _whole(request, "after", 0)
        deadline = self._clock_ms() + min(_whole(request, "wait_ms", 0), WAIT_MS_MAX)
        while True:
            events = self._records.events(bot_id, after, person_id)
            left = deadline - self._clock_ms()
            if events or left <= 0 or self._bell.closed:
                seq = events[-1]["seq"] if events else after
                return JSONResponse({"seq": seq, "events": events})
            await self._bell.wait(left)

    async def _chat(self, request: Request) -> Response:
        bot_id, person_id = self.bot_id(request), self._person_id(request)
        chat = self._records.chat(bot_id, person_id)
        limit = min(_whole(request, "limit", HISTORY_MAX), HISTORY_MAX)
        return JSONResponse(
            {
                "seq": self._records.latest_seq(),
                "started": chat is not None,
                "blocked": bool((chat or {}).get("blocked")),
                "wallet": (chat or {}).get("wallet"),
                "keyboard": (chat or {}).get("keyboard"),
                "messages": self._records.messages(bot_id, person_id, limit),
            }
        )

    def _data_of(self, bot_id: int, person_id: int, message_id: int, text: str) -> str:
        message = self._records.message(bot_id, person_id, message_id) or {}
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        for button in (button for row in rows for button in row):
            if button["text"] == text and "callback_data" in button:
                return str(button["callback_data"])
        raise bad_request(f"message {message_id} has no button {text!r} to press")

    def _once(self, body: Json, act: Callable[[], Json]) -> Response:
        once = body.get("once")
        with self._records.transaction():
            answer = self._records.answered(once) if isinstance(once, str) else None
            if answer is None:
                answer = act()
                if isinstance(once, str):
                    self._records.save_answer(once, answer)
        return JSONResponse(answer)

    def _person_id(self, request: Request) -> int:
        person_id = read_number(request.path_params["id"], "a person")
        if self._records.person(person_id) is None:
            raise BotApiError(404, "there is no such person")
        return person_id


def fault_routes(faults: Faults) -> list[Route]:
    """Name the addresses by which faults are asked for and taken back."""

    async def control(request: Request) -> Response:
        if request.method == "POST":
            faults.add(read_fault(await read_object(request)))
        if request.method == "DELETE":
            faults.clear()
        return JSONResponse({"faults": faults.listed()})

    return [Route("/faults", refusing(control), methods=["GET", "POST", "DELETE"])]


def refusing(act: Endpoint) -> Endpoint:
    """Let an endpoint refuse by raising: the person is told why."""

    async def answer(request: Request) -> Response:
        try:
            return await act(request)
        except BotApiError as error:
            reason = error.description.removeprefix("Bad Request: ").removeprefix("Forbidden: ")
            return JSONResponse({"error": reason}, error.code)

    return answer


async def read_object(request: Request) -> Json:
    """Read a request's body as a JSON object; an empty body is an empty object."""
    body = await request.body()
    if not body:
        return {}
    try:
        parsed = read_json(body)
    except ValueError as error:
        raise bad_request("the body is not JSON that can be told again") from error
    if not isinstance(parsed, dict):
        raise bad_request("the body is not a JSON object")
    return parsed


def _given(body: Json, name: str, kind: type[Any]) -> Any:  # noqa: ANN401 (of the kind asked for)
    value = body.get(name)
    if not isinstance(value, kind):
        raise bad_request(f"{name} is missing")
    return value


def _whole(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name)
    return otherwise if text is None else read_number(text, name)


def _number(body: Json, name: str) -> int:
    number = _given(body, name, int)
    if isinstance(number, bool):
        raise bad_request(f"{name} is missing")
    return within_limit(number, name)
