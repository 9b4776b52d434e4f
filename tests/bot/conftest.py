"""What the tests of the bot share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from storage.connections import Connections
from tests.bot.town import Town, founded
from tests.place import made


@pytest_asyncio.fixture
async def quiet_town(connections: Connections, tmp_path: Path) -> AsyncIterator[Town]:
    """A town whose bot is not started."""
    async with founded(await made(connections), tmp_path) as town:
        await town.set_price(20_037)
        yield town


@pytest_asyncio.fixture
async def town(quiet_town: Town) -> Town:
    """A town whose bot asks Telegram for updates."""
    await quiet_town.start_bot()
    return quiet_town
