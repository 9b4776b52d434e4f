"""Recorder: stands before one of the sandbox's servers, passes everything on, and keeps it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.web import WebServer, listening_on

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Sent:
    """One request as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - what JSON says
        """Read the body."""
        return json.loads(self.body)


@dataclass
class Recorder:
    """Where to send, and what was sent."""

    url: str
    sent: list[Sent] = field(default_factory=list)


@asynccontextmanager
async def recording(server: str) -> AsyncIterator[Recorder]:
    """Pass requests on to a server, and keep them."""
    async with httpx.AsyncClient(base_url=server, timeout=30) as http:
        with listening_on(HOST, 0, "the recorder") as listening:
            recorder = Recorder(f"http://{HOST}:{listening.getsockname()[1]}")

            async def pass_on(request: Request) -> Response:
                body = await request.body()
                headers = dict(request.headers)
                recorder.sent.append(Sent(request.method, request.url.path, headers, body))
                kept: dict[str, str] = {
                    name: headers[name] for name in ("content-type", "x-stamp") if name in headers
                }
                answer = await http.post(request.url.path, content=body, headers=kept)
                told = {name: answer.headers[name] for name in ("date",) if name in answer.headers}
                kind = answer.headers.get("content-type")
                return Response(answer.content, answer.status_code, told, kind)

            route = Route("/{path:path}", pass_on, methods=["POST", "GET"])
            running = WebServer(Starlette(routes=[route]))
            work = asyncio.create_task(running.serve(sockets=[listening]))
            try:
                yield recorder
            finally:
                running.leave()
                await work
