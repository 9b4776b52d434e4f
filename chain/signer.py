"""Signer: who signs for us, seen from those who need a signature.

In        a message as bytes, and the paths of the keys it needs.
Out       addresses and signatures; a key itself is never handed out.
Promises  a path follows from who somebody is (a Telegram id, a room id), never from a sequence.
Why       a restored database must never hand out another person's address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from chain.slip10 import HARDENED
from rooms.units import Address

NUMBER_BITS = 62
HALF_BITS = 31
HALF_MASK = 2**HALF_BITS - 1


class Wallet(IntEnum):
    """Which seed a key grows from; two wallets, so that a policy can tell a stake from a payout."""

    USERS = 1
    VAULTS = 2
    OPERATOR = 3


@dataclass(frozen=True, slots=True, order=True)
class KeyPath:
    """Which key of which wallet."""

    wallet: Wallet
    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < 2**NUMBER_BITS:
            raise ValueError(f"a key's number has at most {NUMBER_BITS} bits and no sign")

    @classmethod
    def user(cls, telegram_id: int) -> "KeyPath":
        """Name the key of a person."""
        return cls(Wallet.USERS, telegram_id)

    @classmethod
    def vault(cls, room_id: int) -> "KeyPath":
        """Name the key of a room's vault."""
        return cls(Wallet.VAULTS, room_id)

    @classmethod
    def fee_payer(cls) -> "KeyPath":
        """Name the key that pays the network's fees and holds nothing else."""
        return cls(Wallet.OPERATOR, 0)

    @classmethod
    def treasury(cls) -> "KeyPath":
        """Name the key of the operator's treasury."""
        return cls(Wallet.OPERATOR, 1)

    @property
    def indexes(self) -> tuple[int, ...]:
        """Give the hardened child numbers of ``m/44'/501'/{high}'/{low}'``."""
        high, low = self.number >> HALF_BITS, self.number & HALF_MASK
        return tuple(HARDENED + index for index in (44, 501, high, low))

    def __str__(self) -> str:
        steps = "/".join(f"{index - HARDENED}'" for index in self.indexes)
        return f"{self.wallet.name.lower()}:m/{steps}"


class Signer(Protocol):
    """Something that can sign: the keystore on disk, or a service elsewhere."""

    async def address(self, path: KeyPath) -> Address:
        """Give the address of a key; the same path gives the same address for ever."""
        ...

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        """Give one 64-byte Ed25519 signature over ``message`` for each path, in their order."""
        ...
