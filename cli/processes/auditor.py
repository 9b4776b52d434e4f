"""Auditor: checks that money adds up, pauses when it does not, keeps the log; one at a time."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from chain.providers import Providers
from chain.settings import ChainSettings
from cli.clock import now_ms
from cli.ready import tell_ready
from cli.settings import Settings
from storage.connections import open_connections
from storage.leases import Lease, held
from streams.auditor import Auditor, run_auditor

AUDITOR_CONNECTIONS: Final = 5


async def run(settings: Settings) -> None:
    """Audit; or stand by while another auditor does."""
    async with AsyncExitStack() as stack:
        lease = await stack.enter_async_context(
            held(settings.dsn, Lease.AUDITOR, standing_by=tell_ready)
        )
        auditor = Auditor(
            connections=await stack.enter_async_context(
                open_connections(settings.dsn, name="auditor", size_max=AUDITOR_CONNECTIONS)
            ),
            providers=await stack.enter_async_context(
                Providers.of(ChainSettings(endpoints=settings.endpoints))
            ),
            head_path=settings.audit_head,
            clock=now_ms,
            chain_ms=settings.audit_chain_ms,
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(lease.until_lost())
        await run_auditor(auditor, ready=tell_ready)
