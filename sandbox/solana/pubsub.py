"""pubsub: what a node tells over its sockets, as its own heads move.

In        subscriptions of one socket; a call whenever the chain may have changed.
Out       notifications, in the order of the chain, into the socket's bounded queue.
Promises  a signature is told once; an account when it differs from what was last told; a socket
          that does not read is closed rather than waited for.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from solders.pubkey import Pubkey

from sandbox.solana.chain import Commitment
from sandbox.solana.faults import FaultKind
from sandbox.solana.json_forms import account_json
from sandbox.solana.node import Bank, Node
from sandbox.solana.parameters import Config, Parameters, address_of, signature_of
from sandbox.solana.refusals import Json, RpcRefusal, invalid_params

_QUEUE_MAX = 2_000
_SUBSCRIPTIONS_MAX = 10_000


@dataclass(slots=True)
class Subscription:
    """One thing a socket wants to hear, and how far it has been told."""

    number: int
    kind: str
    commitment: Commitment
    told_upto: int
    address: Pubkey | None = None
    signature: str = ""
    encoding: str = "binary"
    last: Json = None
    slot: int = 0
    forks: int = 0


@dataclass(slots=True, eq=False)
class Socket:
    """One open socket: its subscriptions and what waits to be sent; ``None`` ends it."""

    node: Node
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_QUEUE_MAX))
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    ended: bool = False
    overflown: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, message: dict[str, Json]) -> None:
        """Queue a message, or give the socket up when too many wait."""
        if self.ended:
            return
        if self.queue.qsize() >= _QUEUE_MAX - 1:
            self.ended = True
            self.overflown.set()
            return
        self.queue.put_nowait(msgspec.json.encode(message))

    def end(self) -> None:
        """Let the socket be closed behind what was already queued."""
        if not self.ended:
            self.ended = True
            self.queue.put_nowait(None)


class PubSub:
    """Hold the sockets of one node and tell them what is new."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sockets: set[Socket] = set()
        self._numbers = 0
        self.wanted = asyncio.Event()

    def open(self) -> Socket:
        """Begin a socket."""
        socket = Socket(self._node)
        self._sockets.add(socket)
        return socket

    def close(self, socket: Socket) -> None:
        """Forget a socket."""
        self._sockets.discard(socket)
        self._note_wanted()

    def cut(self) -> int:
        """Close every socket and return how many there were."""
        for socket in self._sockets:
            socket.end()
        return len(self._sockets)

    def answer(self, socket: Socket, method: str, given: Parameters) -> Json:
        """Subscribe or unsubscribe."""
        if method.endswith("Unsubscribe"):
            return self._unsubscribe(socket, method, given)
        begin = _BEGINNINGS.get(method)
        if begin is None:
            raise RpcRefusal(-32601, "Method not found")
        if len(socket.subscriptions) >= _SUBSCRIPTIONS_MAX:
            raise RpcRefusal(-32603, "Internal error: too many subscriptions")
        subscription = begin(self._node, given)
        subscription.number = self._numbers
        subscription.forks = self._node.chain.forks
        self._numbers += 1
        socket.subscriptions[subscription.number] = subscription
        self.wanted.set()
        return subscription.number

    def tell(self) -> None:
        """Tell every subscription what its head has reached."""
        faults = {fault.kind for fault in self._node.faults.standing()}
        for socket in list(self._sockets):
            for subscription in list(socket.subscriptions.values()):
                if FaultKind.INVENTED in faults:
                    _invent(self._node, socket, subscription)
                elif FaultKind.MUTE not in faults:
                    _TELLINGS[subscription.kind](self._node, socket, subscription)

    def _unsubscribe(self, socket: Socket, method: str, given: Parameters) -> Json:
        number = given.whole(0)
        subscription = socket.subscriptions.get(number)
        if subscription is None or method != f"{subscription.kind}Unsubscribe":
            raise invalid_params("Invalid subscription id.")
        del socket.subscriptions[number]
        self._note_wanted()
        return True

    def _note_wanted(self) -> None:
        if not any(socket.subscriptions for socket in self._sockets):
            self.wanted.clear()


def _begin_account(node: Node, given: Parameters) -> Subscription:
    config = given.config(1)
    subscription = _begun(node, "account", config)
    subscription.address = given.address(0)
    subscription.encoding = config.text("encoding", "binary")
    bank = Bank(node.chain, node.head(subscription.commitment))
    subscription.last = account_json(bank.account(subscription.address), subscription.encoding)
    return subscription


def _begin_signature(node: Node, given: Parameters) -> Subscription:
    subscription = _begun(node, "signature", given.config(1))
    subscription.signature = signature_of(given.at(0))
    return subscription


def _begin_logs(node: Node, given: Parameters) -> Subscription:
    subscription = _begun(node, "logs", given.config(1))
    wanted = given.at(0)
    if isinstance(wanted, dict):
        mentions = Config(wanted).texts("mentions")
        if len(mentions) != 1:
            raise invalid_params("Invalid Request: Only 1 address supported")
        subscription.address = address_of(mentions[0])
    elif wanted not in ("all", "allWithVotes"):
        raise invalid_params("Invalid params: logs of all, or of one address.")
    return subscription


def _begin_slot(node: Node, _given: Parameters) -> Subscription:
    return _begun(node, "slot", Config({"commitment": "processed"}))


def _begin_root(node: Node, _given: Parameters) -> Subscription:
    return _begun(node, "root", Config({}))


def _begun(node: Node, kind: str, config: Config) -> Subscription:
    commitment = config.commitment()
    bank = Bank(node.chain, node.head(commitment))
    return Subscription(0, kind, commitment, bank.count(), slot=bank.slot)


def _tell_account(node: Node, socket: Socket, subscription: Subscription) -> None:
    bank = Bank(node.chain, node.head(subscription.commitment))
    count = bank.count()
    if count == subscription.told_upto and subscription.forks == node.chain.forks:
        return
    subscription.told_upto, subscription.forks = count, node.chain.forks
    assert subscription.address is not None, "an account subscription has an address"
    account = account_json(bank.account(subscription.address), subscription.encoding)
    if account != subscription.last:
        subscription.last = account
        # A node tells an account that is gone as an empty one.
        _notify(socket, subscription, bank, account or _GONE)


def _tell_signature(node: Node, socket: Socket, subscription: Subscription) -> None:
    bank = Bank(node.chain, node.head(subscription.commitment))
    landed = bank.landed(subscription.signature)
    if landed is not None:
        del socket.subscriptions[subscription.number]
        _notify(socket, subscription, bank, {"err": landed.outcome.error})


def _tell_logs(node: Node, socket: Socket, subscription: Subscription) -> None:
    bank = Bank(node.chain, node.head(subscription.commitment))
    count = bank.count()
    first = min(subscription.told_upto, count)
    if subscription.forks != node.chain.forks:
        first = min(first, node.chain.forked_at)
    subscription.told_upto, subscription.forks = count, node.chain.forks
    for landed in node.chain.history.between(first, count):
        if subscription.address is None or subscription.address in landed.keys.all:
            _notify(
                socket,
                subscription,
                Bank(node.chain, landed.slot),
                {
                    "signature": landed.signature,
                    "err": landed.outcome.error,
                    "logs": list(landed.outcome.logs),
                },
            )


def _tell_slot(node: Node, socket: Socket, subscription: Subscription) -> None:
    blocks = node.chain.blocks
    head, root = node.head("processed"), node.head("finalized")
    # Slots that passed while nobody looked are told too, but never more than a few.
    for height in range(
        max(blocks.height(subscription.slot) + 1, blocks.height(head) - 31),
        blocks.height(head) + 1,
    ):
        slot = blocks.slot_of(height)
        told: Json = {"parent": blocks.slot_of(height - 1), "root": root, "slot": slot}
        _say(socket, subscription, told)
    subscription.slot = max(subscription.slot, head)


def _tell_root(node: Node, socket: Socket, subscription: Subscription) -> None:
    root = node.head("finalized")
    if root > subscription.slot:
        subscription.slot = root
        _say(socket, subscription, root)


def _invent(node: Node, socket: Socket, subscription: Subscription) -> None:
    bank = Bank(node.chain, node.head(subscription.commitment))
    if subscription.kind == "signature":
        del socket.subscriptions[subscription.number]
        _notify(socket, subscription, bank, {"err": None})
    elif subscription.kind == "account" and subscription.last != _INVENTED:
        subscription.last = _INVENTED
        _notify(socket, subscription, bank, _INVENTED)


def _notify(socket: Socket, subscription: Subscription, bank: Bank, value: Json) -> None:
    _say(socket, subscription, {"context": {"slot": bank.slot}, "value": value})


def _say(socket: Socket, subscription: Subscription, result: Json) -> None:
    socket.say(
        {
            "jsonrpc": "2.0",
            "method": f"{subscription.kind}Notification",
            "params": {"result": result, "subscription": subscription.number},
        }
    )


_GONE: dict[str, Json] = {
    "data": ["", "base64"],
    "executable": False,
    "lamports": 0,
    "owner": "11111111111111111111111111111111",
    "rentEpoch": 0,
    "space": 0,
}
_INVENTED: dict[str, Json] = {**_GONE, "lamports": 10**15}
_BEGINNINGS: Mapping[str, Callable[[Node, Parameters], Subscription]] = {
    "accountSubscribe": _begin_account,
    "signatureSubscribe": _begin_signature,
    "logsSubscribe": _begin_logs,
    "slotSubscribe": _begin_slot,
    "rootSubscribe": _begin_root,
}
_TELLINGS: Mapping[str, Callable[[Node, Socket, Subscription], None]] = {
    "account": _tell_account,
    "signature": _tell_signature,
    "logs": _tell_logs,
    "slot": _tell_slot,
    "root": _tell_root,
}
