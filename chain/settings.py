"""Settings: where the chain is, how long we wait for it, and what we may spend on it.

Holds     frozen values, built once where the process is put together.
Promises  no rent, no base fee and no slot time among them: those are asked of the chain.
Why       a provider's URL carries its key, so no repr shows one.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from rooms.units import Lamports

MICROLAMPORTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One JSON-RPC provider: a name for logs and errors, and the URL that nobody may see."""

    name: str
    url: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.name or not self.url.startswith(("http://", "https://")):
            raise ValueError(
                "a Solana RPC provider needs a name and an http:// or https:// address"
            )


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Bounds of every call.

    Attributes:
        answer_ms_max: a call that took longer has not been answered.
        answer_bytes_max: an answer larger than this is not read to its end.
        connections_max: open connections to one provider.
    """

    answer_ms_max: int = 8_000
    answer_bytes_max: int = 4_000_000
    connections_max: int = 16

    def __post_init__(self) -> None:
        if min(self.answer_ms_max, self.answer_bytes_max, self.connections_max) <= 0:
            raise ValueError("bounds of Solana RPC calls are positive")


@dataclass(frozen=True, slots=True)
class FeeSettings:
    """What a transaction may ask of the network.

    Attributes:
        version: of the transactions that we write.
        priority_fee_lamports: offered with each transaction, in all.
        priority_fee_lamports_max: what nobody may offer more than.
        priority_fee_estimated: ask the provider what to offer, and keep to the cap; what it cannot
            say is ``priority_fee_lamports``.
        compute_units_base: asked for each transaction; the memo takes its part of this.
        compute_units_per_transfer: asked for each transfer in it.
        loaded_bytes: of programs and accounts that a version 1 transaction may load.
    """

    version: Literal[0, 1] = 1
    priority_fee_lamports: Lamports = Lamports(0)
    priority_fee_lamports_max: Lamports = Lamports(500_000)
    priority_fee_estimated: bool = False
    compute_units_base: int = 60_000
    compute_units_per_transfer: int = 300
    loaded_bytes: int = 1_000_000

    def compute_units(self, transfers: int) -> int:
        """Return the compute units that a transaction of so many transfers asks for."""
        return self.compute_units_base + self.compute_units_per_transfer * transfers

    def priority_fee(self, microlamports: int, transfers: int) -> Lamports:
        """Return what to offer at a price a compute unit: rounded up, and never above the cap."""
        offered = -(-microlamports * self.compute_units(transfers) // MICROLAMPORTS)
        return Lamports(min(offered, self.priority_fee_lamports_max))

    def __post_init__(self) -> None:
        if not 0 <= self.priority_fee_lamports <= self.priority_fee_lamports_max:
            raise ValueError("the priority fee is at least 0 and at most its cap")
        if self.version not in (0, 1):
            raise ValueError("transactions are written as version 0 or 1")
        if self.compute_units_base <= 0 or self.compute_units_per_transfer <= 0:
            raise ValueError("compute units are positive")


@dataclass(frozen=True, slots=True)
class DepositSettings:
    """Bounds of one sweep over balances.

    Attributes:
        reads_at_once: addresses read side by side.
        transactions_max: of one address in one sweep; the next sweep goes on from there.
        pages_max: of signatures (1,000 each) looked back over; more stops that address and alarms.
    """

    reads_at_once: int = 8
    transactions_max: int = 500
    pages_max: int = 200


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """Everything `chain` is told when a process is put together."""

    endpoints: tuple[Endpoint, ...]
    rpc: RpcSettings = RpcSettings()
    fees: FeeSettings = FeeSettings()
    deposits: DepositSettings = DepositSettings()
