"""Parts: what a broker is made of, as its answers see it.

Holds     one of each: topics, committed offsets, groups, faults, and the clock.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.broker.faults import Faults
from sandbox.broker.groups import Groups
from sandbox.broker.offsets import Offsets
from sandbox.broker.topics import Topics
from sandbox.broker.wire import Fields

NODE_ID = 1
CLUSTER_ID = "rooms-sandbox"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one broker."""

    topics: Topics
    offsets: Offsets
    groups: Groups
    faults: Faults
    clock_ms: Callable[[], int]
    session_timeout_ms_range: range


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and by which address of ours it came."""

    host: str
    our_host: str
    our_port: int


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that comes later; ``hurry`` brings it about when the client has more to ask."""

    answer: asyncio.Future[Fields]
    hurry: Callable[[], None]


class HangUp(Exception):
    """The protocol's only way to say no here is to close the connection."""
