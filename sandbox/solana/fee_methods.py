"""fee_methods: the JSON-RPC methods about what transactions cost.

In        a node and the parameters of a call.
Out       the fee of a message; what others pay on top, as the control set it.
"""

from collections.abc import Mapping

from solders.message import from_bytes_versioned

from sandbox.solana import encodings
from sandbox.solana.fees import fee_of
from sandbox.solana.methods import RECENT_SLOTS, Method
from sandbox.solana.node import Node
from sandbox.solana.parameters import Parameters, address_of
from sandbox.solana.refusals import Json, invalid_params


def get_fee_for_message(node: Node, given: Parameters) -> Json:
    """Return what a message would cost, or null when its blockhash has expired."""
    bank = node.bank(given.config(1))
    raw = encodings.base64_bytes(given.text(0))
    try:
        message = from_bytes_versioned(raw)
    except ValueError as invalid:
        raise invalid_params(f"failed to deserialize message: {invalid}") from invalid
    if not node.chain.blockhash_valid(message.recent_blockhash, bank.slot):
        return bank.told(None)
    return bank.told(fee_of(message))


def get_recent_prioritization_fees(node: Node, given: Parameters) -> Json:
    """List what recent blocks cost on top, in micro-lamports a compute unit."""
    if given.has(0):
        for one in given.list(0, 128):
            address_of(one)
    head = node.head("processed")
    return [
        {"slot": slot, "prioritizationFee": node.priority_price}
        for slot in range(head - RECENT_SLOTS + 1, head + 1)
    ]


def get_priority_fee_estimate(node: Node, given: Parameters) -> Json:
    """Estimate what a transaction should pay on top (a method of Helius)."""
    config = given.config(0)
    options = config.part("options")
    price = node.priority_price
    levels: dict[str, Json] = {
        "min": 0.0,
        "low": float(price // 2),
        "medium": float(price),
        "high": float(price * 10),
        "veryHigh": float(price * 100),
        "unsafeMax": float(price * 5_000),
    }
    if options.flag("includeAllPriorityFeeLevels"):
        return {"priorityFeeLevels": levels}
    level = options.text("priorityLevel", "Medium")
    chosen = levels.get(level[:1].lower() + level[1:])
    if chosen is None:
        raise invalid_params(f"Invalid params: priorityLevel {level!r} is not known.")
    return {"priorityFeeEstimate": chosen}


FEE_METHODS: Mapping[str, Method] = {
    "getFeeForMessage": get_fee_for_message,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
    "getPriorityFeeEstimate": get_priority_fee_estimate,
}
