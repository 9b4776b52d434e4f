"""Bot API: the door through which bots call.

In        ``GET`` or ``POST /bot{token}/{method}`` and ``GET /file/bot{token}/{path}``.
Out       Telegram's envelope, whose HTTP status equals its ``error_code``.
Promises  a token is never written anywhere; a fault strikes before or after the act as it says.
"""

import asyncio
import re

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.telegram.faults import Faults
from sandbox.telegram.files import Files
from sandbox.telegram.methods import Methods
from sandbox.telegram.parameters import Parameters, read_parameters
from sandbox.telegram.records import Records
from sandbox.telegram.refusals import BotApiError, too_many_requests, unauthorized

_TOKEN = re.compile(r"(\d{1,18}):[A-Za-z0-9_-]{1,100}")

_log = structlog.get_logger()


class Tokens:
    """Tell which bot a token belongs to; a bot is known from its first call on."""

    def __init__(
        self, records: Records, accepted: frozenset[str] | None, name: str, username: str
    ) -> None:
        self._records = records
        self._accepted = accepted
        self._name = name
        self._username = username
        self._by_bot: dict[int, str] = {}
        for token in sorted(accepted or ()):
            self.bot_id(token)

    def bot_id(self, token: str) -> int:
        """Read the bot's number from its token, and welcome a new bot."""
        shape = _TOKEN.fullmatch(token)
        if shape is None:
            raise BotApiError(404, "Not Found")
        if self._accepted is not None and token not in self._accepted:
            raise unauthorized()
        bot_id = int(shape[1])
        if bot_id not in self._by_bot:
            self._by_bot[bot_id] = token
            if self._records.bot(bot_id) is None:
                self._welcome(bot_id)
        return bot_id

    def of_bot(self, bot_id: int) -> str | None:
        """Find the token that a bot has shown; None before its first call."""
        return self._by_bot.get(bot_id)

    def _welcome(self, bot_id: int) -> None:
        first = self._records.latest_bot_id() is None
        username = (
            self._username if first else f"{self._username.removesuffix('_bot')}_{bot_id}_bot"
        )
        with self._records.transaction():
            self._records.save_bot(bot_id, {"first_name": self._name, "username": username})


class KnownConnection(H11Protocol):
    """Tell the application which connection a request came by, so that it can be cut."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope["connection"] = transport
            await app(scope, receive, send)

        self.app = with_connection


class CutConnection(Response):
    """Answer nothing: reset the connection instead."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["connection"].abort()
        while (await receive())["type"] != "http.disconnect":
            continue


class BotApi:
    """Answer the calls of bots."""

    def __init__(
        self, records: Records, methods: Methods, files: Files, tokens: Tokens, faults: Faults
    ) -> None:
        self._records = records
        self._methods = methods
        self._files = files
        self._tokens = tokens
        self._faults = faults

    def routes(self) -> list[Route]:
        """Name the addresses of this door."""
        return [
            Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._download, methods=["GET"]),
        ]

    async def _call(self, request: Request) -> Response:
        method = request.path_params["method"].lower()
        try:
            bot_id = self._tokens.bot_id(request.path_params["token"])
            self._records.note_call(bot_id)
            parameters = await read_parameters(request)
            return await self._with_faults(bot_id, method, parameters)
        except BotApiError as error:
            _log.debug("call_refused", method=method, reason=error.description)
            headers = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else None
            return JSONResponse(error.envelope(), error.code, headers)

    async def _with_faults(self, bot_id: int, method: str, parameters: Parameters) -> Response:
        try:
            person_id = parameters.whole("chat_id")
        except BotApiError:
            person_id = None
        if fault := self._faults.take("too_many_requests", method, person_id):
            raise too_many_requests(fault.retry_after_s)
        if fault := self._faults.take("error", method, person_id):
            raise BotApiError(fault.code, fault.description)
        answer = await self._methods.call(bot_id, method, parameters)
        if self._faults.take("cut", method, person_id):
            return CutConnection()
        if fault := self._faults.take("slow", method, person_id):
            await asyncio.sleep(fault.delay_ms / 1000)
        body = {"ok": True, "result": answer.result}
        if answer.description:
            body["description"] = answer.description
        return JSONResponse(body)

    async def _download(self, request: Request) -> Response:
        try:
            self._tokens.bot_id(request.path_params["token"])
        except BotApiError as error:
            return JSONResponse(error.envelope(), error.code)
        path = self._files.on_disk(request.path_params["path"])
        if path is None:
            return JSONResponse(BotApiError(404, "Not Found").envelope(), 404)
        return FileResponse(path)
