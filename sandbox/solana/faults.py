"""faults: what can be made to go wrong at one RPC address, as long or as often as asked.

Holds     the faults in force; each applies to some methods, a number of times, in a share of calls.
Promises  a fault changes answers, never the chain, but for ``swallowed`` and ``lost``, which keep a
          transaction from it.
"""

import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """Name what goes wrong."""

    ERROR = "error"  # a JSON-RPC internal error; nothing was done
    UNAVAILABLE = "unavailable"  # HTTP 503; nothing was done
    THROTTLED = "throttled"  # HTTP 429; nothing was done
    SILENT = "silent"  # no answer at all; nothing was done
    LATE = "late"  # done, and then HTTP 504: the sender cannot know
    SWALLOWED = "swallowed"  # a transaction is accepted and goes nowhere
    LOST = "lost"  # the same share of transactions, at every address, however often they are sent
    HTML = "html"  # a proxy's error page instead of JSON
    TRUNCATED = "truncated"  # half of the true answer
    HUGE = "huge"  # the true answer behind sixteen megabytes of padding
    WRONG_SIGNATURE = "wrong_signature"  # another signature than the transaction's
    WRONG_HEIGHT = "wrong_height"  # heights and slots far in the future
    DENIED = "denied"  # nothing ever landed, says this node
    CLAIMED = "claimed"  # every signature is finalized, says this node
    FORGOTTEN = "forgotten"  # only the history knows, the recent statuses are lost
    UNHEALTHY = "unhealthy"  # the node says it is behind
    MUTE = "mute"  # sockets stay open and tell nothing
    INVENTED = "invented"  # sockets tell at once, and once, of what has not happened


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong; no methods means all, no times means until cleared."""

    kind: FaultKind
    methods: frozenset[str] = frozenset()
    times: int | None = None
    percent: int = 100


class Faults:
    """Hold the faults of one RPC address."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - which call fails is no secret
        self._faults: list[Fault] = []

    def add(
        self,
        kind: FaultKind,
        methods: Iterable[str] = (),
        times: int | None = None,
        percent: int = 100,
    ) -> None:
        """Let something go wrong from now on."""
        if times is not None and times < 1:
            raise ValueError("times: at least once, or leave it out")
        if not 1 <= percent <= 100:
            raise ValueError("percent: from 1 to 100")
        self._faults.append(Fault(FaultKind(kind), frozenset(methods), times, percent))

    def clear(self) -> None:
        """Let everything go well again."""
        self._faults.clear()

    def standing(self) -> list[Fault]:
        """List the faults in force."""
        return list(self._faults)

    def loses(self, signature: str) -> bool:
        """Say whether a transaction is one of those that are lost: it follows from its name."""
        drawn = zlib.crc32(signature.encode()) % 100
        return any(fault.kind is FaultKind.LOST and drawn < fault.percent for fault in self._faults)

    def strike(self, method: str, kinds: Iterable[FaultKind]) -> FaultKind | None:
        """Return the fault that hits this call, and count it."""
        wanted = frozenset(kinds)
        for fault in self._faults:
            if fault.kind not in wanted or (fault.methods and method not in fault.methods):
                continue
            if fault.percent < 100 and self._dice.randrange(100) >= fault.percent:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault.kind
        return None
