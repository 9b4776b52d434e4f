"""Bell: wakes those in this process who wait for stored work.

Promises  a ring after the last look is never missed; a wait ends by itself at the floor.
"""

import asyncio


class Bell:
    """Wake every waiter at once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Return what the next ring sets; take it before looking for work."""
        return self._rung

    def ring(self) -> None:
        """Wake everyone who listens now."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()


async def wait(rung: asyncio.Event, limit_ms: int) -> None:
    """Wait for a ring, at most ``limit_ms``."""
    try:
        async with asyncio.timeout(limit_ms / 1_000):
            await rung.wait()
    except TimeoutError:
        return
