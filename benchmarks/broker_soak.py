"""Broker soak: does a broker stay prompt and small while messages keep coming?

In        --minutes, --rate; --bootstrap for a broker that runs already, else the embedded one is
          started as a process of its own; --faust to consume with a Faust agent.
Out       a row a minute: latency from just before the send to the consumer, memory, and the
          machine's load, without which a slow minute cannot be judged.
Why       an open loop: messages are sent when they are due, however long the last one took.
Run       python benchmarks/broker_soak.py --minutes 10 --rate 200
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PAYLOAD_BYTES = 250
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Target:
    """The broker under test; without a process its memory is not known."""

    bootstrap: str
    process: psutil.Process | None

    def memory_mib(self) -> str:
        """Read the resident memory, for the table."""
        if self.process is None:
            return "-"
        return f"{self.process.memory_info().rss / 2**20:.1f}"

    def cpu_seconds(self) -> float:
        """Read the processor time used so far."""
        if self.process is None:
            return 0.0
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[Target]:
    """Start the embedded broker on an empty directory."""
    with tempfile.TemporaryDirectory() as data:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "sandbox.broker", "--data", data),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=REPOSITORY,
        )
        assert child.stdout is not None
        try:
            ready = json.loads(await asyncio.wait_for(child.stdout.readline(), 20))
            yield Target(f"127.0.0.1:{ready['port']}", psutil.Process(child.pid))
        finally:
            child.terminate()
            await child.wait()


@contextlib.asynccontextmanager
async def bare_consumer(
    bootstrap: str, topic: str, take: Callable[[bytes], None]
) -> AsyncIterator[None]:
    """Consume with aiokafka alone."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()

    async def consume() -> None:
        async for message in consumer:
            take(message.value)

    task = asyncio.create_task(consume())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await consumer.stop()


@contextlib.asynccontextmanager
async def faust_consumer(
    bootstrap: str, topic: str, take: Callable[[bytes], None]
) -> AsyncIterator[None]:
    """Consume with a Faust agent that acknowledges for itself."""
    import faust
    from faust.types import StreamT

    app = faust.App(
        f"soak-{secrets.token_hex(4)}",
        broker=f"kafka://{bootstrap}",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        broker_session_timeout=3,
        broker_heartbeat_interval=1,
        broker_rebalance_timeout=2,
        consumer_auto_offset_reset="earliest",
        value_serializer="raw",
    )

    async def agent(stream: StreamT[bytes]) -> None:
        async for event in cast(Any, stream).noack().events():
            take(event.value)
            event.ack()

    app.agent(app.topic(topic, value_serializer="raw"), name="soak")(agent)
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def soak(target: Target, minutes: int, rate: int, *, with_faust: bool) -> None:
    """Send at the rate and print a row a minute."""
    topic = f"soak-{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=target.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()

    delays_ns: list[int] = []
    seen = 0
    sent = 0
    caught_up = asyncio.Event()

    def take(value: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen >= sent:
            caught_up.set()
        delays_ns.append(time.perf_counter_ns() - int(value[:20]))

    producer = AIOKafkaProducer(bootstrap_servers=target.bootstrap, acks="all", linger_ms=0)
    await producer.start()
    consumer = faust_consumer if with_faust else bare_consumer
    filler = b"x" * (PAYLOAD_BYTES - 20)

    async with consumer(target.bootstrap, topic, take):
        await producer.send_and_wait(topic, b"%020d" % time.perf_counter_ns() + filler, key=b"f")
        sent = 1
        await asyncio.wait_for(caught_up.wait(), 60)
        delays_ns.clear()
        print(f"{'minute':>6} {'messages':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}", end="")
        print(f" {'broker MiB':>11} {'broker CPU':>11} {'client MiB':>11} {'load':>6}")
        medians = []
        begun = time.perf_counter()
        due = 0
        for minute in range(1, minutes + 1):
            cpu = target.cpu_seconds()
            pending = set()
            while due < minute * 60 * rate:
                wait = begun + due / rate - time.perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                value = b"%020d" % time.perf_counter_ns() + filler
                future = await producer.send(topic, value, key=b"f")
                pending.add(future)
                future.add_done_callback(pending.discard)
                due += 1
                sent += 1
            if pending:
                await asyncio.wait(pending)
            if seen < sent:
                caught_up.clear()
                await caught_up.wait()
            ordered = sorted(delays_ns)
            delays_ns.clear()
            p50, p99, worst = (
                ordered[len(ordered) * share // 1000 - (share == 1000)] / 1e6
                for share in (500, 990, 1000)
            )
            medians.append((p50, p99))
            client = psutil.Process().memory_info().rss / 2**20
            busy = (target.cpu_seconds() - cpu) / 60
            print(
                f"{minute:>6} {len(ordered):>9} {p50:>8.2f} {p99:>8.2f} {worst:>8.2f}"
                f" {target.memory_mib():>11} {busy:>10.1%} {client:>11.1f}"
                f" {os.getloadavg()[0]:>6.2f}",
                flush=True,
            )
        print(f"last minute / first minute: p50 {medians[-1][0] / medians[0][0]:.2f},", end=" ")
        print(f"p99 {medians[-1][1] / medians[0][1]:.2f}; sent {sent}, received {seen}")
    await producer.stop()


async def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--rate", type=int, default=200, help="messages a second")
    parser.add_argument("--bootstrap", help="host:port of a broker that runs already")
    parser.add_argument("--faust", action="store_true", help="consume with a Faust agent")
    given = parser.parse_args()
    async with contextlib.AsyncExitStack() as running:
        if given.bootstrap:
            target = Target(given.bootstrap, None)
        else:
            target = await running.enter_async_context(embedded())
        consumer = "Faust agent" if given.faust else "bare aiokafka consumer"
        print(f"{given.rate} messages/s of {PAYLOAD_BYTES} bytes, one partition, {consumer}")
        await soak(target, given.minutes, given.rate, with_faust=given.faust)


if __name__ == "__main__":
    asyncio.run(main())
