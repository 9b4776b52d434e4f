"""Serve: all venues' public sockets on one port of this machine, by path.

In        settings; a clock.
Out       websockets that speak as the venues do, and a control port to steer them.
Promises  a port in use is named; a stop leaves nothing open.
"""

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.typing import Subprotocol

from sandbox.venues.client import Socket
from sandbox.venues.control import running_control
from sandbox.venues.session import Rules
from sandbox.venues.venues import Clock, Venues, VenuesSettings

__all__ = ["Rules", "Venues", "VenuesSettings", "running_venues", "serve"]


def wall_clock() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running_venues(
    settings: VenuesSettings, clock: Clock = wall_clock
) -> AsyncIterator[Venues]:
    """Run the venues while the block runs.

    Raises:
        OSError: when a port is in use, naming it.
        ValueError: when the recording cannot be served.
    """
    venues = Venues(settings, clock)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_bound(settings.host, settings.port))
        control_listener = stack.enter_context(_bound(settings.host, settings.control_port))
        venues.port = listener.getsockname()[1]
        venues.control_port = control_listener.getsockname()[1]
        server = await serve_websockets(
            venues.serve_client,
            sock=listener,
            process_request=venues.admit,
            create_connection=Socket,
            select_subprotocol=_subprotocol,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        stack.push_async_callback(_stop, server, venues)
        await stack.enter_async_context(running_control(venues, control_listener))
        venues.publishing = asyncio.create_task(venues.publish())
        try:
            yield venues
        finally:
            venues.publishing.cancel()
            await asyncio.wait([venues.publishing])
        if not venues.publishing.cancelled():
            venues.publishing.result()


async def serve(
    settings: VenuesSettings, ready: Callable[[Venues], None], clock: Clock = wall_clock
) -> None:
    """Serve until cancelled; ``ready`` is called once both ports listen.

    Raises:
        OSError: when a port is in use, naming it.
    """
    async with running_venues(settings, clock) as venues:
        ready(venues)
        assert venues.publishing is not None, "they are running"
        await venues.publishing


def _subprotocol(
    connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    del connection
    return offered[0] if offered else None


async def _stop(server: Server, venues: Venues) -> None:
    server.close()
    venues.drop_all()
    await server.wait_closed()


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        message = f"port {port} on {host} is in use: stop what listens there or choose another"
        raise OSError(errno.EADDRINUSE, message) from error
    return listener
