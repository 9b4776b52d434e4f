"""Apache Kafka for tests: one broker a test run, three for those that lose some of them.

Out       `one_broker`, `three_brokers`: brokers that run now.
Promises  where Kafka cannot be run a person's test is skipped with the reason, and CI fails.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.kafka import Kafka, KafkaSettings, NoKafkaError, fetch, free_ports, running_kafka


def needs_kafka() -> None:
    """Skip a test where Kafka cannot be run; in CI it fails."""
    try:
        fetch()
    except NoKafkaError as lacks:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(lacks))


@contextmanager
def apache(folder: Path, count: int) -> Iterator[Kafka]:
    """Run so many brokers."""
    needs_kafka()
    with running_kafka(KafkaSettings(data_dir=folder, ports=free_ports(count))) as kafka:
        yield kafka


@pytest.fixture(scope="package")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with apache(tmp_path_factory.mktemp("kafka"), 1) as kafka:
        yield kafka


@pytest.fixture(scope="package")
def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with apache(tmp_path_factory.mktemp("kafkas"), 3) as kafka:
        yield kafka
