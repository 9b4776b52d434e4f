"""Topics for tests on Apache Kafka: a cluster that others use too is left without ours."""

import asyncio

from streams.topics import declared
from tests.broker.clients import PATIENCE_SECONDS, administering


async def delete_topics(bootstrap: str) -> None:
    """Delete our topics, with what groups have committed for them, and wait until none is shown."""
    names = [topic.name for topic in declared()]
    async with administering(bootstrap) as admin, asyncio.timeout(PATIENCE_SECONDS):
        await admin.delete_topics(names)
        while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 - a cluster tells nobody
            await asyncio.sleep(0.05)
