"""Our derivation is SLIP-0010's, by its own test vectors, and a path names one person for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from chain.signer import KeyPath, Wallet
from chain.slip10 import HARDENED, derive

SEED_1 = "000102030405060708090a0b0c0d0e0f"
SEED_2 = (
    "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
    "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
)
VECTORS = f"""
{SEED_1}  m                                2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7
{SEED_1}  m/0                              68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3
{SEED_1}  m/0/1                            b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2
{SEED_1}  m/0/1/2                          92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9
{SEED_1}  m/0/1/2/2                        30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662
{SEED_1}  m/0/1/2/2/1000000000             8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793
{SEED_2}  m                                171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012
{SEED_2}  m/0                              1559eb2bbec5790b0c65d8693e4d0875b1747f4970ae8b650486ed7470845635
{SEED_2}  m/0/2147483647                   ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4
{SEED_2}  m/0/2147483647/1                 3757c7577170179c7868353ada796c839135b3d30554bbb74a4b1e4a5a58505c
{SEED_2}  m/0/2147483647/1/2147483646      5837736c89570de861ebc173b1086da4f505d4adb387c6a1b1342d5e4ac9ec72
{SEED_2}  m/0/2147483647/1/2147483646/2    551d333177df541ad876a60ea71f00447931c0a9da16f227c11ea080d7391b8d
"""  # noqa: E501


@pytest.mark.parametrize("vector", VECTORS.strip().splitlines())
def test_the_official_vectors_hold(vector: str) -> None:
    seed, path, private = vector.split()
    indexes = [HARDENED + int(step) for step in path.split("/")[1:]]
    assert derive(bytes.fromhex(seed), indexes).hex() == private


def test_the_public_key_is_the_official_one_too() -> None:
    private = derive(bytes.fromhex(SEED_1), [HARDENED])
    assert bytes(Keypair.from_seed(private).pubkey()).hex() == (
        "8c8a13df77a28f3445213a0f432fde644acaa215fc72dcdf300d5efaa85d350c"
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (KeyPath.user(7), "users:m/44'/501'/0'/7'"),
        (KeyPath.user(2**31), "users:m/44'/501'/1'/0'"),
        (KeyPath.user(6_789_012_345), "users:m/44'/501'/3'/346561401'"),
        (KeyPath.vault(2**62 - 1), "vaults:m/44'/501'/2147483647'/2147483647'"),
        (KeyPath.fee_payer(), "operator:m/44'/501'/0'/0'"),
        (KeyPath.treasury(), "operator:m/44'/501'/0'/1'"),
    ],
)
def test_a_path_follows_from_who_somebody_is(path: KeyPath, text: str) -> None:
    assert str(path) == text


@given(st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1))
def test_two_people_never_share_a_path(one: int, other: int) -> None:
    assert (KeyPath.user(one).indexes == KeyPath.user(other).indexes) == (one == other)
    assert KeyPath.user(one) != KeyPath.vault(one)


@pytest.mark.parametrize("number", [-1, 2**62])
def test_a_number_that_two_halves_cannot_hold_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="62 bits"):
        KeyPath(Wallet.USERS, number)
