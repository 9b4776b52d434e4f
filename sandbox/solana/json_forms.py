"""json_forms: accounts and transactions in the JSON that a node answers with.

In        accounts and landed transactions.
Out       plain JSON values in the encoding asked for.
Promises  the field names and nesting of Agave's RPC, so that unmodified clients parse them.
"""

import base64
from typing import Literal

from solders.account import Account
from solders.message import MessageV0, MessageV1
from solders.transaction import VersionedTransaction

from sandbox.solana import base58
from sandbox.solana.fees import AnyMessage
from sandbox.solana.history import Landed
from sandbox.solana.parsed import parsed_instruction
from sandbox.solana.refusals import Json, RpcRefusal, invalid_params
from sandbox.solana.runtime import Keys, Outcome
from sandbox.solana.tokens import balances_json

TransactionForm = Literal["base58", "base64", "json", "jsonParsed"]
_RENT_NEVER_DUE = 18_446_744_073_709_551_615
_BASE58_DATA_MAX = 128


def account_json(
    account: Account | None, encoding: str, data_slice: tuple[int, int] | None = None
) -> Json:
    """Write an account, or null where there is none."""
    if account is None:
        return None
    data = bytes(account.data)
    if data_slice is not None:
        offset, length = data_slice
        data = data[offset : offset + length]
    return {
        "data": _account_data(data, encoding),
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": _RENT_NEVER_DUE,
        "space": len(account.data),
    }


def _account_data(data: bytes, encoding: str) -> Json:
    if encoding in ("binary", "base58"):
        if len(data) > _BASE58_DATA_MAX:
            raise RpcRefusal(
                -32600,
                f"Encoded binary (base 58) data should be less than {_BASE58_DATA_MAX} bytes, "
                "please use Base64 encoding.",
            )
        text = base58.encode(data)
        return text if encoding == "binary" else [text, "base58"]
    if encoding in ("base64", "jsonParsed"):
        return [base64.b64encode(data).decode(), "base64"]
    raise invalid_params(f"encoding {encoding!r} is not served here; use base64")


def version_of(transaction: VersionedTransaction) -> Literal["legacy"] | int:
    """Return a transaction's version as JSON has it."""
    message = transaction.message
    if isinstance(message, MessageV1):
        return 1
    return 0 if isinstance(message, MessageV0) else "legacy"


def transaction_json(
    landed: Landed, encoding: TransactionForm, max_version: int | None
) -> dict[str, Json]:
    """Write a landed transaction with its meta, or refuse a version the caller cannot read."""
    transaction = landed.transaction()
    version = version_of(transaction)
    if isinstance(version, int) and (max_version is None or version > max_version):
        raise RpcRefusal(
            -32015,
            f"Transaction version ({version}) is not supported by the requesting client. Please "
            "try the request again with the following configuration parameter: "
            f'"maxSupportedTransactionVersion": {version}',
        )
    answer: dict[str, Json] = {
        "transaction": _encoded(landed, transaction, encoding),
        "meta": meta_json(landed),
    }
    if max_version is not None:
        answer["version"] = version
    return answer


def accounts_json(landed: Landed) -> dict[str, Json]:
    """Write a landed transaction as the accounts it touched."""
    transaction = landed.transaction()
    return {
        "transaction": {
            "signatures": [str(signature) for signature in transaction.signatures],
            "accountKeys": _parsed_keys(transaction.message, landed.keys),
        },
        "meta": meta_json(landed),
    }


def meta_json(landed: Landed) -> Json:
    """Write what a transaction did."""
    outcome, keys = landed.outcome, landed.keys
    static = len(keys.all) - keys.loaded_writable - keys.loaded_readonly
    readonly = static + keys.loaded_writable
    return {
        "err": outcome.error,
        "status": {"Ok": None} if outcome.error is None else {"Err": outcome.error},
        "fee": outcome.fee,
        "preBalances": list(landed.before),
        "postBalances": list(landed.after),
        "innerInstructions": inner_json(outcome),
        "logMessages": list(outcome.logs),
        "preTokenBalances": balances_json(landed.tokens_before, landed.decimals),
        "postTokenBalances": balances_json(landed.tokens_after, landed.decimals),
        "rewards": [],
        "loadedAddresses": {
            "writable": [str(key) for key in keys.all[static:readonly]],
            "readonly": [str(key) for key in keys.all[readonly:]],
        },
        "computeUnitsConsumed": outcome.units,
        "costUnits": outcome.units,
        **({"returnData": returned_json(outcome)} if outcome.returned else {}),
    }


def inner_json(outcome: Outcome) -> list[Json]:
    """Write the instructions that programs called."""
    return [
        {
            "index": index,
            "instructions": [
                {
                    "programIdIndex": inner.instruction().program_id_index,
                    "accounts": list(inner.instruction().accounts),
                    "data": base58.encode(bytes(inner.instruction().data)),
                    "stackHeight": inner.stack_height(),
                }
                for inner in called
            ],
        }
        for index, called in enumerate(outcome.inner)
        if called
    ]


def returned_json(outcome: Outcome) -> Json:
    """Write what the last program returned."""
    if outcome.returned is None:
        return None
    program, data = outcome.returned
    return {"programId": str(program), "data": [base64.b64encode(data).decode(), "base64"]}


def _encoded(landed: Landed, transaction: VersionedTransaction, encoding: TransactionForm) -> Json:
    if encoding == "base64":
        return [base64.b64encode(landed.raw).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(landed.raw), "base58"]
    message = transaction.message
    body: dict[str, Json] = {"recentBlockhash": str(message.recent_blockhash)}
    if encoding == "jsonParsed":
        body["accountKeys"] = _parsed_keys(message, landed.keys)
        body["instructions"] = [
            parsed_instruction(instruction, landed.keys.all) for instruction in message.instructions
        ]
    else:
        header = message.header
        body["header"] = {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        }
        body["accountKeys"] = [str(key) for key in message.account_keys]
        body["instructions"] = [
            {
                "programIdIndex": instruction.program_id_index,
                "accounts": list(instruction.accounts),
                "data": base58.encode(bytes(instruction.data)),
                "stackHeight": 1,
            }
            for instruction in message.instructions
        ]
    if isinstance(message, MessageV0):
        body["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    if isinstance(message, MessageV1):
        config = message.config
        body["transactionConfig"] = {
            "priorityFee": config.priority_fee,
            "computeUnitLimit": config.compute_unit_limit,
            "loadedAccountsDataSizeLimit": config.loaded_accounts_data_size_limit,
            "heapSize": config.heap_size,
        }
    return {
        "signatures": [str(signature) for signature in transaction.signatures],
        "message": body,
    }


def _parsed_keys(message: AnyMessage, keys: Keys) -> list[Json]:
    signers = message.header.num_required_signatures
    static = len(message.account_keys)
    return [
        {
            "pubkey": str(key),
            "writable": writable,
            "signer": index < signers,
            "source": "transaction" if index < static else "lookupTable",
        }
        for index, (key, writable) in enumerate(zip(keys.all, keys.writable, strict=True))
    ]


def _plain(error: object) -> Json:
    assert error is None or isinstance(error, str | dict), (
        "an error is a name or a name with detail"
    )
    return error
