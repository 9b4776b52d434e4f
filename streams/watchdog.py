"""Watchdog: ends a process whose reader stands still while its log goes on.

In        where the broker says that each log ends; how far the agents have come.
Out       an exception that ends the process, so that it is started again.
Promises  it asks the broker on connections of its own; a broker that gives no answer is no proof
          against the reader.
Why       a consumer can stop without an error (its group, its fetches, its threads); nobody sees
          that but one who compares.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from streams.app import App, Positions
from streams.log_ends import LogEnds

STILL_LIMIT_S: Final = 10.0
REBALANCE_LIMIT_S: Final = 30.0
LOOK_EVERY_S: Final = 1.0

Places = Mapping[tuple[str, int], int]

log = structlog.get_logger()


class StoodStill(Exception):
    """A reader did not move although its log went on, or its log is another than it read."""


class Stillness:
    """Judge by what was seen at each look whether a reader stands still. Pure: time is given.

    Attributes:
        standing: the topic, the partition and the place of which that was said last.
    """

    def __init__(self, still_limit_s: float = STILL_LIMIT_S) -> None:
        self._still_limit_s = still_limit_s
        self._stood: dict[tuple[str, int], tuple[int, float]] = {}
        self.standing: tuple[str, int, int] | None = None

    def excuse(self) -> None:
        """Take back what was said last: what lies behind that place is no message."""
        if self.standing is not None:
            del self._stood[self.standing[:2]]

    def look(self, ends: Places, read: Places, committed: Places, now_s: float) -> str | None:
        """Say what is wrong, or None.

        Args:
            ends: where each log of ours ended, asked after the two others.
            read: how far this process has read.
            committed: how far the group had finished, whoever did it.
        """
        self.standing = None
        for partition in [known for known in self._stood if known not in ends]:
            del self._stood[partition]
        for partition, end in ends.items():
            topic, number = partition
            place = read.get(partition, 0)
            if place > end:
                return f"{topic}/{number} ends at {end}, before {place}: it is another log"
            finished = committed.get(partition, 0)
            if finished <= end:
                place = max(place, finished)
            if place == end:
                self._stood.pop(partition, None)
                continue
            known, since_s = self._stood.get(partition, (place, now_s))
            if place != known:
                since_s = now_s
            self._stood[partition] = (place, since_s)
            if now_s - since_s >= self._still_limit_s:
                self.standing = (topic, number, place)
                return f"{topic}/{number} stands at {place} of {end} for {now_s - since_s:.0f} s"
        return None


async def watch(
    app: App,
    ends: LogEnds,
    places: Positions,
    *,
    still_limit_s: float = STILL_LIMIT_S,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Look until cancelled.

    Raises:
        StoodStill: when the process must end.
    """
    loop = asyncio.get_running_loop()
    stillness = Stillness(still_limit_s)
    progress = places.progress
    rebalancing_since_s: float | None = None
    while True:
        await asyncio.sleep(look_every_s)
        now_s = loop.time()
        if app.rebalancing:
            rebalancing_since_s = rebalancing_since_s or now_s
            if now_s - rebalancing_since_s >= REBALANCE_LIMIT_S:
                raise StoodStill(f"a rebalance lasts longer than {REBALANCE_LIMIT_S:.0f} s")
            continue
        rebalancing_since_s = None
        if places.progress != progress:
            # Many rooms take long to read, and whoever ends meanwhile would begin anew for ever.
            progress, stillness = places.progress, Stillness(still_limit_s)
        assigned = [(tp.topic, tp.partition) for tp in app.consumer.assignment()]
        try:
            read = dict(places.next_offset)
            committed = await ends.committed(app.conf.id, assigned)
            found = await ends.ends(assigned)
            wrong = stillness.look(found, read, committed, now_s)
            # Behind the last message there may still be the marker of a transaction.
            if stillness.standing and not await ends.has_message(*stillness.standing):
                stillness.excuse()
                continue
        except (KafkaError, TimeoutError, OSError) as trouble:
            log.warning("log_ends_unknown", why=type(trouble).__name__)
            continue
        if wrong is not None:
            raise StoodStill(wrong)
