"""Wake: the one shape of every agent that a wake-up message calls.

In        wake-ups, which say nothing but *look*; a claim: one transaction that takes what is due.
Out       nothing is left to claim.
Promises  a wake-up is acknowledged at once, as the rows are the fact and the sweep makes the same
          claim; passing trouble with the database is waited out, anything else escapes and ends
          the process.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from storage.again import again

Claim: TypeAlias = Callable[[], Awaitable[int]]
"""Take what is due in one transaction; return how many rows were done, 0 when none is left."""


class WakeUp(Protocol):
    """A message that says *look*."""

    def ack(self) -> bool:
        """Acknowledge it."""


class WakeUps(Protocol):
    """A Faust stream of them."""

    def noack(self) -> "WakeUps":
        """Return the stream without automatic acknowledgements."""

    def events(self) -> AsyncIterator[WakeUp]:
        """Return the messages one after another."""


def wake_agent(
    claims: Sequence[Claim], note_progress: Callable[[], None] = lambda: None
) -> Callable[[Any], Awaitable[None]]:
    """Return an agent that drains ``claims`` whenever it is woken.

    It takes no other wake-up meanwhile, so each claim is told by ``note_progress``.
    """

    async def agent(stream: WakeUps) -> None:
        async for wake_up in stream.noack().events():
            wake_up.ack()
            await drain(claims, note_progress)

    return agent


async def drain(claims: Sequence[Claim], note_progress: Callable[[], None] = lambda: None) -> int:
    """Claim until nothing is left, one claim after another; return how many rows were done."""
    done = 0
    for claim in claims:
        while count := await again(claim):
            done += count
            note_progress()
    return done
