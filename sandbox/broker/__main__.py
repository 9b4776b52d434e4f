"""Main: the broker as a process of its own.

Run       python -m sandbox.broker --data DIR [--port N] [--control-port N] [--fsync]
Out       one line of JSON on standard output when it answers: {"port": …, "control_port": …}.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import structlog

from sandbox.broker.serve import BrokerSettings, running_broker


def _settings() -> BrokerSettings:
    parser = argparse.ArgumentParser(prog="python -m sandbox.broker")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=None)
    parser.add_argument("--fsync", action="store_true")
    given = parser.parse_args()
    return BrokerSettings(
        data_dir=given.data, port=given.port, control_port=given.control_port, fsync=given.fsync
    )


async def _run(settings: BrokerSettings) -> None:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    async with running_broker(settings) as broker:
        ready = {"port": broker.port, "control_port": broker.control_port}
        broker.tending.add_done_callback(lambda _: asked_to_stop.set())
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await asked_to_stop.wait()


if __name__ == "__main__":
    # Standard output is for the one line that says where to connect.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        asyncio.run(_run(_settings()))
    except OSError as error:
        sys.exit(f"the broker cannot start: {error.strerror or error}")
