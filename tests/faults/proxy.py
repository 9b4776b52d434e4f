"""A proxy on loopback: a connection that can be slow, frozen, or cut at the worst moment.

In        where the real server is; words after which the connection is lost.
Promises  what was cut was handed on and answered before, and the answer is lost; nothing is lost
          otherwise.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
PIECE_BYTES = 65_536


@dataclass
class Proxy:
    """Hand bytes on between clients and one server.

    Attributes:
        delay_s: how long every piece is held back, each way.
        lose_after: what a client says before the answer, and the connection, are lost.
        losses: how many times still; each counts down.
    """

    to_port: int
    port: int = 0
    delay_s: float = 0.0
    lose_after: bytes = b""
    losses: int = 0
    lost: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Cut every connection now."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one connection on until either side ends it."""
        try:
            there, back = await asyncio.open_connection(HOST, self.to_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._open |= both
        doomed = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hand(reader, back, both, doomed, asks=True))
                tasks.create_task(self._hand(there, writer, both, doomed, asks=False))
        finally:
            self._open -= both

    async def _hand(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
        doomed: asyncio.Event,
        *,
        asks: bool,
    ) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(PIECE_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if asks and self.losses > 0 and self.lose_after in piece:
                    self.losses -= 1
                    doomed.set()
                if not asks and doomed.is_set():
                    # The server has done it; nobody will hear so.
                    self.lost += 1
                    break
                sink.write(piece)
                await sink.drain()
        for each in both:
            each.transport.abort()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Serve a proxy to a port of loopback."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.sleep(0)
