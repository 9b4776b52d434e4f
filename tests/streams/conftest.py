"""What the tests of the stages share."""

import pytest_asyncio

from storage.connections import Connections
from tests.place import Place, made


@pytest_asyncio.fixture
async def place(connections: Connections) -> Place:
    return await made(connections)
