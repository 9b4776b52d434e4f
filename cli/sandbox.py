"""Sandbox: the commands that serve a stand-in for the outside world, one a process.

Promises  each says when it is ready, stops on Ctrl-C or SIGTERM, and ends with one clear line
          when its port is taken.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.logs import set_up_logs
from cli.ready import tell_ready
from cli.running import run_until_told

app = typer.Typer(help="Serve one stand-in for the outside world on this machine.")

Port = Annotated[int, typer.Option(help="Where to listen on loopback.")]
Data = Annotated[Path, typer.Option(help="Where its data is kept.")]


@app.command()
def broker(port: Port, data: Data) -> None:
    """Serve a Kafka broker for one machine."""
    _logs("broker")
    from sandbox.broker.serve import BrokerSettings
    from sandbox.broker.serve import serve as serve_broker

    settings = BrokerSettings(data_dir=data, port=port)
    run_until_told(serve_broker(settings, lambda _: tell_ready()))


@app.command()
def kafka(
    port: Port = 9092,
    data: Data = Path(".rooms/kafka"),
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Only fetch it, which happens once a machine.")
    ] = False,
) -> None:
    """Serve Apache Kafka on this machine; needs java, and mvn the first time."""
    from sandbox import kafka as apache

    try:
        if fetch:
            apache.fetch(typer.echo)
            return
        settings = apache.KafkaSettings(data_dir=data.resolve(), ports=(port,))
        apache.prepare(settings, typer.echo)
    except apache.NoKafkaError as lacks:
        sys.exit(f"rooms sandbox kafka: {lacks}")
    # This process becomes the broker, so that whoever ends it ends the broker.
    command = apache.command(settings)
    os.execvp(command[0], command)  # noqa: S606 - our own words


@app.command()
def solana(
    port: Port,
    second_port: Annotated[int, typer.Option(help="Where the second provider listens.")],
    control_port: Annotated[int, typer.Option(help="Where faults are asked for.")],
    data: Data,
    slot_ms: Annotated[int, typer.Option(help="How long a slot lasts.")] = 200,
) -> None:
    """Serve a Solana chain behind two RPC providers."""
    _logs("solana")
    from sandbox.solana.serve import SolanaSettings
    from sandbox.solana.serve import serve as serve_solana

    settings = SolanaSettings(
        port=port, second_port=second_port, control_port=control_port, data_dir=data,
        slot_ms=slot_ms,
    )  # fmt: skip
    run_until_told(serve_solana(settings, lambda _: tell_ready()))


@app.command()
def venues(
    port: Port,
    control_port: Annotated[int, typer.Option(help="Where the market is steered.")],
    data: Data,
    seed: Annotated[int, typer.Option(help="Which market.")] = 1,
    recording: Annotated[
        Path | None, typer.Option(help="Captured frames to serve instead, at their own pace.")
    ] = None,
) -> None:
    """Serve the venues' own protocols from a seeded market or a recording."""
    _logs("venues")
    from sandbox.venues.serve import VenuesSettings
    from sandbox.venues.serve import serve as serve_venues

    data.mkdir(parents=True, exist_ok=True)
    settings = VenuesSettings(
        port=port, control_port=control_port, seed=seed, recording=recording, data_dir=data
    )
    run_until_told(serve_venues(settings, lambda _: tell_ready()))


@app.command()
def telegram(
    port: Port,
    data: Data,
    solana_url: Annotated[str, typer.Option(help="The node that gives test funds.")],
) -> None:
    """Serve the Bot API with its chat page."""
    _logs("telegram")
    from sandbox.telegram.serve import TelegramSettings
    from sandbox.telegram.serve import serve as serve_telegram

    data.mkdir(parents=True, exist_ok=True)
    settings = TelegramSettings(port=port, data_dir=data, solana_url=solana_url)
    run_until_told(serve_telegram(settings, lambda _: tell_ready()))


@app.command()
def turnkey(port: Port, data: Data) -> None:
    """Serve Turnkey's API, with stamps, policies and keys that are real."""
    _logs("turnkey")
    from sandbox.turnkey.serve import TurnkeySettings
    from sandbox.turnkey.serve import serve as serve_turnkey

    settings = TurnkeySettings(port=port, data_dir=data)
    run_until_told(serve_turnkey(settings, lambda _: tell_ready()))


def _logs(process: str) -> None:
    """Log like the product's own processes: they are read side by side."""
    set_up_logs(process, "json" if os.environ.get("ROOMS_LOG_FORMAT") == "json" else "people")
