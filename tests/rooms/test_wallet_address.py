"""Text that is no person's address is refused at once, with a sentence that says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from rooms.refusal import Refused
from rooms.wallet_address import NOBODYS, is_on_curve, wallet_address

ANA = Keypair.from_seed(bytes([11] * 32)).pubkey()
SYSTEM = "11111111111111111111111111111111"
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
        wallet_address(text)
    assert caught.value.code == "bad_address"


@pytest.mark.parametrize("text", sorted(NOBODYS))
def test_no_known_program_passes(text: str) -> None:
    assert str(Pubkey.from_string(text)) == text
    with pytest.raises(Refused):
        wallet_address(text)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_of_a_person_passes(seed: bytes) -> None:
    text = str(Keypair.from_seed(seed).pubkey())
    assert wallet_address(text) == text


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_refusal(text: str) -> None:
    try:
        assert wallet_address(text) == text
    except Refused as refusal:
        assert refusal.code == "bad_address"


@given(st.binary(min_size=32, max_size=32))
def test_what_is_on_the_curve_is_what_solana_says(key: bytes) -> None:
    assert is_on_curve(key) == Pubkey(key).is_on_curve()


@pytest.mark.parametrize("y", [0, 1, 2, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_the_edges_of_the_curve_are_what_solana_says(y: int, sign: int) -> None:
    key = (y | sign << 255).to_bytes(32, "little")
    assert is_on_curve(key) == Pubkey(key).is_on_curve()
