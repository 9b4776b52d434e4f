"""A recipient that would lose a person's money is refused, with a sentence that says why."""

import pytest

from chain.addresses import judge_recipient, recipient_gate
from chain.rpc import AccountAt
from chain.trouble import Disagreement, NotKnown, Unreachable
from rooms.refusal import Refused
from rooms.units import Address, Lamports
from tests.chain.world import RENT, SYSTEM, World, address, keypair, two_nodes

ANA = keypair(11).pubkey()
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


@pytest.mark.parametrize(
    ("owner", "executable", "says"),
    [(SYSTEM, True, "a program, not"), (TOKEN, False, "belongs to a program")],
)
def test_an_account_of_a_program_is_refused(owner: str, says: str, *, executable: bool) -> None:
    account = AccountAt(Lamports(5), Address(owner), executable)
    with pytest.raises(Refused, match=says):
        judge_recipient(account, Lamports(10**9), Lamports(RENT))


def test_a_new_address_gets_at_least_the_live_rent_minimum() -> None:
    judge_recipient(None, Lamports(RENT), Lamports(RENT))
    with pytest.raises(Refused, match=r"at least 0\.00065024 SOL") as caught:
        judge_recipient(None, Lamports(RENT - 1), Lamports(RENT))
    assert caught.value.code == "too_small"
    judge_recipient(AccountAt(Lamports(RENT), Address(SYSTEM), False), Lamports(1), Lamports(RENT))


async def test_the_gate_looks_at_the_chain_through_two_providers() -> None:
    world = World()
    _, other, providers = two_nodes(world)
    async with providers:
        await recipient_gate(providers, address(ANA), Lamports(RENT))
        with pytest.raises(Refused, match="new on Solana"):
            await recipient_gate(providers, address(ANA), Lamports(5))
        world.pay(keypair(1), [(ANA, RENT)])
        with pytest.raises(Refused, match="new on Solana"):
            await recipient_gate(providers, address(ANA), Lamports(5))
        world.slot += 1
        await recipient_gate(providers, address(ANA), Lamports(5))
        other.behind = 1
        with pytest.raises(Disagreement):
            await recipient_gate(providers, address(ANA), Lamports(5))
        other.behind = 0
        world.owners[ANA] = (TOKEN, False)
        with pytest.raises(Refused, match="belongs to a program"):
            await recipient_gate(providers, address(ANA), Lamports(5))
        other.trouble = Unreachable("gone")
        with pytest.raises(NotKnown):
            await recipient_gate(providers, address(ANA), Lamports(5))
        with pytest.raises(Refused, match="System Program"):
            await recipient_gate(providers, Address(SYSTEM), Lamports(5))
