"""Page: the chat page, where one person at a browser plays several people.

In        ``GET /`` and its files; ``GET /page/state``; ``POST /page/web-app`` {person_id, url}; the
          websocket ``/page/live?after=SEQ``.
Out       everything the page needs at its start, then every event as it happens.
Promises  nothing is loaded from anywhere else; a page that was cut off misses no event.
Why       a websocket, because browsers open only six ordinary connections to one server, and
          each tab would hold one.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from random import Random

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sandbox.telegram.bell import Bell
from sandbox.telegram.bot_api import Tokens
from sandbox.telegram.files import Files
from sandbox.telegram.people import People, read_object, refusing
from sandbox.telegram.profiles import Profiles
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import BotApiError, bad_request
from sandbox.telegram.spoken import read_number
from sandbox.telegram.web_app import signed_address

FOLDER = Path(__file__).with_name("page")
PARTS = ("chat.css", "chat.js", "drawing.js", "icon.svg")
LOOK_AGAIN_MS = 30_000

# Pages of people's own making are never run here: all script comes from our own files.
HEADERS = {
    "content-security-policy": "default-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
}

# What a bot uploaded is shown or saved; it is never a page that runs.
FILE_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}


class Page:
    """Serve the chat page and what it watches."""

    def __init__(
        self,
        records: Records,
        people: People,
        profiles: Profiles,
        files: Files,
        tokens: Tokens,
        bell: Bell,
        clock_ms: Callable[[], int],
        random: Random,
        *,
        test_funds: bool,
    ) -> None:
        self._records = records
        self._people = people
        self._profiles = profiles
        self._files = files
        self._tokens = tokens
        self._bell = bell
        self._clock_ms = clock_ms
        self._random = random
        self._test_funds = test_funds

    def routes(self) -> list[Route | WebSocketRoute]:
        """Name the addresses of the page."""
        return [
            Route("/", _file("index.html")),
            *(Route(f"/page/{part}", _file(part)) for part in PARTS),
            Route("/page/state", refusing(self._state), methods=["GET"]),
            Route("/page/web-app", refusing(self._web_app), methods=["POST"]),
            Route("/page/files/{file_id}", refusing(self._bytes), methods=["GET"]),
            WebSocketRoute("/page/live", self._live),
        ]

    async def _state(self, request: Request) -> Response:
        people = self._records.people()
        try:
            bot_id = self._people.bot_id(request)
        except BotApiError as error:
            if error.code == HTTPStatus.BAD_REQUEST:
                raise
            return JSONResponse({"bot": None, "people": people, "seq": 0})
        profile = self._profiles.bot(bot_id)
        for person in people:
            newest = self._records.messages(bot_id, person["id"], 1)
            person["last"] = newest[-1] if newest else None
            person["commands"] = self._profiles.commands_for(bot_id, person["id"])
        bot: Json = {
            "id": bot_id,
            "first_name": profile["first_name"],
            "username": profile["username"],
            "description": profile.get("description", ""),
        }
        return JSONResponse(
            {
                "bot": bot,
                "people": people,
                "seq": self._records.latest_seq(),
                "test_funds": self._test_funds,
            }
        )

    async def _web_app(self, request: Request) -> Response:
        body = await read_object(request)
        person = self._records.person(read_number(str(body.get("person_id", 0)), "person_id"))
        url = str(body.get("url", ""))
        if person is None or not url.startswith(("http://", "https://")):
            raise bad_request("a person opens a web address")
        token = self._tokens.of_bot(self._people.bot_id(request))
        if token is not None:
            query_id = f"AAH{self._random.randrange(10**15, 10**16)}"
            url = signed_address(url, token, person, query_id, self._clock_ms() // 1000)
        return JSONResponse({"url": url})

    async def _bytes(self, request: Request) -> Response:
        described = self._files.described(request.path_params["file_id"])
        path = self._files.on_disk(described["file_path"])
        if path is None:
            raise BotApiError(404, "there is no such file")
        return FileResponse(path, headers=FILE_HEADERS)

    async def _live(self, socket: WebSocket) -> None:
        try:
            after, bot_id = _asked(socket, "after"), _asked(socket, "bot")
        except BotApiError as error:
            await socket.send_denial_response(JSONResponse(error.envelope(), error.code))
            return
        await socket.accept()
        async with asyncio.TaskGroup() as tasks:
            teller = tasks.create_task(self._tell(socket, after, bot_id))
            async for _ in socket.iter_text():
                continue
            teller.cancel()

    async def _tell(self, socket: WebSocket, after: int | None, asked: int | None) -> None:
        after = self._records.latest_seq() if after is None else after
        try:
            while not self._bell.closed:
                bot_id = self._records.latest_bot_id() if asked is None else asked
                events = self._records.events(bot_id, after) if bot_id is not None else []
                if events:
                    after = events[-1]["seq"]
                    await socket.send_json({"events": events})
                else:
                    await self._bell.wait(LOOK_AGAIN_MS)
            await socket.close(1012)
        except (WebSocketDisconnect, RuntimeError):
            # The page went away while it was being told.
            return


def _asked(socket: WebSocket, name: str) -> int | None:
    text = socket.query_params.get(name)
    return read_number(text, name) if text else None


def _file(name: str) -> Callable[[Request], Response]:
    return lambda _: FileResponse(FOLDER / name, headers=HEADERS)
