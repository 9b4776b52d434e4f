"""Producer: the way onto the broker, for all that we send.

In        messages with their keys.
Out       the broker's answer, waited for within a limit.
Promises  what was answered is stored by every copy that is in step, once and in order a partition.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.relay import BrokerAwayError, Message

REQUEST_LIMIT_MS: Final = 10_000
ANSWER_LIMIT_S: Final = 20.0
STOP_LIMIT_S: Final = 3.0


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
    try:
        await producer.start()
        yield producer
    finally:
        try:
            async with asyncio.timeout(REQUEST_LIMIT_MS / 1000):
                await producer.stop()
        except TimeoutError:
            # What is still unanswered then was never acknowledged to anybody either.
            pass


class KafkaProducer:
    """Send batches for the relay, with a new producer after each failure; close it at the end.

    A producer that has failed may still be trying, and may have numbers that the broker refuses.
    """

    def __init__(
        self, bootstrap: str, *, name: str, answer_limit_s: float = ANSWER_LIMIT_S
    ) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._answer_limit_s = answer_limit_s
        self._opened = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None

    async def send_all(self, messages: Sequence[Message]) -> None:
        """Send in this order and wait until the broker has answered for all.

        Raises:
            BrokerAwayError: when it has not answered for each of them in time.
        """
        try:
            async with asyncio.timeout(self._answer_limit_s):
                await _send(await self._started(), messages)
        except (KafkaError, TimeoutError, OSError) as trouble:
            await self.close()
            raise BrokerAwayError(
                f"no answer for {len(messages)} messages: {type(trouble).__name__}"
            ) from trouble

    async def close(self) -> None:
        """Let go of the broker."""
        self._producer = None
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._opened.aclose()
        except (KafkaError, TimeoutError, OSError):
            # It was not answered for, and whoever asked has been told so.
            self._opened = AsyncExitStack()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await self._opened.enter_async_context(
                open_producer(self._bootstrap, name=self._name)
            )
        return self._producer


async def _send(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    answers: list[asyncio.Future[object]] = []
    try:
        for each in messages:
            answer = await producer.send(each.topic, each.value, each.key)
            answers.append(answer)
        await asyncio.gather(*answers)
    finally:
        for answer in answers:
            # Of several failures one is raised; the others are looked at, too.
            if answer.done() and not answer.cancelled():
                answer.exception()
