"""Gateway: streams prices and public events to programs, and takes webhooks."""

import asyncio
from contextlib import AsyncExitStack

from cli.clock import now_ms
from cli.ready import tell_ready
from cli.settings import BadSettings, Settings
from storage.connections import open_connections
from streams.doors import listening, serve
from streams.gateway import GatewaySettings, run_gateway
from streams.webhooks import AUTHORIZATION_MIN, door


async def run(settings: Settings) -> None:
    """Stream prices and public events to programs; take webhooks where a port is set.

    Raises:
        BadSettings: when webhooks are to be taken and the header that they bring can be guessed.
    """
    authorization = settings.webhook_authorization.get_secret_value()
    if settings.webhook_port is not None and len(authorization) < AUTHORIZATION_MIN:
        raise BadSettings(
            f"ROOMS_WEBHOOK_AUTHORIZATION: give Helius {AUTHORIZATION_MIN} random letters or more "
            "as authHeader, and the same here"
        )
    async with AsyncExitStack() as held:
        connections = await held.enter_async_context(
            open_connections(settings.dsn, name="gateway", size_max=4)
        )
        tasks = await held.enter_async_context(asyncio.TaskGroup())
        if settings.webhook_port is not None:
            at = held.enter_context(listening(settings.webhook_host, settings.webhook_port))
            tasks.create_task(serve(door(connections, authorization), at))
        await run_gateway(
            GatewaySettings(
                host=settings.gateway_host,
                port=settings.gateway_port,
                partitions=settings.kafka_partitions,
            ),
            connections=connections,
            bootstrap=settings.kafka,
            clock=now_ms,
            ready=lambda _: tell_ready(),
        )
