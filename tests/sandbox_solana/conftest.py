"""conftest: a chain whose clock only the test moves, a funded key, and a client."""

from collections.abc import AsyncIterator

import httpx
import pytest
from solders.keypair import Keypair

from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from tests.sandbox_solana.wire import SOL, Wire

MANUAL = SolanaSettings(port=0, second_port=0, control_port=0, manual=True)


@pytest.fixture
async def solana() -> AsyncIterator[RunningSolana]:
    async with running_solana(MANUAL) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    # Nothing here is encrypted, and reading the certificates takes longer than a test.
    async with httpx.AsyncClient(timeout=5, verify=False) as client:
        yield client


@pytest.fixture
def wire(solana: RunningSolana, http: httpx.AsyncClient) -> Wire:
    return Wire(solana.url, http)


@pytest.fixture
def second(solana: RunningSolana, http: httpx.AsyncClient) -> Wire:
    return Wire(solana.second_url, http)


@pytest.fixture
def rich(solana: RunningSolana) -> Keypair:
    """A key with 1,000 SOL that are final."""
    key = Keypair()
    solana.control.airdrop(str(key.pubkey()), 1_000 * SOL)
    solana.control.advance(solana.control.chain.settings.finalized_slots + 2)
    return key
