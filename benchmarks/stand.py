"""Stand: the servers that a benchmark runs on, started for it and stopped after it.

Out       a PostgreSQL that keeps what it commits, a Valkey, a broker: ours or Apache Kafka; fresh
          databases and topics on them, as many as a benchmark has rounds.
Promises  each server is a process of its own, as it is in production; nothing is left behind.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final, Literal

from sandbox.kafka import KafkaSettings, free_ports, running_kafka
from sandbox.postgres import PostgresSettings, ensure_database, program, running_postgres
from sandbox.valkey import ValkeySettings, running_valkey
from storage.migrate import migrate

Broker = Literal["embedded", "kafka"]
BROKERS: Final[tuple[Broker, ...]] = ("embedded", "kafka")
TEMPLATE: Final = "rooms_template"
REPOSITORY: Final = Path(__file__).parents[1]
START_LIMIT_S: Final = 30.0
STOP_LIMIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Stand:
    """Servers that run now."""

    folder: Path
    postgres: PostgresSettings
    valkey: ValkeySettings
    bootstrap: str
    _numbers: "count[int]" = field(default_factory=count)

    def database(self) -> str:
        """Make a fresh database with the schema, and return its address."""
        name = f"bench_{next(self._numbers)}"
        admin = ["--maintenance-db", self.postgres.dsn()]
        subprocess.run([program("createdb"), *admin, "-T", TEMPLATE, name], check=True)
        return self.postgres.dsn(name)

    def empty_database(self) -> str:
        """Make a fresh database without any schema, and return its address."""
        name = f"bench_{next(self._numbers)}"
        ensure_database(self.postgres, name)
        return self.postgres.dsn(name)


@asynccontextmanager
async def stand(broker: Broker | None = None) -> AsyncIterator[Stand]:
    """Start what a benchmark needs; without a broker where none takes part."""
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="rooms-bench-")))
        postgres_port, valkey_port = free_ports(2)
        postgres = held.enter_context(
            running_postgres(
                PostgresSettings(
                    data_dir=folder / "postgres",
                    port=postgres_port,
                    options={"max_connections": "200"},
                )
            )
        )
        ensure_database(postgres, TEMPLATE)
        await asyncio.to_thread(migrate, postgres.dsn(TEMPLATE))
        valkey = held.enter_context(
            running_valkey(ValkeySettings(data_dir=folder / "valkey", port=valkey_port))
        )
        bootstrap = held.enter_context(running_broker(broker, folder)) if broker else ""
        yield Stand(folder, postgres, valkey, bootstrap)


@contextmanager
def running_broker(broker: Broker, folder: Path) -> Iterator[str]:
    """Run a broker as a process of its own and give its address."""
    if broker == "kafka":
        with running_kafka(KafkaSettings(data_dir=folder / "kafka", ports=free_ports(1))) as kafka:
            yield kafka.bootstrap
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "broker.log").open("wb") as log,
        module("sandbox.broker", "--data", str(folder / "broker"), log=log) as child,
    ):
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        yield f"127.0.0.1:{ready['port']}"


@contextmanager
def module(
    name: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    log: IO[bytes] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run one of our modules as a process of its own; its standard output is the caller's."""
    child = subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stdout is not None
        child.stdout.close()
