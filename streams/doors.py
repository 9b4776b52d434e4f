"""Doors: HTTP on which anybody may knock, served beside a process's own work.

In        an HTTP application; a port.
Promises  a body is read no further than it may be; connections are bounded; signals stay with
          whoever started the process.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from rooms.refusal import Refused

STOP_S: Final = 3
CONNECTIONS_MAX: Final = 200


def listening(host: str, port: int) -> socket.socket:
    """Take a port, so that one that is taken is told before anything starts.

    Raises:
        OSError: when somebody listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


async def serve(door: Starlette, at: socket.socket) -> None:
    """Serve a door until cancelled."""
    config = uvicorn.Config(
        door,
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=STOP_S,
        limit_concurrency=CONNECTIONS_MAX,
    )
    server = _Server(config)
    try:
        await server.serve(sockets=[at])
    finally:
        server.should_exit = True


async def body_of(request: Request, bytes_max: int, what: str) -> bytes:
    """Read a body of so many bytes at most.

    Raises:
        Refused: `too_large`; what was not read to its end must not be waited for either.
        ClientDisconnect: when whoever knocked has gone.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > bytes_max:
            raise Refused("too_large", f"{what} has at most {bytes_max} bytes.")
    return bytes(body)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are for whoever started us; uvicorn would take them for itself.
        yield
