"""Lives: the product's processes, which die in the middle of anything and are started again.

Holds     what one start of a process is doing; whether it still lives.
Promises  a killed process does nothing more: no statement, no call, no clean-up reaches anybody;
          what it did in memory is gone; an error that the product does not mean is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from chain.trouble import NotKnown
from storage.again import PASSING
from storage.leases import LeaseLostError
from streams.relay import BrokerAwayError

Loop = Callable[[], Coroutine[Any, Any, None]]

MEANT = (*PASSING, NotKnown, BrokerAwayError, LeaseLostError)
"""What may end a process: trouble outside that lasted too long."""


class Killed(BaseException):
    """This process is dead and does not know it yet."""


@dataclass
class Life:
    """One start of a process.

    Attributes:
        spared: nothing kills it and nothing cancels its tasks; trouble of other kinds it has.
    """

    name: str
    spared: bool = False
    lives: bool = True
    tasks: "list[asyncio.Task[None]]" = field(default_factory=list)
    ends: list[Callable[[], None]] = field(default_factory=list)

    def check(self) -> None:
        """Stop whoever acts for a dead process."""
        if not self.lives:
            raise Killed(self.name)

    def kill(self) -> None:
        """End it here and now; a second time is once."""
        if not self.lives:
            return
        self.lives = False
        for end in list(self.ends):
            end()
        for task in self.tasks:
            task.cancel()

    async def die(self) -> None:
        """End it at the caller's own place, which does not go on."""
        self.kill()
        await asyncio.get_running_loop().create_future()

    async def cancel_one(self, choice: int) -> None:
        """Cancel one of its tasks: the one that asks, if it is among them."""
        own = asyncio.current_task()
        task = own if own in self.tasks else self.tasks[choice % len(self.tasks)]
        assert task is not None, "a life has tasks"
        task.cancel()
        # The one that is cancelled goes on from here when it was this one.
        await asyncio.sleep(0)

    async def run(self, loops: Sequence[Loop]) -> list[BaseException]:
        """Do all loops until it is killed or one of them fails; return what was not meant.

        A loop that is cancelled is begun anew, as its process would do.
        """
        failed: list[BaseException] = []
        over = asyncio.Event()

        async def keep(loop: Loop) -> None:
            while self.lives:
                work = asyncio.ensure_future(loop())
                self.tasks.append(work)
                try:
                    await asyncio.wait([work])
                finally:
                    self.tasks.remove(work)
                    work.cancel()
                if work.cancelled():
                    continue
                error = work.exception()
                if error is not None and self.lives:
                    failed.extend(unmeant(error))
                over.set()
                return

        keepers = [asyncio.ensure_future(keep(loop)) for loop in loops]
        self.ends.append(over.set)
        try:
            await over.wait()
        finally:
            self.kill()
            await asyncio.wait(keepers)
        for keeper in keepers:
            if not keeper.cancelled() and (error := keeper.exception()) is not None:
                failed.append(error)
        return failed


def unmeant(error: BaseException) -> list[BaseException]:
    """Return what the product does not mean, out of groups too."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in unmeant(each)]
    if isinstance(error, (*MEANT, Killed, asyncio.CancelledError)):
        return []
    return [error]


Work = Callable[[], Awaitable[None]]
