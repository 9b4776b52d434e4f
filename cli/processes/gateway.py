"""Gateway: streams prices and public events to programs."""

from cli.clock import now_ms
from cli.ready import tell_ready
from cli.settings import Settings
from storage.connections import open_connections
from streams.gateway import GatewaySettings, run_gateway


async def run(settings: Settings) -> None:
    """Stream prices and public events to programs."""
    async with open_connections(settings.dsn, name="gateway", size_max=4) as connections:
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
