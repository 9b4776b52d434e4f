"""Client: one connection to the sandbox's venues, with what is waiting to be sent to it.

In        acts of its session.
Out       frames, in order.
Promises  a slow reader is cut and never holds the others up; a half-open connection neither sends,
          hears nor closes until the other end gives up.
"""

import asyncio
from collections.abc import Callable, Iterable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from sandbox.venues.session import Act, Cut, Ping, Say, Session

WAITING_MAX = 10_000
ABNORMAL = 1006


class Socket(ServerConnection):
    """A websocket that can go deaf, and that tells of pings and pongs."""

    is_deaf = False
    client: "Client | None" = None

    def data_received(self, data: bytes) -> None:
        """Hear bytes, unless deaf."""
        if not self.is_deaf:
            super().data_received(data)

    def process_event(self, event: Frame | Request) -> None:  # type: ignore[override]
        """Tell the client's session of pings and pongs: some venues count them."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG) and self.client:
            self.client.beat(bytes(event.data), is_pong=event.opcode is Opcode.PONG)


class Client:
    """One client: its socket, its session, its queue."""

    def __init__(self, socket: Socket, session: Session, clock: Callable[[], int]) -> None:
        self.session = session
        self.cut_at: int | None = None
        self._socket = socket
        self._clock = clock
        self._waiting: asyncio.Queue[Act] = asyncio.Queue(WAITING_MAX)
        socket.client = self

    def act(self, acts: Iterable[Act]) -> None:
        """Queue what the session wants done."""
        for act in acts:
            if self._socket.is_deaf:
                return
            if self._waiting.full():
                self.drop()
                return
            self._waiting.put_nowait(act)

    def beat(self, payload: bytes, *, is_pong: bool) -> None:
        """Pass a websocket ping or pong on to the session."""
        self.act(self.session.beat(payload, self._clock(), is_pong=is_pong))

    def go_half_open(self) -> None:
        """Say, hear and close nothing from now on."""
        self._socket.is_deaf = True

    def drop(self) -> None:
        """End the TCP connection without a word."""
        self._socket.transport.abort()

    async def serve(self) -> None:
        """Carry the conversation until either end closes."""
        writer = asyncio.create_task(self._write())
        try:
            self.act(self.session.opened(self._clock()))
            async for message in self._socket:
                text = message if isinstance(message, str) else message.decode(errors="replace")
                self.act(self.session.heard(text, self._clock()))
        except ConnectionClosed:
            return
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while True:
                match await self._waiting.get():
                    case Say(text):
                        await self._socket.send(text)
                    case Ping(payload):
                        await self._socket.ping(payload)
                    case Cut(code, reason) if code != ABNORMAL:
                        await self._socket.close(code, reason)
                    case Cut():
                        self.drop()
        except ConnectionClosed:
            return
