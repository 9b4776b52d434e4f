"""Relay: the one way from the outbox to the broker.

In        committed rows that have not been sent.
Out       public numbers for events; messages; the mark that the broker has answered.
Promises  one relay at a time on a database; numbers have no gaps and follow the order of telling;
          a row is marked only when the broker has it, so it is sent at least once.
Why       a number given when a row is written can be skipped by a reader for ever, because rows
          commit in another order than they are written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import msgspec
import structlog

from storage import leases, outbox
from storage.again import PASSING
from storage.connections import Connection, open_connection
from storage.leases import Lease
from storage.outbox import Unsent

log = structlog.get_logger()

BATCH_MAX: Final = 1_000
POLL_S: Final = 0.05
LEAD_POLL_S: Final = 0.5
SILENT_LIMIT_S: Final = 30.0
"""Longer than a producer waits for an answer: a relay that leads speaks at least between them."""

DATABASE_LIMIT_S: Final = 20.0


class BrokerAwayError(Exception):
    """The broker did not answer for a batch; what it took of it is not known."""


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the broker; without a key any partition will do."""

    topic: str
    key: bytes | None
    value: bytes


class Producer(Protocol):
    """What hands messages to the broker."""

    async def send_all(self, messages: Sequence[Message]) -> None:
        """Send in this order and wait until the broker has answered for all.

        Raises:
            BrokerAwayError: when it has not answered for each of them.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a broker that is away is waited for, in seconds."""

    pause_first_s: float = 0.1
    pause_max_s: float = 2.0
    limit_s: float = 60.0


async def relay(dsn: str, producer: Producer, *, patience: Patience | None = None) -> None:
    """Send what the outbox holds, whenever it is this process' turn, until cancelled.

    Args:
        dsn: the database; the relay has a connection of its own, which holds the lock.
        producer: the way to the broker.
        patience: how long a broker that is away is waited for.

    Raises:
        BrokerAwayError: when the broker was away for longer than ``patience`` allows.
    """
    loop = asyncio.get_running_loop()
    waits = patience or Patience()
    away_since: float | None = None
    while True:
        began = loop.time()
        try:
            await _turn(dsn, producer, waits)
            away_since = None
        except PASSING as trouble:
            # A lost connection has lost the lead too: ask for both anew.
            worked = loop.time() - began > DATABASE_LIMIT_S
            away_since = loop.time() if worked or away_since is None else away_since
            if loop.time() - away_since > DATABASE_LIMIT_S:
                raise
            log.warning("relay_lost_database", why=type(trouble).__name__)
        await asyncio.sleep(LEAD_POLL_S)


async def _turn(dsn: str, producer: Producer, patience: Patience) -> None:
    """Stand by until nobody else leads, then lead for as long as the connection lives."""
    async with open_connection(dsn, name="relay") as connection:
        take = partial(leases.take, connection, Lease.RELAY, silent_limit_s=SILENT_LIMIT_S)
        while not await take():  # noqa: ASYNC110 - a lock that is free tells nobody
            await asyncio.sleep(LEAD_POLL_S)
        log.info("relay_leads")
        # All that it writes goes through the connection that holds the lock: who has lost the
        # lock can write no more.
        async with outbox.listening(connection) as bell:
            while True:
                bell.clear()
                if not await relay_batch(connection, producer, patience):
                    await _rung(bell)


async def relay_batch(connection: Connection, producer: Producer, patience: Patience) -> int:
    """Number, send and mark one batch; return how many rows it had."""
    rows = await outbox.unsent(connection, BATCH_MAX)
    if not rows:
        return 0
    rows = await outbox.give_numbers(connection, rows)
    await _send(producer, messages_of(rows), patience, partial(leases.speak, connection))
    await outbox.mark_sent(connection, rows)
    return len(rows)


def messages_of(rows: Sequence[Unsent]) -> list[Message]:
    """Write rows as messages in their order; of wake-ups of a topic one is enough."""
    woken: set[str] = set()
    messages: list[Message] = []
    for row in rows:
        if not row.key:
            if row.topic in woken:
                continue
            woken.add(row.topic)
        payload: dict[str, Any] = dict(row.payload)
        if row.number is not None:
            payload["number"] = row.number
        key = row.key.encode() or None
        messages.append(Message(row.topic, key, msgspec.json.encode(payload)))
    return messages


async def _send(
    producer: Producer,
    messages: Sequence[Message],
    patience: Patience,
    speak: Callable[[], Awaitable[None]],
) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience.limit_s
    pause_s = patience.pause_first_s
    while True:
        try:
            await producer.send_all(messages)
        except BrokerAwayError as trouble:
            if loop.time() + pause_s > until:
                raise
            log.warning("broker_away", why=str(trouble), pause_s=pause_s)
        else:
            return
        # Who waits for the broker leads on: whoever stands by would wait for the same broker.
        await speak()
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, patience.pause_max_s)


async def _rung(bell: asyncio.Event) -> None:
    """Wait for the bell, but no longer than the poll: a lost ring must not hold anything up."""
    try:
        async with asyncio.timeout(POLL_S):
            await bell.wait()
    except TimeoutError:
        return
