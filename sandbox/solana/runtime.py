"""runtime: the Solana virtual machine, told what a validator would tell it.

In        a transaction, the block's slot and time, the rent rate.
Out       what became of it: error, fee, logs, and whether it belongs in a block at all.
Promises  a transaction that could not even pay leaves no trace; one that failed pays its fee;
          version 1 configs hold, which LiteSVM itself does not look at.
Why       blockhashes, duplicates and history are the server's: a machine here only executes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.compute_budget import ComputeBudget
from solders.litesvm import LiteSVM
from solders.message import MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    InnerInstruction,
    SimulatedTransactionInfo,
    TransactionMetadata,
)

from sandbox.solana.fees import (
    COMPUTE_BUDGET,
    LAMPORTS_PER_SIGNATURE,
    AnyMessage,
    budget_of,
    fee_of,
)
from sandbox.solana.refusals import Json

ChainError = str | dict[str, Json] | None
SYSTEM_PROGRAM = Pubkey.from_string("11111111111111111111111111111111")
SLOTS_PER_EPOCH = 432_000
_UPGRADEABLE = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
_TABLE_HEAD_BYTES = 56
_KEY_BYTES = 32
_ACCOUNT_OVERHEAD_BYTES = (
    64  # https://github.com/solana-foundation/solana-improvement-documents SIMD-0186
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Every address of a transaction in order, and which of them it may change."""

    all: tuple[Pubkey, ...]
    writable: tuple[bool, ...]
    loaded_writable: int = 0
    loaded_readonly: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction; ``in_block`` says whether a leader would include it."""

    error: ChainError
    in_block: bool
    fee: int
    logs: tuple[str, ...] = ()
    units: int = 0
    inner: Sequence[Sequence[InnerInstruction]] = ()
    returned: tuple[Pubkey, bytes] | None = None
    accounts: dict[Pubkey, Account] = field(default_factory=dict)


class _Failure(msgspec.Struct):
    err: Any


class Runtime:
    """Hold one state of all accounts and run transactions on it."""

    def __init__(self, lamports_per_byte: int) -> None:
        self._machine = (
            LiteSVM().with_blockhash_check(False).with_transaction_history(0).with_sigverify(False)
        )
        self._budget = ComputeBudget(True)
        self._slot = -1
        self.set_rent(lamports_per_byte)

    def set_rent(self, lamports_per_byte: int) -> None:
        """Let rent cost this much from now on."""
        self._machine.set_rent(Rent(lamports_per_byte))

    def rent_minimum(self, data_bytes: int) -> int:
        """Compute what an account with so much data must hold."""
        return self._machine.minimum_balance_for_rent_exemption(data_bytes)

    def set_block(self, slot: int, time_s: int) -> None:
        """Say which block is being made; programs read it as the clock."""
        if slot != self._slot:
            self._slot = slot
            epoch = slot // SLOTS_PER_EPOCH
            self._machine.set_clock(Clock(slot, time_s, epoch, epoch + 1, time_s))

    def account(self, address: Pubkey) -> Account | None:
        """Return the account at an address."""
        return self._machine.get_account(address)

    def lamports(self, address: Pubkey) -> int:
        """Return the balance of an address."""
        return self._machine.get_balance(address) or 0

    def put(self, address: Pubkey, account: Account | None) -> None:
        """Place an account as it is, outside any transaction."""
        self._machine.set_account(address, account or Account(0, b"", SYSTEM_PROGRAM))

    def keys_of(self, message: AnyMessage) -> Keys:
        """List a message's addresses, those of its lookup tables included."""
        static = message.account_keys
        writable = _writable(message)
        if not isinstance(message, MessageV0) or not message.address_table_lookups:
            return Keys(tuple(static), tuple(writable))
        changed: list[Pubkey] = []
        read: list[Pubkey] = []
        for lookup in message.address_table_lookups:
            table = self.account(lookup.account_key)
            entries = table.data[_TABLE_HEAD_BYTES:] if table else b""
            for indexes, into in (
                (lookup.writable_indexes, changed),
                (lookup.readonly_indexes, read),
            ):
                for index in indexes:
                    entry = entries[index * _KEY_BYTES : (index + 1) * _KEY_BYTES]
                    if len(entry) == _KEY_BYTES:
                        into.append(Pubkey(entry))
        return Keys(
            (*static, *changed, *read),
            (*writable, *(True for _ in changed), *(False for _ in read)),
            len(changed),
            len(read),
        )

    def execute(self, transaction: VersionedTransaction) -> Outcome:
        """Run a transaction and keep what it did."""
        return self._run(transaction, keep=True)

    def simulate(self, transaction: VersionedTransaction) -> Outcome:
        """Run a transaction and forget what it did."""
        return self._run(transaction, keep=False)

    def _run(self, transaction: VersionedTransaction, *, keep: bool) -> Outcome:
        message = transaction.message
        budget = budget_of(message)
        self._budget.compute_unit_limit = budget.unit_limit
        self._machine.with_compute_budget(self._budget)
        if not isinstance(message, MessageV1):
            return self._on_machine(transaction, fee_of(message), keep=keep)

        payer, fee = message.account_keys[0], fee_of(message)
        before = self.account(payer)
        held = before.lamports if before else 0
        if refusal := self._cannot_pay(held, fee):
            return Outcome(refusal, in_block=False, fee=fee)
        assert before is not None, "who can pay has an account"
        if self._loaded_bytes(message.account_keys) > budget.loaded_bytes:
            if keep:
                self.put(payer, _with_lamports(before, held - fee))
            return Outcome("MaxLoadedAccountsDataSizeExceeded", in_block=True, fee=fee)

        # The machine takes the signatures' fee, and what compute budget instructions ask, which
        # version 1 ignores; the difference to the true fee is put right before it looks.
        charged = self._charged_by_machine(transaction)
        self.put(payer, _with_lamports(before, held - fee + charged))
        outcome = self._on_machine(transaction, fee, keep=keep)
        if not (keep and outcome.in_block):
            self.put(payer, before)
        return outcome

    def _charged_by_machine(self, transaction: VersionedTransaction) -> int:
        message = transaction.message
        if COMPUTE_BUDGET not in message.account_keys:
            return LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures
        return self._machine.simulate_transaction(transaction).meta().fee()

    def _cannot_pay(self, held: int, fee: int) -> ChainError:
        if held == 0:
            return "AccountNotFound"
        if held < fee:
            return "InsufficientFundsForFee"
        least = self.rent_minimum(0)
        if held >= least and 0 < held - fee < least:
            return {"InsufficientFundsForRent": {"account_index": 0}}
        return None

    def _loaded_bytes(self, addresses: Iterable[Pubkey]) -> int:
        total = 0
        for address in addresses:
            account = self.account(address)
            if account is None:
                continue
            total += _ACCOUNT_OVERHEAD_BYTES + len(account.data)
            if account.owner == _UPGRADEABLE and account.executable:
                code = self.account(Pubkey(account.data[4:36]))
                total += _ACCOUNT_OVERHEAD_BYTES + len(code.data) if code else 0
        return total

    def _on_machine(self, transaction: VersionedTransaction, fee: int, *, keep: bool) -> Outcome:
        payer = transaction.message.account_keys[0]
        if not keep:
            tried = self._machine.simulate_transaction(transaction)
            if isinstance(tried, SimulatedTransactionInfo):
                return _outcome(tried.meta(), fee, None, dict(tried.post_accounts()))
            return _outcome(tried.meta(), fee, _error(tried))
        held = self.lamports(payer)
        done = self._machine.send_transaction(transaction)
        if isinstance(done, TransactionMetadata):
            return _outcome(done, fee, None)
        return _outcome(done.meta(), fee, _error(done), in_block=self.lamports(payer) != held)


def _writable(message: AnyMessage) -> list[bool]:
    header, count = message.header, len(message.account_keys)
    signed = header.num_required_signatures
    signed_writable = signed - header.num_readonly_signed_accounts
    unsigned_writable = count - header.num_readonly_unsigned_accounts
    return [
        index < signed_writable or signed <= index < unsigned_writable for index in range(count)
    ]


def _outcome(
    meta: TransactionMetadata,
    fee: int,
    error: ChainError,
    accounts: dict[Pubkey, Account] | None = None,
    *,
    in_block: bool = True,
) -> Outcome:
    returned = meta.return_data()
    data = bytes(returned.data)
    return Outcome(
        error,
        in_block,
        fee,
        tuple(meta.logs()),
        meta.compute_units_consumed(),
        meta.inner_instructions(),
        (returned.program_id, data) if data else None,
        accounts or {},
    )


def _error(failed: FailedTransactionMetadata) -> ChainError:
    # Its own JSON is the shape that a node's JSON-RPC has.
    error: ChainError = msgspec.json.decode(failed.to_json(), type=_Failure).err
    return error


def _with_lamports(account: Account, lamports: int) -> Account:
    return Account(lamports, account.data, account.owner, account.executable, account.rent_epoch)
