"""An address that would lose a person's money is refused, with a sentence that says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.addresses import address_from_text, judge_recipient, recipient_gate
from chain.programs import NOBODYS
from chain.rpc import AccountAt
from chain.trouble import Disagreement, NotKnown, Unreachable
from rooms.refusal import Refused
from rooms.units import Address, Lamports
from tests.chain.world import RENT, SYSTEM, World, address, keypair, two_nodes

ANA = keypair(11).pubkey()
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
OFF_CURVE = str(Pubkey.find_program_address([b"vault"], Pubkey.from_string(TOKEN))[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "32 to 44 letters"),
        ("9xQeWvG8", "32 to 44 letters"),
        (str(ANA) * 2, "32 to 44 letters"),
        (f" {ANA}"[:44], "not a Solana address"),
        (str(ANA)[:-1] + "0", "not a Solana address"),
        (str(ANA)[:-2] + "é!", "not a Solana address"),
        ("z" * 44, "not a Solana address"),
        (SYSTEM, "System Program"),
        ("ComputeBudget111111111111111111111111111111", "Compute Budget"),
        ("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo"),
        (TOKEN, "Token program"),
        ("So11111111111111111111111111111111111111112", "wrapped SOL"),
        ("SysvarC1ock11111111111111111111111111111111", "Solana itself"),
        ("SysvarRent111111111111111111111111111111111", "Solana itself"),
        (OFF_CURVE, "Nobody holds a key"),
    ],
)
def test_what_is_no_wallet_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        address_from_text(text)
    assert caught.value.code == "bad_address"


@pytest.mark.parametrize("text", sorted(NOBODYS))
def test_no_known_program_passes(text: str) -> None:
    assert str(Pubkey.from_string(text)) == text
    with pytest.raises(Refused):
        address_from_text(text)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_of_a_person_passes(seed: bytes) -> None:
    text = str(Keypair.from_seed(seed).pubkey())
    assert address_from_text(text) == text


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_refusal(text: str) -> None:
    try:
        assert address_from_text(text) == text
    except Refused as refusal:
        assert refusal.code == "bad_address"


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
