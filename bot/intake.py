"""Intake: updates from Telegram into our database, before Telegram may forget them.

In        answers to our own asking (long polling), or requests by Telegram (webhook).
Out       stored updates; whoever handles them is woken.
Promises  Telegram hears that we have an update only after the commit that stores it; the same
          update twice is one row; a request without the secret, or too large, writes nothing;
          a PIN is sealed before it is written.
Why       the library's own server and its own polling acknowledge what is only in memory.
"""

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog
import telegram
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import error as telegram_error

from bot.bell import Bell
from bot.conversation import SECRET
from bot.factors import Factors, Sealed
from bot.redaction import ID_END, looks_like_a_code, sayings, sealed, storable
from bot.settings import WebhookSettings
from storage import conversations, updates
from storage.connections import Connection, Connections
from storage.updates import Update

KINDS: Final = ("message", "edited_message", "callback_query", "my_chat_member")
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
ANSWER_S: Final = 10
STOP_S: Final = 3
TRY_AGAIN_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

log = structlog.get_logger()


class Intake:
    """Store updates and wake whoever handles them."""

    def __init__(self, connections: Connections, work: Bell, factors: Factors) -> None:
        self._connections = connections
        self._work = work
        self._factors = factors

    async def keep(self, received: Sequence[Any]) -> None:
        """Store what Telegram sent; committed when this returns.

        Raises:
            ValueError: when something is not an update; nothing is stored then.
        """
        kept = [_update(body) for body in received]
        if not kept:
            return
        async with self._connections.acquire() as connection:
            new = await updates.keep(connection, await self._sealed(connection, kept))
        if new:
            self._work.ring()

    async def _sealed(self, connection: Connection, kept: Sequence[Update]) -> list[Update]:
        """Seal what answers a question for a PIN, and digits that answer none."""
        who = [each.person for each in kept if sayings(each.payload)]
        asked = await conversations.topics(connection, who) if who else {}

        def is_secret(each: Update) -> bool:
            words, topic = sayings(each.payload), asked.get(each.person)
            return bool(words) and (looks_like_a_code(words) if topic is None else topic in SECRET)

        return [
            replace(each, payload=sealed(each.payload, asdict(self._seal(each))))
            if is_secret(each)
            else each
            for each in kept
        ]

    def _seal(self, each: Update) -> Sealed:
        return self._factors.seal(each.person, sayings(each.payload))


async def poll(bot: telegram.Bot, intake: Intake, poll_s: int, ready: Callable[[], None]) -> None:
    """Ask Telegram for updates until cancelled; tell ``ready`` once it has answered."""
    await until_reached(lambda: bot.delete_webhook(drop_pending_updates=False))
    offset, failures, told = 0, 0, False
    while True:
        try:
            # In small letters the library hands out the JSON as it came, which is what we store.
            received = await bot.do_api_request(
                "getupdates",
                api_kwargs={
                    "offset": offset,
                    # The first question only asks whether Telegram is there.
                    "timeout": poll_s if told else 0,
                    "allowed_updates": list(KINDS),
                },
                read_timeout=poll_s + ANSWER_S,
            )
        except telegram_error.RetryAfter as asked:
            await asyncio.sleep(_seconds(asked))
            continue
        except (telegram_error.NetworkError, telegram_error.Conflict) as trouble:
            if isinstance(trouble, telegram_error.BadRequest):
                raise
            pause_s = TRY_AGAIN_S[min(failures, len(TRY_AGAIN_S) - 1)]
            log.warning("telegram_away", why=type(trouble).__name__, pause_s=pause_s)
            failures += 1
            await asyncio.sleep(pause_s)
            continue
        failures = 0
        await intake.keep([update for update in received if _is_update(update)])
        offset = max([offset, *(update["update_id"] + 1 for update in received)])
        if not told:
            told = True
            ready()


async def serve_webhook(
    bot: telegram.Bot, intake: Intake, settings: WebhookSettings, ready: Callable[[], None]
) -> None:
    """Take updates from Telegram until cancelled; tell ``ready`` once it knows where we are.

    Raises:
        OSError: when the port is in use.
    """
    app = Starlette(
        routes=[Route(urlsplit(settings.url).path or "/", door(intake, settings), methods=["POST"])]
    )
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=STOP_S,
        )
    )
    with socket.create_server((settings.host, settings.port)) as listening:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listening]))
            try:
                await until_reached(
                    lambda: bot.set_webhook(
                        settings.url, secret_token=settings.secret, allowed_updates=list(KINDS)
                    )
                )
                ready()
                await serving
            finally:
                server.should_exit = True


def door(intake: Intake, settings: WebhookSettings) -> Callable[[Request], Any]:
    """Return the endpoint that takes one update a request."""
    secret = settings.secret.encode()

    async def take(request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "").encode()
        if not hmac.compare_digest(given, secret):
            return Response(status_code=HTTPStatus.FORBIDDEN)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > settings.body_bytes_max:
                return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            await intake.keep([msgspec.json.decode(body)])
        except ValueError:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return Response(status_code=HTTPStatus.OK)

    return take


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are for whoever started us; uvicorn would take them for itself.
        yield


def _update(body: Any) -> Update:  # noqa: ANN401 - whatever came over the wire
    if not _is_update(body):
        raise ValueError("an update is an object with a number")
    person, kept = storable(body)
    return Update(body["update_id"], person, kept)


def _is_update(body: Any) -> bool:  # noqa: ANN401 - whatever came over the wire
    number = body.get("update_id") if isinstance(body, dict) else None
    return type(number) is int and 0 <= number < ID_END


async def until_reached(call: Callable[[], Awaitable[Any]]) -> None:
    """Call Telegram until it has answered, with growing pauses."""
    failures = 0
    while True:
        try:
            await call()
        except telegram_error.RetryAfter as asked:
            await asyncio.sleep(_seconds(asked))
        except telegram_error.NetworkError as trouble:
            if isinstance(trouble, telegram_error.BadRequest):
                raise
            pause_s = TRY_AGAIN_S[min(failures, len(TRY_AGAIN_S) - 1)]
            log.warning("telegram_away", why=type(trouble).__name__, pause_s=pause_s)
            failures += 1
            await asyncio.sleep(pause_s)
        else:
            return


def _seconds(asked: telegram_error.RetryAfter) -> float:
    wait = asked.retry_after
    return float(wait if isinstance(wait, int) else wait.total_seconds())
