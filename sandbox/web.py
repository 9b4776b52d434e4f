"""Web: runs an ASGI application on one port, begins at once and ends at once.

In        the application; where to listen.
Promises  a port in use is told in one sentence; signals are left to whoever started us; those who
          are being answered get their answer, for a bounded time.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

STOP_WITHIN_S: Final = 2


class WebServer(uvicorn.Server):
    """uvicorn without its looks at the clock."""

    def __init__(self, app: Starlette, *, http: Any = "auto") -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                lifespan="off",
                access_log=False,
                log_config=None,
                date_header=False,
                server_header=False,
            )
        )
        self._left = asyncio.Event()

    def leave(self) -> None:
        """End, once those who are being answered have their answer."""
        self._left.set()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it is to stop.
        await self._left.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own waits in tenths of a second.
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        if answering := tuple(self.server_state.tasks):
            _, late = await asyncio.wait(answering, timeout=STOP_WITHIN_S)
            for task in late:
                task.cancel()
        for server in self.servers:
            await server.wait_closed()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are for whoever started us; uvicorn would take them for itself.
        yield


@contextmanager
def listening_on(host: str, port: int, what: str) -> Iterator[socket.socket]:
    """Listen on a port, 0 for any; ``what`` names the server in the sentence about a taken one.

    Raises:
        OSError: when the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's wait off only where TCP is named: without it each answer takes 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"{what} cannot listen on {host}:{port}: {error.strerror}; "
                "stop what uses the port or choose another",
            ) from error
        # From here on callers queue, so nobody need wait for the server's first breath.
        listening.listen(1_024)
        yield listening
