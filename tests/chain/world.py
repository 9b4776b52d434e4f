"""A small pretended Solana: blocks, forks and two nodes that answer real JSON-RPC about them.

It executes what a test says happened, so that what we read can be compared with what was done; the
transactions in it are real ones, signed, in any version.
"""

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from chain.programs import MEMO_PROGRAM
from chain.providers import BLOCKHASH_BLOCKS, Providers
from chain.rpc import Rpc
from chain.settings import Endpoint, RpcSettings
from rooms.base58 import ALPHABET
from rooms.units import Address, Lamports, Signature

SYSTEM = "11111111111111111111111111111111"
RENT = 650_240
BORN_AT = 1_790_000_000
CONFIRMED_BEHIND = 1
FINALIZED_BEHIND = 8
HEIGHT_BEHIND = 100

Leg = tuple[Pubkey, int]


def base58(raw: bytes) -> str:
    """Write bytes in base58."""
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def keypair(number: int) -> Keypair:
    """Give the same keypair for the same number."""
    return Keypair.from_seed(number.to_bytes(32, "big"))


def address(key: Pubkey) -> Address:
    """Give a key as our own kind of address."""
    return Address(str(key))


def snake(method: str) -> str:
    """Write an RPC method's name the way Python names its functions."""
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), method)


def transfer_data(lamports: int) -> bytes:
    """Write the data of a System transfer."""
    return (2).to_bytes(4, "little") + lamports.to_bytes(8, "little")


@dataclass
class Happened:
    """A transaction in a block, with what it did."""

    transaction: VersionedTransaction
    slot: int
    error: Any
    keys: list[Pubkey]
    loaded: list[Pubkey]
    before: list[int]
    after: list[int]
    inner: list[dict[str, Any]]
    version: str | int

    @property
    def signature(self) -> Signature:
        """Give its name."""
        return Signature(str(self.transaction.signatures[0]))


@dataclass
class World:
    """The blocks that there are; the newest slot has just been made."""

    slot: int = 1_000
    balances: dict[Pubkey, int] = field(default_factory=dict)
    happened: list[Happened] = field(default_factory=list)
    owners: dict[Pubkey, tuple[str, bool]] = field(default_factory=dict)
    memo_count: int = 0

    def pay(
        self,
        payer: Keypair,
        legs: Sequence[Leg],
        *,
        version: str | int = 0,
        calls: Sequence[Leg] = (),
        extra: Sequence[Leg] = (),
        memo: str | None = None,
        loaded: Sequence[Pubkey] = (),
        fails: bool = False,
    ) -> Signature:
        """Land a transaction of ``payer`` in the newest slot.

        ``legs`` are its System transfers; ``calls`` are made by a program it calls, ``extra`` are
        lamports that move in no System transfer; ``loaded`` come out of a lookup table.
        """
        own = payer.pubkey()
        instructions = [
            transfer(TransferParams(from_pubkey=own, to_pubkey=to, lamports=lamports))
            for to, lamports in legs
        ]
        self.memo_count += 1
        text = memo if memo is not None else f"stranger {self.memo_count}"
        instructions.append(
            Instruction(MEMO_PROGRAM, text.encode(), [AccountMeta(own, True, False)])
        )
        program = keypair(999_999).pubkey()
        touched = [AccountMeta(to, False, True) for to, _ in (*calls, *extra)]
        called = [
            AccountMeta(own, True, True),
            AccountMeta(Pubkey.from_string(SYSTEM), False, False),
            *touched,
        ]
        instructions.append(Instruction(program, b"", called))
        transaction = self._signed(payer, instructions, version, loaded)
        keys = list(transaction.message.account_keys)
        if isinstance(transaction.message, MessageV0):
            for lookup in transaction.message.address_table_lookups:
                keys += [loaded[index] for index in lookup.writable_indexes]
        self.balances.setdefault(own, 10**15)
        inner = [
            {
                "programIdIndex": keys.index(Pubkey.from_string(SYSTEM)),
                "accounts": [keys.index(own), keys.index(to)],
                "data": base58(transfer_data(lamports)),
                "stackHeight": 2,
            }
            for to, lamports in calls
        ]
        before = [self.balances.get(key, 0) for key in keys]
        self._move(own, [] if fails else [*legs, *calls, *extra])
        self.happened.append(
            Happened(
                transaction=transaction,
                slot=self.slot,
                error={"InstructionError": [0, {"Custom": 1}]} if fails else None,
                keys=keys,
                loaded=keys[len(transaction.message.account_keys) :],
                before=before,
                after=[self.balances.get(key, 0) for key in keys],
                inner=[{"index": len(instructions) - 1, "instructions": inner}] if inner else [],
                version=version,
            )
        )
        return self.happened[-1].signature

    def _move(self, payer: Pubkey, legs: Sequence[Leg]) -> None:
        self.balances[payer] -= 5_000
        for to, lamports in legs:
            self.balances[payer] -= lamports
            self.balances[to] = self.balances.get(to, 0) + lamports

    def _signed(
        self,
        payer: Keypair,
        instructions: Sequence[Instruction],
        version: str | int,
        loaded: Sequence[Pubkey],
    ) -> VersionedTransaction:
        blockhash = Hash.new_unique()
        message: Message | MessageV0 | MessageV1
        if version == "legacy":
            message = Message.new_with_blockhash(instructions, payer.pubkey(), blockhash)
        elif version == 0:
            tables = [AddressLookupTableAccount(keypair(5).pubkey(), list(loaded))]
            message = MessageV0.try_compile(
                payer.pubkey(), instructions, tables if loaded else [], blockhash
            )
        else:
            message = MessageV1.try_compile(payer.pubkey(), instructions, blockhash)
        return VersionedTransaction.populate(
            message, [payer.sign_message(to_bytes_versioned(message))]
        )

    def fork(self) -> None:
        """Take back everything that is not final."""
        final = self.slot - FINALIZED_BEHIND
        for gone in reversed([each for each in self.happened if each.slot > final]):
            for key, before, after in zip(gone.keys, gone.before, gone.after, strict=True):
                self.balances[key] = self.balances.get(key, 0) + before - after
            self.happened.remove(gone)


class Node(Rpc):
    """One node's view of the world; it can lag, fall silent, lie and forget."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(Endpoint(name, f"http://127.0.0.1:1/{name}"), RpcSettings())
        self.world = world
        self.behind = 0
        self.trouble: Exception | None = None
        self.hidden: set[str] = set()
        self.history_from = 0
        self.versions: dict[str, int] = {}
        self.asked: list[str] = []
        self.between: Callable[[str], None] = lambda _: None
        self.lies: dict[str, Callable[[Any], Any]] = {}

    async def _post(self, method: str, content: bytes) -> bytes:
        self.between(method)
        self.asked.append(method)
        if self.trouble is not None:
            raise self.trouble
        request = json.loads(content)
        answer = getattr(self, "_" + snake(method))(*request.get("params", []))
        if isinstance(answer, Refusal):
            reply = {"error": {"code": answer.code, "message": answer.message}}
        else:
            reply = {"result": self.lies.get(method, lambda same: same)(answer)}
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}).encode()

    def _tip(self, commitment: str) -> int:
        behind = {"processed": 0, "confirmed": CONFIRMED_BEHIND, "finalized": FINALIZED_BEHIND}
        return self.world.slot - self.behind - behind[commitment]

    def _commitment(self, slot: int) -> str | None:
        for commitment in ("finalized", "confirmed", "processed"):
            if slot <= self._tip(commitment):
                return commitment
        return None

    def _visible(self, commitment: str) -> list[Happened]:
        return [
            each
            for each in self.world.happened
            if each.slot <= self._tip(commitment)
            and each.slot >= self.history_from
            and each.signature not in self.hidden
        ]

    def _find(self, signature: str, commitment: str) -> Happened | None:
        found = [each for each in self._visible(commitment) if each.signature == signature]
        return found[0] if found else None

    def _get_epoch_info(self, options: dict[str, Any]) -> object:
        slot = self._tip(options["commitment"])
        return {"absoluteSlot": slot, "blockHeight": slot - HEIGHT_BEHIND, "epoch": 1}

    def _get_latest_blockhash(self, options: dict[str, Any]) -> object:
        slot = self._tip(options["commitment"])
        value = {
            "blockhash": f"block {slot}",
            "lastValidBlockHeight": slot - HEIGHT_BEHIND + BLOCKHASH_BLOCKS,
        }
        return {"context": {"slot": slot}, "value": value}

    def _is_blockhash_valid(self, blockhash: str, options: dict[str, Any]) -> object:
        slot, made = self._tip(options["commitment"]), int(blockhash.removeprefix("block "))
        if slot < options["minContextSlot"]:
            return Refusal(-32016, "Minimum context slot has not been reached")
        return {"context": {"slot": slot}, "value": slot - BLOCKHASH_BLOCKS < made <= slot}

    def _get_slot(self, options: dict[str, Any]) -> object:
        return self._tip(options["commitment"])

    def _get_first_available_block(self) -> object:
        return self.history_from

    def _get_block_time(self, slot: int) -> object:
        return BORN_AT + slot

    def _get_minimum_balance_for_rent_exemption(self, size: int) -> object:
        return RENT if size == 0 else None

    def _get_multiple_accounts(self, addresses: list[str], options: dict[str, Any]) -> object:
        tip = self._tip(options["commitment"])
        accounts: list[object] = []
        for text in addresses:
            key = Pubkey.from_string(text)
            lamports = self.world.balances.get(key, 0)
            for later in reversed([e for e in self.world.happened if e.slot > tip]):
                if key in later.keys:
                    lamports = later.before[later.keys.index(key)]
            owner, executable = self.world.owners.get(key, (SYSTEM, False))
            account = {
                "lamports": lamports,
                "owner": owner,
                "executable": executable,
                "data": ["", "base64"],
                "rentEpoch": 18_446_744_073_709_551_615,
                "space": 0,
            }
            accounts.append(account if lamports else None)
        return {"context": {"slot": tip}, "value": accounts}

    def _get_signature_statuses(self, signatures: list[str], options: dict[str, Any]) -> object:
        assert options == {"searchTransactionHistory": True}
        statuses: list[Any] = []
        for signature in signatures:
            found = self._find(signature, "processed")
            statuses.append(
                None
                if found is None
                else {
                    "slot": found.slot,
                    "confirmations": None,
                    "err": found.error,
                    "confirmationStatus": self._commitment(found.slot),
                }
            )
        return {"context": {"slot": self._tip("processed")}, "value": statuses}

    def _get_signatures_for_address(self, text: str, options: dict[str, Any]) -> object:
        key = Pubkey.from_string(text)
        listed = [
            each for each in reversed(self._visible(options["commitment"])) if key in each.keys
        ]
        names = [each.signature for each in listed]
        start = names.index(options["before"]) + 1 if options.get("before") in names else 0
        end = names.index(options["until"]) if options.get("until") in names else len(names)
        return [
            {
                "signature": each.signature,
                "slot": each.slot,
                "err": each.error,
                "memo": None,
                "blockTime": BORN_AT + each.slot,
                "confirmationStatus": self._commitment(each.slot),
            }
            for each in listed[start:end][: options["limit"]]
        ]

    def _get_transaction(self, signature: str, options: dict[str, Any]) -> object:
        assert options["maxSupportedTransactionVersion"] == 1
        found = self._find(signature, options["commitment"])
        if found is None:
            return None
        if self.versions.get(signature, 0) > 1:
            return Refusal(-32015, "Transaction version (2) is not supported")
        return {
            "slot": found.slot,
            "blockTime": BORN_AT + found.slot,
            "version": found.version,
            "transaction": [base64.b64encode(bytes(found.transaction)).decode(), "base64"],
            "meta": {
                "err": found.error,
                "fee": 5_000,
                "preBalances": found.before,
                "postBalances": found.after,
                "innerInstructions": found.inner,
                "logMessages": [],
                "loadedAddresses": {"writable": [str(key) for key in found.loaded], "readonly": []},
            },
        }


@dataclass
class Refusal:
    """An error that a node answers."""

    code: int
    message: str


def two_nodes(world: World) -> tuple[Node, Node, Providers]:
    """Give two nodes of one world, and the providers made of them."""
    one, other = Node("one", world), Node("other", world)
    return one, other, Providers([one, other])


def lamports_at(world: World, key: Pubkey) -> Lamports:
    """Give what really lies at an address now."""
    return Lamports(world.balances.get(key, 0))
