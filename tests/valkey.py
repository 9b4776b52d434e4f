"""Valkey for tests: one real server a test run, one empty database a test.

Out       `redis_url`: the address of a database that nobody else uses.
"""

from collections.abc import Iterator

import pytest

from sandbox.valkey import ValkeySettings, running_valkey
from tests.postgres import free_port

DATABASES = 15
"""The sixteenth is left to a test that needs two."""
_given = iter(range(1_000_000))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeySettings]:
    settings = ValkeySettings(data_dir=tmp_path_factory.mktemp("valkey"), port=free_port())
    with running_valkey(settings):
        yield settings


@pytest.fixture
def redis_url(valkey: ValkeySettings) -> Iterator[str]:
    import redis

    url = valkey.url(next(_given) % DATABASES)
    with redis.Redis.from_url(url) as server:
        server.flushdb()
        yield url
