"""time_methods: the JSON-RPC methods about the node itself and its time.

In        a node and the parameters of a call.
Out       slots, heights, blockhashes, as of the commitment asked for.
"""

from collections.abc import Mapping

from solders.hash import Hash, ParseHashError

from sandbox.solana.chain import BLOCKHASH_BLOCKS
from sandbox.solana.methods import Method
from sandbox.solana.node import VERSION, Node
from sandbox.solana.parameters import Parameters
from sandbox.solana.refusals import Json, invalid_params
from sandbox.solana.runtime import SLOTS_PER_EPOCH


def get_health(node: Node, _given: Parameters) -> Json:
    """Say ok, or how far behind the node is."""
    node.check_health()
    return "ok"


def get_version(_node: Node, _given: Parameters) -> Json:
    """Name the software."""
    return {"solana-core": VERSION, "feature-set": 3_640_012_085}


def get_identity(node: Node, _given: Parameters) -> Json:
    """Name the node."""
    return {"identity": str(node.chain.faucet.pubkey())}


def get_genesis_hash(node: Node, _given: Parameters) -> Json:
    """Name the chain."""
    return str(node.chain.genesis_hash)


def get_slot(node: Node, given: Parameters) -> Json:
    """Return the slot."""
    return node.bank(given.config(0)).slot


def get_block_height(node: Node, given: Parameters) -> Json:
    """Return the block height."""
    return node.bank(given.config(0)).height


def get_transaction_count(node: Node, given: Parameters) -> Json:
    """Count the transactions."""
    return node.bank(given.config(0)).count()


def get_epoch_info(node: Node, given: Parameters) -> Json:
    """Say where in the epoch the chain is."""
    bank = node.bank(given.config(0))
    epoch, index = divmod(bank.slot, SLOTS_PER_EPOCH)
    return {
        "absoluteSlot": bank.slot,
        "blockHeight": bank.height,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": bank.count(),
    }


def get_first_available_block(_node: Node, _given: Parameters) -> Json:
    """Return the oldest block that is kept, which is the first."""
    return 0


def get_latest_blockhash(node: Node, given: Parameters) -> Json:
    """Return a blockhash and the last block height it is good for."""
    bank = node.bank(given.config(0))
    return bank.told(
        {
            "blockhash": str(node.chain.blockhash(bank.slot)),
            "lastValidBlockHeight": bank.height + BLOCKHASH_BLOCKS,
        }
    )


def is_blockhash_valid(node: Node, given: Parameters) -> Json:
    """Say whether a blockhash is still good."""
    bank = node.bank(given.config(1))
    try:
        blockhash = Hash.from_string(given.text(0))
    except ParseHashError as invalid:
        raise invalid_params(f"Invalid param: {invalid}") from invalid
    return bank.told(node.chain.blockhash_valid(blockhash, bank.slot))


TIME_METHODS: Mapping[str, Method] = {
    "getHealth": get_health,
    "getVersion": get_version,
    "getIdentity": get_identity,
    "getGenesisHash": get_genesis_hash,
    "getSlot": get_slot,
    "getBlockHeight": get_block_height,
    "getTransactionCount": get_transaction_count,
    "getEpochInfo": get_epoch_info,
    "getFirstAvailableBlock": get_first_available_block,
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "minimumLedgerSlot": get_first_available_block,
}
