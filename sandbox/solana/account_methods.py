"""account_methods: the JSON-RPC methods about what addresses hold.

In        a node and the parameters of a call.
Out       accounts and balances, all as of one slot.
"""

from collections.abc import Mapping

from sandbox.solana.json_forms import (
    account_json,
)
from sandbox.solana.methods import Method
from sandbox.solana.node import Node
from sandbox.solana.parameters import Config, Parameters, address_of
from sandbox.solana.refusals import Json, invalid_params

_DATA_BYTES_MAX = 10 * 1024 * 1024


def get_balance(node: Node, given: Parameters) -> Json:
    """Return an address's lamports."""
    bank = node.bank(given.config(1))
    account = bank.account(given.address(0))
    return bank.told(account.lamports if account else 0)


def get_account_info(node: Node, given: Parameters) -> Json:
    """Return an account."""
    config = given.config(1)
    bank = node.bank(config)
    account = bank.account(given.address(0))
    return bank.told(account_json(account, config.text("encoding", "binary"), _slice(config)))


def get_multiple_accounts(node: Node, given: Parameters) -> Json:
    """Return up to 100 accounts as of one slot."""
    config = given.config(1)
    bank = node.bank(config)
    encoding, part = config.text("encoding", "base64"), _slice(config)
    addresses = [address_of(one) for one in given.list(0, 100)]
    return bank.told([account_json(bank.account(one), encoding, part) for one in addresses])


def get_minimum_balance_for_rent_exemption(node: Node, given: Parameters) -> Json:
    """Return what an account with so many bytes must hold."""
    data_bytes = given.whole(0)
    if data_bytes > _DATA_BYTES_MAX:
        raise invalid_params(f"Invalid params: an account has at most {_DATA_BYTES_MAX} bytes.")
    return node.chain.rent_minimum(data_bytes)


def _slice(config: Config) -> tuple[int, int] | None:
    if "dataSlice" not in config:
        return None
    part = config.part("dataSlice")
    return part.whole("offset") or 0, part.whole("length") or 0


ACCOUNT_METHODS: Mapping[str, Method] = {
    "getBalance": get_balance,
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getMinimumBalanceForRentExemption": get_minimum_balance_for_rent_exemption,
}
