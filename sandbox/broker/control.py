"""Control: faults and facts of a running broker over HTTP, on this machine only.

In        GET /state; POST /faults with a JSON object such as ``{"slow_ms": 200}``.
Out       JSON; status 400 with a sentence when the request cannot be.
Promises  only a loopback address is listened on; a page in a browser cannot reach it.
Why       a broker in another process must be made to fail from outside; in a test, call
          `Broker` itself.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

_REQUEST_BYTES_MAX = 65_536
_REQUEST_SECONDS_MAX = 5.0

Json = dict[str, Any]


class Controlled(Protocol):
    """What the control port can do to a broker."""

    def state(self) -> Json:
        """Describe topics, groups and faults."""

    def apply(self, name: str, value: object) -> None:
        """Bring one fault about."""


class BadControl(ValueError):
    """The control request cannot be; says why."""


async def serve_control(broker: Controlled, host: str, port: int) -> asyncio.Server:
    """Listen for control requests."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS_MAX):
                status, answer = await _answer(broker, reader)
                body = json.dumps(answer).encode()
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(converse, host, port, limit=_REQUEST_BYTES_MAX)


async def _answer(broker: Controlled, reader: asyncio.StreamReader) -> tuple[str, Json]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in rest)
        if colon
    }
    if "origin" in headers:
        return "403 Forbidden", {"error": "not for browsers"}
    method, path, *_ = [*first.split(" "), "", ""]
    try:
        if (method, path) == ("GET", "/state"):
            return "200 OK", broker.state()
        if (method, path) == ("POST", "/faults"):
            length = headers.get("content-length", "")
            if not length.isascii() or not length.isdigit() or int(length) > _REQUEST_BYTES_MAX:
                raise BadControl("say how long the body is")
            _apply_all(broker.apply, await reader.readexactly(int(length)))
            return "200 OK", broker.state()
    except BadControl as reason:
        return "400 Bad Request", {"error": str(reason)}
    return "404 Not Found", {"error": "there are GET /state and POST /faults"}


def _apply_all(apply: Callable[[str, object], None], body: bytes) -> None:
    try:
        wanted = json.loads(body)
    except ValueError as error:
        raise BadControl(f"the body is not JSON: {error}") from error
    if not isinstance(wanted, dict):
        raise BadControl("the body is a JSON object")
    for name, value in wanted.items():
        apply(name, value)
