"""sending_methods: the JSON-RPC methods that send, try and fund.

In        a node and the parameters of a call.
Out       a signature, or what a simulation says.
Promises  preflight checks what a validator's does, on the bank of the commitment asked for; an
          answer to ``sendTransaction`` says only that the transaction went on its way.
"""

from collections.abc import Mapping

from solders.transaction import VersionedTransaction

from sandbox.solana import encodings
from sandbox.solana.json_forms import account_json, inner_json, returned_json
from sandbox.solana.methods import Method
from sandbox.solana.node import Bank, Node
from sandbox.solana.parameters import Config, Parameters, address_of
from sandbox.solana.refusals import Json, RpcRefusal, invalid_params, words_of
from sandbox.solana.runtime import Outcome


def send_transaction(node: Node, given: Parameters) -> Json:
    """Check a transaction unless told not to, pass it to the leader, return its signature."""
    transaction, raw = checked_transaction(node, given)
    signature = str(transaction.signatures[0])
    if not node.faults.loses(signature):
        # What the leader does with it is not known here, as with a real node.
        node.chain.submit(raw)
    return signature


def checked_transaction(node: Node, given: Parameters) -> tuple[VersionedTransaction, bytes]:
    """Read a transaction to be sent, and try it unless told not to."""
    config = given.config(1)
    transaction, raw = encodings.transaction_from(given.text(0), config.text("encoding", "base58"))
    if config.flag("skipPreflight"):
        node.bank(config, "preflightCommitment")
        return transaction, raw
    bank = node.bank(config, "preflightCommitment")
    if not all(transaction.verify_with_results()):
        raise RpcRefusal(-32003, "Transaction signature verification failure")
    node.check_health()
    outcome = _simulated(bank, transaction, check_blockhash=True)
    if outcome.error is not None:
        raise RpcRefusal(
            -32002,
            f"Transaction simulation failed: {words_of(outcome.error)}",
            _result_json(outcome),
        )
    return transaction, raw


def simulate_transaction(node: Node, given: Parameters) -> Json:
    """Say what a transaction would do."""
    config = given.config(1)
    bank = node.bank(config)
    transaction, _ = encodings.transaction_from(given.text(0), config.text("encoding", "base58"))
    verify, replace = config.flag("sigVerify"), config.flag("replaceRecentBlockhash")
    if verify and replace:
        raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    if verify and not all(transaction.verify_with_results()):
        raise RpcRefusal(-32003, "Transaction signature verification failure")
    outcome = _simulated(bank, transaction, check_blockhash=not replace)
    result = _result_json(outcome)
    assert isinstance(result, dict), "a result is an object"
    if replace:
        result["replacementBlockhash"] = {
            "blockhash": str(node.chain.blockhash(bank.slot)),
            "lastValidBlockHeight": bank.height + 150,
        }
    if config.flag("innerInstructions"):
        result["innerInstructions"] = inner_json(outcome)
    if "accounts" in config:
        result["accounts"] = _accounts(bank, outcome, config.part("accounts"))
    return bank.told(result)


def request_airdrop(node: Node, given: Parameters) -> Json:
    """Send test lamports from the faucet."""
    address, lamports = given.address(0), given.whole(1)
    most = node.chain.settings.airdrop_most_lamports
    if not 0 < lamports <= most:
        raise invalid_params(f"Invalid params: an airdrop is from 1 to {most} lamports.")
    try:
        return node.chain.airdrop(address, lamports)
    except ValueError as failed:
        raise RpcRefusal(-32603, f"airdrop request failed: {failed}") from failed


def _simulated(bank: Bank, transaction: VersionedTransaction, *, check_blockhash: bool) -> Outcome:
    blockhash = transaction.message.recent_blockhash
    if check_blockhash and not bank.chain.blockhash_valid(blockhash, bank.slot):
        return Outcome("BlockhashNotFound", in_block=False, fee=0)
    if bank.landed(str(transaction.signatures[0])) is not None:
        return Outcome("AlreadyProcessed", in_block=False, fee=0)
    return bank.chain.simulate(transaction, bank.slot)


def _result_json(outcome: Outcome) -> Json:
    error = outcome.error
    return {
        "err": error,
        "logs": list(outcome.logs),
        "accounts": None,
        "unitsConsumed": outcome.units,
        "loadedAccountsDataSize": 0,
        "returnData": returned_json(outcome),
        "innerInstructions": None,
        "replacementBlockhash": None,
        "fee": outcome.fee or None,
    }


def _accounts(bank: Bank, outcome: Outcome, wanted: Config) -> Json:
    encoding = wanted.text("encoding", "base64", ("base64", "jsonParsed"))
    answer: list[Json] = []
    for text in wanted.texts("addresses"):
        address = address_of(text)
        account = outcome.accounts.get(address) or bank.account(address)
        answer.append(account_json(account, encoding))
    return answer


SENDING_METHODS: Mapping[str, Method] = {
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "requestAirdrop": request_airdrop,
}
