"""Producer: the way onto the broker, for all that we send.

In        messages with their keys.
Out       the broker's answer, waited for within a limit.
Promises  what was answered is stored by every copy that is in step, once and in order a partition.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.relay import BrokerAwayError, Message

REQUEST_LIMIT_MS: Final = 10_000
ANSWER_LIMIT_S: Final = 20.0


@asynccontextmanager
async def open_producer(bootstrap: str, *, name: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer whose messages are answered by all copies and never doubled by a retry.

    An idempotent producer asks again without end, so whoever waits for an answer sets the limit.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=name,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        request_timeout_ms=REQUEST_LIMIT_MS,
    )
    await producer.start()
    try:
        yield producer
    finally:
        try:
            async with asyncio.timeout(REQUEST_LIMIT_MS / 1000):
                await producer.stop()
        except TimeoutError:
            # What is still unanswered then was never acknowledged to anybody either.
            pass


class KafkaProducer:
    """Send batches for the relay."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def send_all(self, messages: Sequence[Message]) -> None:
        """Send in this order and wait until the broker has answered for all.

        Raises:
            BrokerAwayError: when it has not answered for each of them.
        """
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                answers = [
                    await self._producer.send(each.topic, each.value, key=each.key)
                    for each in messages
                ]
                await asyncio.gather(*answers)
        except (KafkaError, TimeoutError, OSError) as trouble:
            raise BrokerAwayError(f"no answer for {len(messages)} messages") from trouble
