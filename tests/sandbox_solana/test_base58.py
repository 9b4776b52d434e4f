"""Base58 text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from sandbox.solana import base58


@given(st.binary(max_size=80))
def test_bytes_survive(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


@given(st.binary(min_size=32, max_size=32))
def test_an_address_is_written_as_everyone_writes_it(data: bytes) -> None:
    assert base58.encode(data) == str(Pubkey(data))


def test_a_letter_that_is_not_base58_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid character 'O'"):
        base58.decode("O")
