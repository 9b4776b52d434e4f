"""Probes: whether something that tells nobody is ready yet.

In        ports and programs of other people's servers.
Out       yes or no, at once.
Promises  a probe never raises: what cannot be asked is not ready.
"""

import asyncio
from collections.abc import Awaitable, Callable

from cli.ports import HOST
from sandbox import kafka
from sandbox.postgres import program

PROBE_LIMIT_S = 2.0
Probe = Callable[[], Awaitable[bool]]


def postgres_answers(port: int) -> Probe:
    """Ask PostgreSQL with its own client."""

    async def probe() -> bool:
        process = await asyncio.create_subprocess_exec(
            program("pg_isready"), "-q", "-h", HOST, "-p", str(port), "-t", "1"
        )
        return await process.wait() == 0

    return probe


def valkey_answers(port: int) -> Probe:
    """Say PING in the Redis protocol."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(PROBE_LIMIT_S):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(b"PING\r\n")
                answer = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return answer.startswith(b"+PONG")

    return probe


def kafka_answers(port: int) -> Probe:
    """Ask a broker which requests it knows."""

    async def probe() -> bool:
        return await asyncio.to_thread(kafka.answers, port)

    return probe


async def reaches(host: str, port: int) -> bool:
    """Say whether a TCP connection can be made."""
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return True
