"""Bell: wakes everyone who waits for something to have changed.

Promises  a change made after the last look is never missed, and nobody polls.
Why       one bell for all: waiters are few, and a look at the records is one indexed read.
"""

import asyncio


class Bell:
    """Wake every waiter at once; after ``close`` nobody waits any more."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.closed = False

    def ring(self) -> None:
        """Wake everyone who waits now."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    def close(self) -> None:
        """Wake everyone for the last time: the server stops."""
        self.closed = True
        self.ring()

    async def wait(self, limit_ms: int) -> None:
        """Wait for the next ring, at most so many milliseconds."""
        if self.closed or limit_ms <= 0:
            return
        try:
            async with asyncio.timeout(limit_ms / 1000):
                await self._rung.wait()
        except TimeoutError:
            return
