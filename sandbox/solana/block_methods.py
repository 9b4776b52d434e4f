"""block_methods: the JSON-RPC methods about blocks.

In        a node and the parameters of a call.
Out       blocks, their times and the slots that have one.
Promises  a skipped slot, one too old and one to come are refused each in its own way.
"""

from collections.abc import Mapping

from sandbox.solana.json_forms import (
    accounts_json,
    transaction_json,
)
from sandbox.solana.methods import RECENT_SLOTS, Method
from sandbox.solana.node import Node
from sandbox.solana.parameters import Parameters, form_of
from sandbox.solana.refusals import Json, RpcRefusal, invalid_params

_BLOCKS_MOST = 500_000


def get_block_time(node: Node, given: Parameters) -> Json:
    """Return when a block was made, in seconds."""
    slot = given.whole(0)
    _must_have_block(node, slot, node.head("confirmed"))
    return node.chain.time_of_s(slot)


def get_blocks(node: Node, given: Parameters) -> Json:
    """List the slots with a block in a range."""
    first = given.whole(0)
    ranged = given.has(1) and isinstance(given.at(1), int)
    bank = node.settled_bank(given.config(2 if ranged or given.has(2) else 1))
    last = min(given.whole(1), bank.slot) if ranged else bank.slot
    if last - first > _BLOCKS_MOST:
        raise invalid_params(f"Slot range too large; max {_BLOCKS_MOST}")
    return [slot for slot in range(first, last + 1) if node.chain.blocks.is_block(slot)]


def get_blocks_with_limit(node: Node, given: Parameters) -> Json:
    """List so many slots with a block from a slot on."""
    first, limit = given.whole(0), given.whole(1)
    if limit > _BLOCKS_MOST:
        raise invalid_params(f"Limit too large; max {_BLOCKS_MOST}")
    bank = node.settled_bank(given.config(2))
    blocks = node.chain.blocks
    height = blocks.height(first) + (0 if blocks.is_block(first) else 1)
    last = min(height + limit - 1, bank.height)
    return [blocks.slot_of(at) for at in range(height, last + 1)]


def get_block(node: Node, given: Parameters) -> Json:
    """Return a block with its transactions."""
    slot, config = given.whole(0), given.config(1)
    bank = node.settled_bank(config)
    _must_have_block(node, slot, bank.slot)
    chain, height = node.chain, node.chain.blocks.height(slot)
    parent = chain.blocks.slot_of(height - 1) if height else 0
    landed = chain.history.between(
        chain.history.count_upto(slot - 1), chain.history.count_upto(slot)
    )
    answer: dict[str, Json] = {
        "blockhash": str(chain.blockhash(slot)),
        "previousBlockhash": str(chain.blockhash(parent)),
        "parentSlot": parent,
        "blockHeight": height,
        "blockTime": chain.time_of_s(slot),
        "rewards": [],
    }
    details = config.text("transactionDetails", "full", ("full", "accounts", "signatures", "none"))
    most = config.whole("maxSupportedTransactionVersion")
    if details == "full":
        answer["transactions"] = [transaction_json(one, form_of(config), most) for one in landed]
    elif details == "accounts":
        answer["transactions"] = [accounts_json(one) for one in landed]
    elif details == "signatures":
        answer["signatures"] = [one.signature for one in landed]
    return answer


def _must_have_block(node: Node, slot: int, head: int) -> None:
    if slot > head:
        raise RpcRefusal(-32004, f"Block not available for slot {slot}")
    if node.chain.blocks.is_block(slot):
        return
    if slot < node.head("finalized") - RECENT_SLOTS:
        raise RpcRefusal(-32009, f"Slot {slot} was skipped, or missing in long-term storage")
    raise RpcRefusal(
        -32007,
        f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot",
    )


BLOCK_METHODS: Mapping[str, Method] = {
    "getBlockTime": get_block_time,
    "getBlocks": get_blocks,
    "getBlocksWithLimit": get_blocks_with_limit,
    "getBlock": get_block,
}
