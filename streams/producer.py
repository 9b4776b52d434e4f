"""Producer: the way onto the broker, for all that we send.

In        messages with their keys.
Out       the broker's answer, waited for within a limit.
Promises  what was answered is stored by every copy that is in step, once and in order a partition.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.relay import BrokerAwayError, Message

REQUEST_LIMIT_MS: Final = 10_000
ANSWER_LIMIT_S: Final = 20.0
STOP_LIMIT_S: Final = 1.0
GIVE_UP_LIMIT_S: Final = 0.5


@contextlib.asynccontextmanager
async def open_producer(bootstrap: str, *, name: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer whose messages are answered by all copies and never doubled by a retry.

    An idempotent producer asks again without end, so whoever waits for an answer sets the limit.
    """
    producer = _producer(bootstrap, name)
    try:
        await producer.start()
        yield producer
    finally:
        await _end(producer, REQUEST_LIMIT_MS / 1000)


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
            failed, self._producer = self._producer, None
            if failed is not None:
                await _give_up(failed)
            raise BrokerAwayError(
                f"no answer for {len(messages)} messages: {type(trouble).__name__}"
            ) from trouble

    async def close(self) -> None:
        """Let go of the broker."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _end(producer, STOP_LIMIT_S)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            # Kept before it is started: one that cannot start must be ended as well.
            self._producer = _producer(self._bootstrap, self._name)
            await self._producer.start()
        return self._producer


def _producer(bootstrap: str, name: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=name,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        request_timeout_ms=REQUEST_LIMIT_MS,
    )


async def _end(producer: AIOKafkaProducer, limit_s: float) -> None:
    """Stop a producer; what the broker does not answer for in time is given up."""
    try:
        async with asyncio.timeout(limit_s):
            await producer.stop()
    except TimeoutError:
        await _give_up(producer)


async def _give_up(producer: AIOKafkaProducer) -> None:
    """End a producer that the broker does not answer, as its own stop waits without end.

    What is still unanswered was never acknowledged to anybody.
    """
    producer._closed = True  # noqa: SLF001
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(GIVE_UP_LIMIT_S):
            await asyncio.gather(producer._sender.close(), producer.client.close())  # noqa: SLF001


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
