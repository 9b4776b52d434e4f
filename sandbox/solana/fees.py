"""fees: what a transaction asks for and pays: compute units, and lamports for the network.

In        a message of any version.
Out       the compute limit, the price and the fee.
Promises  version 1 takes its limits and its priority fee from its config alone; what is not set
          there is 0, as the network has it (SIMD-0385).
"""

from dataclasses import dataclass

from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey

AnyMessage = Message | MessageV0 | MessageV1

COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
LAMPORTS_PER_SIGNATURE = 5_000
COMPUTE_UNITS_MAX = 1_400_000
LOADED_BYTES_MAX = 64 * 1024 * 1024

_UNITS_BUILTIN = 3_000
_UNITS_PROGRAM = 200_000
_BUILTINS = frozenset(
    {
        COMPUTE_BUDGET,
        Pubkey.from_string("11111111111111111111111111111111"),
        Pubkey.from_string("Vote111111111111111111111111111111111111111"),
        Pubkey.from_string("BPFLoader1111111111111111111111111111111111"),
        Pubkey.from_string("BPFLoader2111111111111111111111111111111111"),
        Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111"),
    }
)
_SET_UNIT_LIMIT, _SET_UNIT_PRICE, _SET_LOADED_BYTES = 2, 3, 4


@dataclass(frozen=True, slots=True)
class Budget:
    """What a message may use, and what it pays on top of its signatures."""

    unit_limit: int
    loaded_bytes: int
    priority_lamports: int


def budget_of(message: AnyMessage) -> Budget:
    """Read a message's limits and priority fee as a validator does."""
    if isinstance(message, MessageV1):
        config = message.config
        return Budget(
            min(config.compute_unit_limit or 0, COMPUTE_UNITS_MAX),
            min(config.loaded_accounts_data_size_limit or 0, LOADED_BYTES_MAX),
            config.priority_fee or 0,
        )
    asked: dict[int, int] = {}
    units = 0
    keys = message.account_keys
    for instruction in message.instructions:
        program = keys[instruction.program_id_index]
        units += _UNITS_BUILTIN if program in _BUILTINS else _UNITS_PROGRAM
        if program == COMPUTE_BUDGET and instruction.data:
            asked[instruction.data[0]] = int.from_bytes(instruction.data[1:], "little")
    limit = min(asked.get(_SET_UNIT_LIMIT, units), COMPUTE_UNITS_MAX)
    priority = -(-asked.get(_SET_UNIT_PRICE, 0) * limit // 1_000_000)
    return Budget(limit, asked.get(_SET_LOADED_BYTES, LOADED_BYTES_MAX), priority)


def fee_of(message: AnyMessage) -> int:
    """Compute the lamports the fee payer pays, whatever becomes of the transaction."""
    signatures = message.header.num_required_signatures
    return LAMPORTS_PER_SIGNATURE * signatures + budget_of(message).priority_lamports
