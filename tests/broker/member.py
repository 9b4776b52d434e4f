"""A group member in a process of its own, to be killed: prints its partitions when it gets them."""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener


class Teller(ConsumerRebalanceListener):
    """Prints what it hears."""

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to do."""

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        sys.stdout.write(json.dumps(sorted(each.partition for each in assigned)) + "\n")
        sys.stdout.flush()


async def main(bootstrap: str, topic: str, group: str) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        session_timeout_ms=3_000,
        heartbeat_interval_ms=100,
        rebalance_timeout_ms=3_000,
    )
    consumer.subscribe([topic], listener=Teller())
    await consumer.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
