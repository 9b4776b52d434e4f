"""Member: one consumer of a group, and what it is told.

Holds     what it said when it joined, its assignment, and the answers it waits for.
"""

import asyncio
from dataclasses import dataclass, field

from sandbox.broker.codes import Code
from sandbox.broker.wire import Fields

NO_GENERATION = -1

Protocols = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class JoinWish:
    """What a client says when it joins."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols


@dataclass(slots=True, eq=False)
class Member:
    """One consumer of a group."""

    member_id: str
    wish: JoinWish
    assignment: bytes = b""
    joining: asyncio.Future[Fields] | None = None
    syncing: asyncio.Future[Fields] | None = None
    expiry: asyncio.TimerHandle | None = field(default=None, repr=False)

    def metadata_for(self, protocol: str) -> bytes:
        """Give what the member says under one protocol."""
        return dict(self.wish.protocols).get(protocol, b"")


def refused_join(member_id: str, code: Code) -> Fields:
    """Write the answer to a join that is refused."""
    return {
        "error_code": code,
        "generation_id": NO_GENERATION,
        "group_protocol": "",
        "leader_id": "",
        "member_id": member_id,
        "members": [],
    }


def synced(member: Member) -> Fields:
    """Write the answer to a sync: the member's assignment."""
    return {"error_code": Code.NONE, "member_assignment": member.assignment}


def answer_if_waiting(waiting: asyncio.Future[Fields], fields: Fields) -> None:
    """Answer a member, unless it has hung up."""
    if not waiting.done():
        waiting.set_result(fields)
