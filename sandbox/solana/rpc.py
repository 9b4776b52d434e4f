"""rpc: one RPC address: JSON-RPC over HTTP and PubSub over websockets, with the node's faults.

In        HTTP requests, single or batched; websocket frames.
Out       answers and notifications, or what the faults make of them.
Promises  a fault hits before the work, but for those that say the work was done.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sandbox.solana.account_methods import ACCOUNT_METHODS
from sandbox.solana.block_methods import BLOCK_METHODS
from sandbox.solana.faults import FaultKind
from sandbox.solana.fee_methods import FEE_METHODS
from sandbox.solana.history_methods import HISTORY_METHODS
from sandbox.solana.methods import Method
from sandbox.solana.node import Node
from sandbox.solana.parameters import Parameters
from sandbox.solana.pubsub import PubSub, Socket
from sandbox.solana.refusals import Json, RpcRefusal
from sandbox.solana.sending_methods import SENDING_METHODS, checked_transaction
from sandbox.solana.time_methods import TIME_METHODS

METHODS: Mapping[str, Method] = {
    **TIME_METHODS,
    **BLOCK_METHODS,
    **ACCOUNT_METHODS,
    **HISTORY_METHODS,
    **FEE_METHODS,
    **SENDING_METHODS,
}
BODY_BYTES_MAX = 50 * 1024
_PADDING = "x" * 16_000_000
_FAR = 1_000_000
_HEIGHTS = frozenset({"slot", "absoluteSlot", "blockHeight", "lastValidBlockHeight"})
_OTHER_SIGNATURE = "2" * 87
_REFUSING = (
    FaultKind.UNAVAILABLE,
    FaultKind.THROTTLED,
    FaultKind.SILENT,
    FaultKind.HTML,
)
_SPOILING = (FaultKind.LATE, FaultKind.TRUNCATED, FaultKind.HUGE)
_LYING = (
    FaultKind.ERROR,
    FaultKind.UNHEALTHY,
    FaultKind.SWALLOWED,
    FaultKind.WRONG_SIGNATURE,
    FaultKind.WRONG_HEIGHT,
    FaultKind.DENIED,
    FaultKind.CLAIMED,
    FaultKind.FORGOTTEN,
)
_NOTHING: Mapping[str, Json] = {
    "getTransaction": None,
    "getSignaturesForAddress": [],
    "getTransactionsForAddress": {"data": [], "paginationToken": None},
}
_LIES_ABOUT: Mapping[FaultKind, frozenset[str]] = {
    FaultKind.SWALLOWED: frozenset({"sendTransaction"}),
    FaultKind.WRONG_SIGNATURE: frozenset({"sendTransaction"}),
    FaultKind.WRONG_HEIGHT: frozenset(
        {"getSlot", "getBlockHeight", "getEpochInfo", "getLatestBlockhash"}
    ),
    FaultKind.DENIED: frozenset({"getSignatureStatuses", *_NOTHING}),
    FaultKind.CLAIMED: frozenset({"getSignatureStatuses"}),
    FaultKind.FORGOTTEN: frozenset({"getSignatureStatuses"}),
}

log = structlog.get_logger()


class Call(msgspec.Struct):
    """A JSON-RPC call; one without an id is a notification and is not answered."""

    method: str
    params: Any = None
    id: str | int | msgspec.UnsetType | None = msgspec.UNSET


class Rpc:
    """Serve one node."""

    def __init__(self, node: Node, stopping: asyncio.Event) -> None:
        self.node = node
        self.pubsub = PubSub(node)
        self._stopping = stopping
        self.app = Starlette(
            routes=[
                Route("/", self._post, methods=["POST"]),
                Route("/health", self._health),
                WebSocketRoute("/", self._socket),
                WebSocketRoute("/ws", self._socket),
            ]
        )

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _post(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return PlainTextResponse("Payload Too Large", 413)
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _json(_failed(None, RpcRefusal(-32700, "Parse error")))
        calls = asked if isinstance(asked, list) else [asked]
        if not calls:
            return _json(_failed(None, RpcRefusal(-32600, "Invalid request")))
        methods = [one.get("method") for one in calls if isinstance(one, dict)]
        hit = self._strike(methods, _REFUSING)
        if hit is not None:
            return await self._refused(hit)
        spoilt = self._strike(methods, _SPOILING)
        answers = [answer for one in calls if (answer := self._answer(one, None)) is not None]
        if not answers:
            return Response(status_code=200)
        text = msgspec.json.encode(answers if isinstance(asked, list) else answers[0])
        return _spoilt(text, spoilt)

    async def _refused(self, hit: FaultKind) -> Response:
        match hit:
            case FaultKind.UNAVAILABLE:
                return PlainTextResponse("Service Unavailable", 503)
            case FaultKind.THROTTLED:
                error = RpcRefusal(-32429, "rate limited").body()
                return _json({"jsonrpc": "2.0", "error": error, "id": None}, 429)
            case FaultKind.HTML:
                return Response("<html><body>502 Bad Gateway</body></html>", 200, None, "text/html")
            case _:
                await self._stopping.wait()
                return Response(status_code=503)

    def _strike(self, methods: list[object], kinds: tuple[FaultKind, ...]) -> FaultKind | None:
        for method in methods:
            if isinstance(method, str) and (hit := self.node.faults.strike(method, kinds)):
                log.info("fault", node=self.node.name, kind=hit, method=method)
                return hit
        return None

    def _answer(self, asked: object, socket: Socket | None) -> dict[str, Json] | None:
        try:
            call = msgspec.convert(asked, Call)
        except msgspec.ValidationError:
            return _failed(None, RpcRefusal(-32600, "Invalid request"))
        wants_answer = not isinstance(call.id, msgspec.UnsetType)
        number = None if isinstance(call.id, msgspec.UnsetType) else call.id
        try:
            result = self._result(call.method, Parameters(call.params), socket)
            answer: dict[str, Json] = {"jsonrpc": "2.0", "result": result, "id": number}
        except RpcRefusal as refusal:
            answer = _failed(number, refusal)
        except Exception as failure:  # noqa: BLE001 - one bad call must not take the server down
            log.error("call_failed", method=call.method, error=repr(failure))
            answer = _failed(number, RpcRefusal(-32603, "Internal error"))
        return answer if wants_answer else None

    def _result(self, method: str, given: Parameters, socket: Socket | None) -> Json:
        if socket is not None and method.endswith("ubscribe"):
            return self.pubsub.answer(socket, method, given)
        work = METHODS.get(method)
        if work is None:
            raise RpcRefusal(-32601, "Method not found")
        kinds = tuple(
            kind for kind in _LYING if kind not in _LIES_ABOUT or method in _LIES_ABOUT[kind]
        )
        hit = self._strike([method], kinds)
        match hit:
            case None:
                return work(self.node, given)
            case FaultKind.ERROR:
                raise RpcRefusal(-32603, "Internal error")
            case FaultKind.UNHEALTHY:
                raise RpcRefusal(-32005, "Node is unhealthy", {"numSlotsBehind": 200})
            case FaultKind.SWALLOWED:
                transaction, _ = checked_transaction(self.node, given)
                return str(transaction.signatures[0])
            case FaultKind.WRONG_SIGNATURE:
                work(self.node, given)
                return _OTHER_SIGNATURE
            case FaultKind.WRONG_HEIGHT:
                return _far_ahead(work(self.node, given))
            case _:
                return self._lie_of_status(hit, method, work, given)

    def _lie_of_status(self, hit: FaultKind, method: str, work: Method, given: Parameters) -> Json:
        if method in _NOTHING:
            return _NOTHING[method]
        asked = given.list(0, 256)
        if hit is FaultKind.FORGOTTEN and given.config(1).flag("searchTransactionHistory"):
            return work(self.node, given)
        slot = self.node.head("finalized")
        claimed: Json = {
            "slot": slot,
            "confirmations": None,
            "err": None,
            "status": {"Ok": None},
            "confirmationStatus": "finalized",
        }
        one = claimed if hit is FaultKind.CLAIMED else None
        return {
            "context": {"slot": self.node.head("processed")},
            "value": [one for _ in asked],
        }

    async def _socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        socket = self.pubsub.open()
        tasks = [
            asyncio.create_task(self._read(websocket, socket)),
            asyncio.create_task(self._write(websocket, socket)),
            asyncio.create_task(_until(socket.overflown)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with contextlib.suppress(WebSocketDisconnect):
                    task.result()
        finally:
            self.pubsub.close(socket)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _read(self, websocket: WebSocket, socket: Socket) -> None:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            try:
                asked = msgspec.json.decode(message.get("text") or message.get("bytes") or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                socket.say(_failed(None, RpcRefusal(-32700, "Parse error")))
                continue
            answer = self._answer(asked, socket)
            if answer is not None:
                socket.say(answer)
            self.pubsub.tell()

    async def _write(self, websocket: WebSocket, socket: Socket) -> None:
        while (message := await socket.queue.get()) is not None:
            await websocket.send_text(message.decode())
        await websocket.close(1001)


def _far_ahead(told: Json) -> Json:
    """Move every slot and height in an answer far into the future."""
    if isinstance(told, dict):
        return {
            name: _far_ahead(one) if name in _HEIGHTS or isinstance(one, dict) else one
            for name, one in told.items()
        }
    return told + _FAR if isinstance(told, int) else told


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _failed(number: str | int | None, refusal: RpcRefusal) -> dict[str, Json]:
    return {"jsonrpc": "2.0", "error": refusal.body(), "id": number}


def _json(answer: dict[str, Json], status: int = 200) -> Response:
    headers = {"Retry-After": "1"} if status == 429 else None
    return Response(msgspec.json.encode(answer), status, headers, "application/json")


def _spoilt(text: bytes, hit: FaultKind | None) -> Response:
    match hit:
        case FaultKind.LATE:
            return PlainTextResponse("Gateway Timeout", 504)
        case FaultKind.TRUNCATED:
            text = text[: len(text) // 2]
        case FaultKind.HUGE:
            text = b'{"padding":"' + _PADDING.encode() + b'",' + text[1:]
        case _:
            pass
    return Response(text, 200, None, "application/json")
