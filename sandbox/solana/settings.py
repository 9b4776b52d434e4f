"""settings: everything about the sandbox chain that can be chosen, with the embedded defaults.

Promises  a combination that could not keep the commitments apart is refused.
"""

from dataclasses import dataclass
from pathlib import Path

LAMPORTS_PER_BYTE_TODAY = 5_080
LAG_SLOTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class SolanaSettings:
    """Say where the chain listens, where it rests, and how fast its blocks come.

    A port of 0 means any free one; each of ``more_ports`` is one more RPC address; no ``data_dir``
    means a chain in memory; with ``manual`` a block comes only when the control asks for it. Rent,
    skipping and the faucet are fixed at genesis.
    """

    host: str = "127.0.0.1"
    port: int = 8899
    second_port: int = 8898
    more_ports: tuple[int, ...] = ()
    control_port: int = 8897
    data_dir: Path | None = None
    slot_ms: int = 200
    skip_one_in: int = 20
    confirmed_slots: int = 1
    finalized_slots: int = 8
    lamports_per_byte: int = LAMPORTS_PER_BYTE_TODAY
    faucet_lamports: int = 500_000_000_000_000_000
    airdrop_most_lamports: int = 1_000_000_000_000
    manual: bool = False
    manual_at_ms: int = 1_790_000_000_000

    def __post_init__(self) -> None:
        """Refuse what would make a chain that no client could trust."""
        if self.slot_ms < 1:
            raise ValueError("slot_ms: a slot lasts at least 1 ms")
        if self.skip_one_in == 1:
            raise ValueError("skip_one_in: 1 would skip every slot; 0 skips none")
        if not 1 <= self.confirmed_slots < self.finalized_slots <= LAG_SLOTS_MAX:
            raise ValueError("1 <= confirmed_slots < finalized_slots <= 1000")


# As a mainnet node behaves: slots of 400 ms, finality 32 slots behind.
LIKE_MAINNET = SolanaSettings(slot_ms=400, confirmed_slots=2, finalized_slots=32)
