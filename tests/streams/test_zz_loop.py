import asyncio
import pytest
from tests.streams.test_relay import *  # noqa
from tests.streams import test_relay as r
for name in list(globals()):
    if name.startswith("test_"): del globals()[name]
@pytest.mark.parametrize("n", range(12))
async def test_again(place, n):
    await r.test_a_relay_whose_connection_is_killed_leads_anew(place)
