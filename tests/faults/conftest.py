"""What the tests of faults share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from storage.connections import Connections
from tests.streams.custody_world import World, custody_world


@pytest_asyncio.fixture
async def world(connections: Connections, tmp_path: Path) -> AsyncIterator[World]:
    async with custody_world(connections, tmp_path) as world:
        yield world
