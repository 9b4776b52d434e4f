"""history_methods: the JSON-RPC methods about what landed.

In        a node and the parameters of a call.
Out       statuses, an address's transactions, a transaction.
Promises  nothing newer than the commitment asked for; the recent memory is 150 slots long.
"""

from collections.abc import Mapping

from sandbox.solana import encodings
from sandbox.solana.history import Landed
from sandbox.solana.json_forms import (
    transaction_json,
)
from sandbox.solana.methods import RECENT_SLOTS, Method
from sandbox.solana.node import Bank, Node
from sandbox.solana.parameters import Config, Parameters, form_of, signature_of
from sandbox.solana.refusals import Json, invalid_params

_HISTORY_MOST = 1_000


def get_signature_statuses(node: Node, given: Parameters) -> Json:
    """Return where transactions stand, from recent memory or from the whole history."""
    config = given.config(1)
    asked = [signature_of(one) for one in given.list(0, 256)]
    heads = node.chain.heads(node.lag_slots)
    bank = Bank(node.chain, heads.processed)
    everything = config.flag("searchTransactionHistory")
    statuses: list[Json] = []
    for signature in asked:
        landed = bank.landed(signature)
        if landed is None or (landed.slot < bank.slot - RECENT_SLOTS and not everything):
            statuses.append(None)
            continue
        rooted = landed.slot <= heads.finalized
        error = landed.outcome.error
        statuses.append(
            {
                "slot": landed.slot,
                "confirmations": None
                if rooted
                else bank.height - node.chain.blocks.height(landed.slot),
                "err": error,
                "status": {"Ok": None} if error is None else {"Err": error},
                "confirmationStatus": confirmation_of(node, landed),
            }
        )
    return bank.told(statuses)


def get_signatures_for_address(node: Node, given: Parameters) -> Json:
    """List an address's transactions, newest first."""
    address, config = given.address(0), given.config(1)
    bank = node.settled_bank(config)
    limit = config.whole("limit", most=_HISTORY_MOST)
    if limit == 0:
        raise invalid_params(f"Invalid limit; max {_HISTORY_MOST}")
    end = bank.count()
    if before := config.signature("before"):
        landed = bank.landed(before)
        end = landed.place if landed else 0
    stop = node.chain.history.get(until) if (until := config.signature("until")) else None
    rows: list[Json] = []
    for landed in node.chain.history.of_address(address, end):
        if (stop and landed.place <= stop.place) or len(rows) == (limit or _HISTORY_MOST):
            break
        rows.append(signature_row(node, landed))
    return rows


def get_transaction(node: Node, given: Parameters) -> Json:
    """Return a landed transaction, or null."""
    signature, config = signature_of(given.at(0)), given.config(1)
    landed = node.settled_bank(config).landed(signature)
    if landed is None:
        return None
    most = config.whole("maxSupportedTransactionVersion")
    return {
        "slot": landed.slot,
        "blockTime": node.chain.time_of_s(landed.slot),
        "transactionIndex": landed.index,
        **transaction_json(landed, form_of(config), most),
    }


def get_transactions_for_address(node: Node, given: Parameters) -> Json:
    """List an address's transactions in either order, filtered (a method of Helius)."""
    address, config = given.address(0), given.config(1)
    bank = node.settled_bank(config)
    filters = config.part("filters")
    details = config.text("transactionDetails", "signatures", ("signatures", "full"))
    most_rows = _HISTORY_MOST if details == "signatures" else 100
    limit = config.whole("limit", most=most_rows) or most_rows
    ascending = config.text("sortOrder", "desc", ("asc", "desc")) == "asc"
    rows = list(node.chain.history.of_address(address, bank.count()))
    if ascending:
        rows.reverse()
    cursor = _cursor(config)
    most_version = config.whole("maxSupportedTransactionVersion")
    chosen: list[Landed] = []
    for landed in rows:
        place = (landed.slot, landed.index)
        if cursor is not None and (place <= cursor if ascending else place >= cursor):
            continue
        if _passes(node, landed, filters) and _readable(landed, most_version, details):
            chosen.append(landed)
            if len(chosen) > limit:
                break
    page = chosen[:limit]
    token = f"{page[-1].slot}:{page[-1].index}" if len(chosen) > limit else None
    if details == "signatures":
        data: list[Json] = [
            {**signature_row(node, one), "transactionIndex": one.index} for one in page
        ]
    else:
        data = [
            {
                "slot": one.slot,
                "transactionIndex": one.index,
                "blockTime": node.chain.time_of_s(one.slot),
                **transaction_json(one, form_of(config), most_version),
            }
            for one in page
        ]
    return {"data": data, "paginationToken": token}


def confirmation_of(node: Node, landed: Landed) -> str:
    """Name the highest commitment a transaction has reached for this node."""
    heads = node.chain.heads(node.lag_slots)
    if landed.slot <= heads.finalized:
        return "finalized"
    return "confirmed" if landed.slot <= heads.confirmed else "processed"


def signature_row(node: Node, landed: Landed) -> dict[str, Json]:
    """Write a transaction as a line of an address's history."""
    return {
        "signature": landed.signature,
        "slot": landed.slot,
        "err": landed.outcome.error,
        "memo": landed.memo,
        "blockTime": node.chain.time_of_s(landed.slot),
        "confirmationStatus": confirmation_of(node, landed),
    }


def _cursor(config: Config) -> tuple[int, int] | None:
    if "paginationToken" not in config:
        return None
    slot, _, index = config.text("paginationToken", "").partition(":")
    if not (slot.isdigit() and index.isdigit()):
        raise invalid_params("Invalid params: paginationToken is slot:position.")
    return int(slot), int(index)


def _passes(node: Node, landed: Landed, filters: Config) -> bool:
    status = filters.text("status", "any", ("any", "succeeded", "failed"))
    if status != "any" and (landed.outcome.error is None) != (status == "succeeded"):
        return False
    return _within(landed.slot, filters.part("slot")) and _within(
        node.chain.time_of_s(landed.slot), filters.part("blockTime")
    )


def _within(number: int, bounds: Config) -> bool:
    return all(
        (limit := bounds.whole(name)) is None or holds(number, limit)
        for name, holds in (
            ("gte", int.__ge__),
            ("gt", int.__gt__),
            ("lte", int.__le__),
            ("lt", int.__lt__),
            ("eq", int.__eq__),
        )
    )


def _readable(landed: Landed, most_version: int | None, details: str) -> bool:
    # Helius leaves out, silently, what the caller did not say it can read.
    version = encodings.raw_version(landed.raw)
    return details == "signatures" or version is None or version <= (most_version or 0)


HISTORY_METHODS: Mapping[str, Method] = {
    "getSignatureStatuses": get_signature_statuses,
    "getSignaturesForAddress": get_signatures_for_address,
    "getTransaction": get_transaction,
    "getTransactionsForAddress": get_transactions_for_address,
}
