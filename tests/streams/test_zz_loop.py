import asyncio, sys, io
import pytest
from tests.streams import test_relay as r
from tests.streams.test_relay import place
@pytest.mark.parametrize("n", range(25))
async def test_again(place, n):
    await r.test_a_relay_whose_connection_is_killed_leads_anew(place)
