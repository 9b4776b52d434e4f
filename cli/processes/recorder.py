"""Recorder: keeps everything that the feeds' logs carried, for replay; one at a time."""

import asyncio
from contextlib import AsyncExitStack

from cli.clock import now_ms
from cli.ready import tell_ready
from cli.settings import Settings
from storage.connections import open_connections
from storage.leases import Lease, held
from streams.recording import RecordingSettings, run_recording


async def run(settings: Settings) -> None:
    """Record; or stand by while another recorder does."""
    async with AsyncExitStack() as stack:
        lease = await stack.enter_async_context(
            held(settings.dsn, Lease.RECORDER, standing_by=tell_ready)
        )
        connections = await stack.enter_async_context(
            open_connections(settings.dsn, name="recorder", size_max=2)
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(lease.until_lost())
        await run_recording(
            RecordingSettings(
                folder=settings.recordings,
                partitions=settings.kafka_partitions,
                days=settings.recording_days,
            ),
            connections=connections,
            bootstrap=settings.kafka,
            clock=now_ms,
            ready=tell_ready,
        )
