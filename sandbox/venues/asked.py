"""Asked: the sources that do not speak by themselves, over HTTP.

In        requests below ``/asked/NAME``; the market; what each source is to do wrong.
Out       answers in each source's own shape, with what its servers and caches add.
Promises  an outage is a 503, a throttle a 429 with ``Retry-After``; half open, an answer never
          comes; cut, it ends in its middle.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.venues.faults import Faults
from sandbox.venues.market import ALL, Market
from sandbox.venues.session import Told, compact

LEFT_ALONE_S = 1
HANG_S = 600


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and when the answer is from."""

    path: str
    query: Mapping[str, str]
    body: object
    at: int


@dataclass(frozen=True, slots=True)
class Answering:
    """A source that is asked.

    Attributes:
        symbol: a coin's symbol there.
        answer: a question into what JSON says; None when there is nothing at such a path.
        cache_ms: its answers are from the last multiple of this.
        key_header: the header without which it answers nobody.
    """

    name: str
    symbol: Callable[[str], str]
    answer: Callable[[Market, Question], object]
    cache_ms: int = 1
    key_header: str | None = None


@dataclass(slots=True)
class Desk:
    """One source as it runs.

    Attributes:
        hangs: so many of the next requests get no answer.
        cuts: so many of the next answers end in their middle.
        asked: how many requests there were.
    """

    source: Answering
    market: Market
    clock: Callable[[], int]
    faults: Faults = field(default_factory=Faults)
    hangs: int = 0
    cuts: int = 0
    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request, now = Request(scope, receive), self.clock()
        self.asked += 1
        if self.hangs:
            self.hangs -= 1
            await _until_gone(request)
            return
        response = await self._answer(request, now)
        if not self.cuts:
            await response(scope, receive, send)
            return
        self.cuts -= 1
        body, headers = bytes(response.body), response.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # The rest never comes: the server ends the connection.
        half = body[: len(body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})

    async def _answer(self, request: Request, now: int) -> Response:
        name = self.source.name
        if self.market.is_out(name, ALL, now):
            return Response("out for now\n", 503)
        if self.faults.is_throttled(now):
            return Response("Too many requests", 429, {"Retry-After": str(LEFT_ALONE_S)})
        header = self.source.key_header
        if header is not None and header not in request.headers:
            return Response("a key is wanted\n", 401)
        try:
            body = json.loads(await request.body() or b"null")
        except ValueError:
            return Response("no JSON\n", 400)
        at = now // self.source.cache_ms * self.source.cache_ms
        path = request.scope["path"].partition(name)[2]
        told = self.source.answer(self.market, Question(path, dict(request.query_params), body, at))
        if told is None:
            return Response("not found\n", 404)
        [spoilt] = self.faults.spoilt([Told("", "", compact(told))])
        text = spoilt.text
        mark = f'"{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"'
        headers = {"ETag": mark, "Age": str((now - at) // 1000)}
        if request.headers.get("If-None-Match") == mark:
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="application/json")


async def _until_gone(request: Request) -> None:
    async with asyncio.timeout(HANG_S):
        while (await request.receive())["type"] != "http.disconnect":
            continue
