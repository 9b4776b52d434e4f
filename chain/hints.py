"""Hints: the words of a node's PubSub protocol, as far as custody speaks it.

In        a signature or an address to hear of; a frame that came in.
Out       what to say; what a frame says.
Promises  a frame is read strictly, and what it says is a hint and nothing more: that something may
          have happened, never that it has.
Why       nodes drop notifications, send them late, and can send any. Truth is asked for, of two.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import msgspec

from chain import wire
from chain.trouble import Garbled
from rooms.units import Address, Lamports, Signature


class Kind(StrEnum):
    """Name what can be heard of, as the protocol's methods begin."""

    SIGNATURE = "signature"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to hear of: a transaction until it is final, or an address while it is wanted."""

    kind: Kind
    subject: str

    @classmethod
    def signature(cls, signature: Signature) -> "Topic":
        """Name a transaction of ours."""
        return cls(Kind.SIGNATURE, signature)

    @classmethod
    def account(cls, address: Address) -> "Topic":
        """Name an address."""
        return cls(Kind.ACCOUNT, address)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The node took our request and calls what it will tell by a number; 0 is one too."""

    request: int
    subscription: int


@dataclass(frozen=True, slots=True)
class Denied:
    """The node did not take our request."""

    request: int
    why: str


@dataclass(frozen=True, slots=True)
class Told:
    """The node says that something happened; ``lamports`` are what it says of an address."""

    subscription: int
    lamports: Lamports | None


Said: TypeAlias = Subscribed | Denied | Told


def subscribe(request: int, topic: Topic) -> str:
    """Ask to hear of something: a signature once it is final, an address once it is confirmed."""
    if topic.kind is Kind.SIGNATURE:
        options: dict[str, object] = {
            "commitment": "finalized",
            "enableReceivedNotification": False,
        }
    else:
        # Nothing of the data: an address of ours has none, and a stranger's could be large.
        options = {
            "commitment": "confirmed",
            "encoding": "base64",
            "dataSlice": {"offset": 0, "length": 0},
        }
    return _call(request, f"{topic.kind}Subscribe", [topic.subject, options])


def unsubscribe(request: int, kind: Kind, subscription: int) -> str:
    """Ask to hear of something no more."""
    return _call(request, f"{kind}Unsubscribe", [subscription])


def read(frame: bytes) -> Said | None:
    """Read a frame; nothing when it says nothing that matters here.

    Raises:
        Garbled: when it is no frame of this protocol.
    """
    try:
        said = wire.decode(frame, wire.Pushed)
        if isinstance(said.params, wire.PushedParams):
            result = wire.decode(bytes(said.params.result), wire.AtSlot[msgspec.Raw])
            return Told(said.params.subscription, _lamports(bytes(result.value)))
        if not isinstance(said.id, int):
            return None
        if isinstance(said.error, wire.Trouble):
            return Denied(said.id, said.error.message[:200])
        number = b"" if said.result is msgspec.UNSET else bytes(said.result)
        # What is answered to an unsubscription is true or false.
        if number in (b"true", b"false"):
            return None
        return Subscribed(said.id, wire.decode(number, wire.Count))
    except wire.Misshapen as error:
        raise Garbled(f"a node's socket said something else: {error}") from None


def _lamports(value: bytes) -> Lamports | None:
    """Return what an account is said to hold; a signature's notification has no such thing."""
    if not value.startswith(b"{"):
        return None
    there = wire.decode(value, wire.PushedValue).lamports
    return None if there is None else Lamports(there)


def _call(request: int, method: str, params: list[object]) -> str:
    call = {"jsonrpc": "2.0", "id": request, "method": method, "params": params}
    return msgspec.json.encode(call).decode()
