"""node: one RPC provider's view of the chain: how far behind it is and what it gets wrong.

In        method and parameters of a JSON-RPC call.
Out       the answer, as of the provider's own head.
Promises  every number in an answer belongs to one moment; ``minContextSlot`` is kept.
"""

from dataclasses import dataclass

from solders.account import Account
from solders.pubkey import Pubkey

from sandbox.solana.chain import Chain, Commitment
from sandbox.solana.faults import Faults
from sandbox.solana.history import Landed
from sandbox.solana.parameters import Config
from sandbox.solana.refusals import Json, RpcRefusal, invalid_params
from sandbox.solana.settings import LAG_SLOTS_MAX

VERSION = "3.1.8"
_BEHIND_IS_UNHEALTHY = 128


@dataclass(frozen=True, slots=True)
class Bank:
    """The chain as of one slot, which is the head of a node at some commitment."""

    chain: Chain
    slot: int

    @property
    def height(self) -> int:
        """Return the block height of this slot."""
        return self.chain.blocks.height(self.slot)

    def account(self, address: Pubkey) -> Account | None:
        """Return an account as of this slot."""
        return self.chain.account(address, self.slot)

    def landed(self, signature: str) -> Landed | None:
        """Find a transaction that landed up to this slot."""
        landed = self.chain.history.get(signature)
        return landed if landed is not None and landed.slot <= self.slot else None

    def count(self) -> int:
        """Count what landed up to this slot."""
        return self.chain.history.count_upto(self.slot)

    def told(self, value: Json) -> Json:
        """Wrap a value with the slot it is true for."""
        return {"context": {"apiVersion": VERSION, "slot": self.slot}, "value": value}


class Node:
    """Be one RPC provider."""

    def __init__(self, chain: Chain, name: str, seed: int) -> None:
        self.chain = chain
        self.name = name
        self.faults = Faults(seed)
        self.priority_price = 0
        self._lag_slots = 0

    @property
    def lag_slots(self) -> int:
        """Return how many slots this node is behind the chain."""
        return self._lag_slots

    def set_lag(self, slots: int) -> None:
        """Put this node so many slots behind the chain."""
        if not 0 <= slots <= LAG_SLOTS_MAX:
            raise ValueError(f"lag: from 0 to {LAG_SLOTS_MAX} slots")
        self._lag_slots = slots

    def head(self, commitment: Commitment) -> int:
        """Return this node's newest slot at a commitment."""
        return self.chain.heads(self._lag_slots).at(commitment)

    def bank(self, config: Config, commitment: str = "commitment") -> Bank:
        """Choose the bank that a call asks for, and keep its ``minContextSlot``."""
        bank = Bank(self.chain, self.head(config.commitment(commitment)))
        least = config.whole("minContextSlot")
        if least is not None and bank.slot < least:
            raise RpcRefusal(
                -32016, "Minimum context slot has not been reached", {"contextSlot": bank.slot}
            )
        return bank

    def settled_bank(self, config: Config) -> Bank:
        """Choose a bank for a call that history answers, which knows no processed blocks."""
        if config.commitment() == "processed":
            raise invalid_params("Method does not support commitment below `confirmed`")
        return self.bank(config)

    def check_health(self) -> None:
        """Refuse when the node is too far behind."""
        if self._lag_slots > _BEHIND_IS_UNHEALTHY:
            raise RpcRefusal(
                -32005,
                f"Node is behind by {self._lag_slots} slots",
                {"numSlotsBehind": self._lag_slots},
            )
