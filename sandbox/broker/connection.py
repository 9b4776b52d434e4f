"""Connection: one client's socket; requests come in order and are answered in order.

In        bytes from the socket.
Out       answers, one after the other, as the protocol wants; the next request waits for the one
          before.
Promises  a client that does not read its answers is not read from; nonsense closes the connection.
Why       a protocol rather than streams: an answer that is ready costs no task and no switch.
"""

import asyncio
import struct
from collections import deque
from typing import cast

import structlog

from sandbox.broker.handlers import handle
from sandbox.broker.parts import Caller, HangUp, Later, Parts
from sandbox.broker.wire import Fields, Malformed, Request, read_request, write_answer

log = structlog.get_logger()

FRAME_BYTES_MAX = 64 * 2**20
_WAITING_FRAMES_MAX = 64
_LENGTH = struct.Struct(">i")


class Connection(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, parts: Parts, connections: "set[Connection]") -> None:
        self._parts = parts
        self._connections = connections
        self._incoming = bytearray()
        self._frames: deque[bytes] = deque()
        self._busy = False
        self._clogged = False
        self._later: Later | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._caller = Caller("", "", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._caller = Caller(peer[0], own[0], own[1])
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what was waiting is called off."""
        self._connections.discard(self)
        self._transport = None
        self._frames.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._later is not None:
            self._later.answer.cancel()

    def pause_writing(self) -> None:
        """Read no further request while answers pile up."""
        self._clogged = True

    def resume_writing(self) -> None:
        """Go on."""
        self._clogged = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what came in."""
        self._incoming += data
        while len(self._incoming) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming)
            if not 0 < length <= FRAME_BYTES_MAX:
                self._hang_up(f"a frame of {length} bytes")
                return
            end = _LENGTH.size + length
            if len(self._incoming) < end:
                break
            self._frames.append(bytes(self._incoming[_LENGTH.size : end]))
            del self._incoming[:end]
        if len(self._frames) > _WAITING_FRAMES_MAX and self._transport is not None:
            self._transport.pause_reading()
        if self._frames and self._later is not None and not self._parts.faults.frozen:
            self._later.hurry()
        self._go_on()

    def cut(self) -> None:
        """Close at once, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def _go_on(self) -> None:
        while self._frames and not self._busy and not self._clogged:
            if self._parts.faults.frozen:
                self._busy = True
                self._parts.faults.when_thawed(self._thawed)
                return
            self._begin(self._frames.popleft())
        if self._transport is not None and not self._frames:
            self._transport.resume_reading()

    def _thawed(self) -> None:
        self._busy = False
        self._go_on()

    def _begin(self, frame: bytes) -> None:
        try:
            request = read_request(frame)
            outcome = handle(self._parts, request, self._caller)
        except (Malformed, HangUp) as reason:
            self._hang_up(str(reason))
            return
        except OSError as error:
            # The disk; the client asks again on a new connection.
            log.error("request_failed", error=str(error))
            self._hang_up("the disk did not do what it should")
            return
        if isinstance(outcome, Later):
            self._busy, self._later = True, outcome
            outcome.answer.add_done_callback(lambda answer: self._came(request, answer))
            if self._frames:
                outcome.hurry()
        elif outcome is not None:
            self._answer(request, outcome)

    def _came(self, request: Request, answer: asyncio.Future[Fields]) -> None:
        self._busy, self._later = False, None
        if answer.cancelled():
            self._hang_up("its group let it go")
            return
        self._answer(request, answer.result())
        self._go_on()

    def _answer(self, request: Request, fields: Fields) -> None:
        answer = write_answer(request, fields)
        faults = self._parts.faults
        if faults.frozen:
            self._busy = True
            faults.when_thawed(lambda: self._write_late(answer))
        elif faults.delay_ms:
            self._busy = True
            self._timer = asyncio.get_running_loop().call_later(
                faults.delay_ms / 1000, self._write_late, answer
            )
        elif self._transport is not None:
            self._transport.write(answer)

    def _write_late(self, answer: bytes) -> None:
        if self._parts.faults.frozen:
            self._parts.faults.when_thawed(lambda: self._write_late(answer))
            return
        self._busy = False
        if self._transport is not None:
            self._transport.write(answer)
        self._go_on()

    def _hang_up(self, reason: str) -> None:
        if self._transport is not None:
            log.warning("connection_closed", client=self._caller.host, reason=reason)
            self._frames.clear()
            self._incoming.clear()
            self._transport.close()
