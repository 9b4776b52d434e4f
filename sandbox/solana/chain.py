"""chain: one Solana chain: its blocks, its accounts and everything that ever landed.

In        signed transactions; orders of the control: fork, rent, pause, advance.
Out       what is visible at each commitment, for a node that may lag.
Holds     the log on disk, one runtime that lands, one that only simulates.
Promises  a landed transaction is in the log before anybody can see it; a block a node called
          confirmed never changes, unless the control forks it away; finalized blocks stay.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from sandbox.solana.blocks import Blocks, Era, SlotClock
from sandbox.solana.chain_log import (
    ChainLog,
    ClockChange,
    Fork,
    Genesis,
    Landing,
    RentChange,
)
from sandbox.solana.history import AccountHistory, History, Landed, memo_of
from sandbox.solana.runtime import SYSTEM_PROGRAM, Keys, Outcome, Runtime
from sandbox.solana.settings import LAG_SLOTS_MAX, SolanaSettings
from sandbox.solana.tokens import (
    MINT_BYTES,
    TOKEN_PROGRAMS,
    Holding,
    decimals_of,
    holdings,
    make_mint,
    mint_key,
    mint_to,
)
from sandbox.solana.wall import MachineWall, ManualWall, Wall

Commitment = Literal["processed", "confirmed", "finalized"]

BLOCKHASH_BLOCKS = 150
FIRST_SLOT = 2 * LAG_SLOTS_MAX
_WAITING_MAX = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest slot with a block, at each commitment."""

    processed: int
    confirmed: int
    finalized: int

    def at(self, commitment: Commitment) -> int:
        """Return the head at this commitment."""
        match commitment:
            case "processed":
                return self.processed
            case "confirmed":
                return self.confirmed
            case "finalized":
                return self.finalized


@dataclass(frozen=True, slots=True)
class _Before:
    """What a transaction's addresses held before it."""

    keys: Keys
    lamports: tuple[int, ...]
    tokens: tuple[Holding, ...]


class Chain:
    """Be the chain: land transactions, keep time, remember, and fork when told."""

    def __init__(self, settings: SolanaSettings, chain_log: ChainLog) -> None:
        self.settings = settings
        self.history = History()
        self.listeners: list[Callable[[], None]] = []
        self.forks = 0
        self.forked_at = 0
        self._log = chain_log
        self._steps: list[Landing | RentChange] = []
        self._branches: list[tuple[int, int]] = []
        self._waiting: deque[bytes] = deque(maxlen=_WAITING_MAX)
        self._hash_slots: dict[Hash, int] = {}
        self._hashed_upto = -1
        self._bench: Runtime | None = None
        self._open()

    @property
    def faucet(self) -> Keypair:
        """Return the key of the account that holds the genesis lamports."""
        return self._faucet

    @property
    def genesis_hash(self) -> Hash:
        """Return what identifies this chain."""
        return Hash(hashlib.sha256(b"genesis" + self._genesis.secret).digest())

    @property
    def blocks(self) -> Blocks:
        """Return the rule of slots, heights and skips."""
        return self._blocks

    @property
    def paused(self) -> bool:
        """Say whether no blocks are being made."""
        return not self._clock.era.running

    def now_slot(self) -> int:
        """Return the slot of this moment, which may be a skipped one."""
        return self._clock.slot_at(self._wall.now_ms())

    def until_next_slot_ms(self) -> int:
        """Say how long this slot still lasts."""
        era, now = self._clock.era, self._wall.now_ms()
        return era.slot_ms - (now - era.at_ms) % era.slot_ms

    def time_of_s(self, slot: int) -> int:
        """Return a block's time in whole seconds, as the chain tells it."""
        return self._clock.time_of(slot) // 1_000

    def heads(self, lag_slots: int = 0) -> Heads:
        """Find the heads as a node sees them that is so many slots behind."""
        processed = self._blocks.newest(max(self.now_slot() - lag_slots, 0))
        # The open block is never confirmed: it may still take transactions.
        return Heads(
            processed,
            self._blocks.newest(processed - self.settings.confirmed_slots),
            self._blocks.newest(processed - self.settings.finalized_slots),
        )

    def blockhash(self, slot: int) -> Hash:
        """Return the hash of the block in this slot."""
        branch = sum(first <= slot <= last for first, last in self._branches)
        return self._blocks.blockhash(slot, branch)

    def blockhash_valid(self, blockhash: Hash, head: int) -> bool:
        """Say whether a transaction with this blockhash could be in the block of slot ``head``."""
        slot = self._slot_of_hash(blockhash)
        if slot is None or slot > head:
            return False
        return self._blocks.height(head) - self._blocks.height(slot) <= BLOCKHASH_BLOCKS

    def rent_minimum(self, data_bytes: int) -> int:
        """Compute what an account with so much data must hold now."""
        return self._runtime.rent_minimum(data_bytes)

    def account(self, address: Pubkey, head: int) -> Account | None:
        """Return an account as of the block of slot ``head``."""
        if address in self._accounts:
            return self._accounts.at(address, head)
        return self._runtime.account(address)

    def simulate(self, transaction: VersionedTransaction, head: int) -> Outcome:
        """Run a transaction on the state of slot ``head`` and forget it."""
        message = transaction.message
        if self._bench is None:
            self._bench = Runtime(self._lamports_per_byte)
        bench = self._bench
        bench.set_block(head, self.time_of_s(head))
        if isinstance(message, MessageV0):
            for lookup in message.address_table_lookups:
                self._lay_out(bench, lookup.account_key, head)
        for address in self._runtime.keys_of(message).all:
            self._lay_out(bench, address, head)
        return bench.simulate(transaction)

    def submit(self, raw: bytes) -> str | None:
        """Bring a transaction to the leader: it lands, or the reason why it was dropped comes back.

        While blocks are paused it waits, and lands or is dropped when they go on.
        """
        if self.paused:
            self._waiting.append(raw)
            return None
        dropped = self._land(raw)
        if dropped is None:
            self._tell()
        return dropped

    def airdrop(self, address: Pubkey, lamports: int) -> str:
        """Send lamports from the faucet by an ordinary transfer and return its signature.

        Raises:
            ValueError: when it cannot land.
        """
        asked = transfer(
            TransferParams(from_pubkey=self._faucet.pubkey(), to_pubkey=address, lamports=lamports)
        )
        return self._give([asked], [self._faucet])

    @property
    def mint(self) -> Pubkey:
        """Return the mint of the chain's own token, which has the decimals of USDC."""
        return self._mint.pubkey()

    def airdrop_token(self, owner: Pubkey, amount: int) -> str:
        """Mint so much to an owner's token account, made when needed, and return the signature.

        Raises:
            ValueError: when it cannot land.
        """
        payer = self._faucet.pubkey()
        if self._runtime.account(self.mint) is None:
            rent = self._runtime.rent_minimum(MINT_BYTES)
            self._give(make_mint(payer, self.mint, rent), [self._faucet, self._mint])
        return self._give(mint_to(payer, self.mint, owner, amount), [self._faucet])

    def _give(self, asked: Sequence[Instruction], signers: Sequence[Keypair]) -> str:
        head = self.heads().processed
        height = self._blocks.height(head)
        reason: str | None = None
        # Twice the same airdrop must be two transactions, so each takes a blockhash of its own.
        for back in range(BLOCKHASH_BLOCKS - 1):
            blockhash = self.blockhash(self._blocks.slot_of(height - back))
            message = Message.new_with_blockhash(asked, self._faucet.pubkey(), blockhash)
            transaction = VersionedTransaction(message, signers)
            signature = str(transaction.signatures[0])
            if self.history.get(signature) is not None or bytes(transaction) in self._waiting:
                continue
            reason = self.submit(bytes(transaction))
            if reason is None:
                landed = self.history.get(signature)
                if landed is not None and landed.outcome.error is not None:
                    raise ValueError(f"the airdrop failed: {landed.outcome.error}")
                return signature
            break
        raise ValueError(f"the airdrop could not land: {reason or 'too many alike in this block'}")

    def set_rent(self, lamports_per_byte: int) -> None:
        """Let rent cost this much from now on."""
        if lamports_per_byte < 0:
            raise ValueError("lamports_per_byte is at least 0")
        change = RentChange(lamports_per_byte)
        self._log.append(change)
        self._apply_rent(change)

    def pause(self) -> None:
        """Make no blocks until resumed."""
        if not self.paused:
            self._change_clock(1, self._clock.era.slot_ms, running=False)

    def resume(self) -> None:
        """Make blocks again, and land what waited."""
        if not self.paused:
            return
        self._change_clock(1, self._clock.era.slot_ms, running=True)
        while self._waiting:
            self._land(self._waiting.popleft())
        self._tell()

    def advance(self, count: int) -> int:
        """Let so many blocks come at once and return the new slot."""
        if count < 1:
            raise ValueError("advance by at least 1 block")
        height = self._blocks.height(self.now_slot())
        slot = self._blocks.slot_of(height + count)
        era = self._clock.era
        if isinstance(self._wall, ManualWall) and era.running:
            self._wall.move_to(self._clock.time_of(slot))
            self._log.keep_head(self._wall.now_ms())
        else:
            self._change_clock(slot - self.now_slot(), era.slot_ms, running=era.running)
        self._tell()
        return slot

    def set_slot_ms(self, slot_ms: int) -> None:
        """Let slots last this long from now on."""
        if slot_ms < 1:
            raise ValueError("a slot lasts at least 1 ms")
        self._change_clock(1, slot_ms, running=self._clock.era.running)

    def fork(self, from_slot: int | None = None, drop: Iterable[str] = ()) -> list[str]:
        """Let the cluster leave a branch, and return the signatures that are not in the other one.

        With ``from_slot`` every block from there on vanishes with its blockhash; with ``drop`` only
        those transactions do.

        Raises:
            ValueError: when that would take back a finalized block.
        """
        heads = self.heads()
        wanted = set(drop)
        if from_slot is not None:
            if from_slot <= heads.finalized:
                raise ValueError(f"slot {heads.finalized} is finalized: fork after it")
            first = self.history.count_upto(from_slot - 1)
            wanted |= {gone.signature for gone in self.history.between(first, len(self.history))}
        for signature in wanted:
            landed = self.history.get(signature)
            if landed is None:
                raise ValueError(f"{signature} is not in the chain")
            if landed.slot <= heads.finalized:
                raise ValueError(f"{signature} is finalized")
        began = heads.processed + 1 if from_slot is None else from_slot
        before = [landed.signature for landed in self.history.between(0, len(self.history))]
        self._forget(wanted)
        self._rebuild()
        vanished = [gone for gone in before if self.history.get(gone) is None]
        self.forked_at = before.index(vanished[0]) if vanished else len(before)
        self._forget(set(vanished))
        record = Fork(began, heads.processed, vanished)
        self._log.append(record)
        self._apply_fork(record)
        log.info("forked", from_slot=began, vanished=len(vanished))
        self._tell()
        return vanished

    def keep_head(self) -> None:
        """Remember the wall time, so that a restart goes on from there."""
        self._log.keep_head(self._wall.now_ms())

    def _open(self) -> None:
        settings = self.settings
        records = self._log.records()
        first = next(records, None)
        if first is None:
            now_ms = settings.manual_at_ms if settings.manual else MachineWall(0).now_ms()
            first = Genesis(
                os.urandom(32),
                now_ms - FIRST_SLOT * settings.slot_ms,
                settings.slot_ms,
                settings.skip_one_in,
                settings.lamports_per_byte,
                settings.faucet_lamports,
                FIRST_SLOT,
            )
            self._log.append(first)
        if not isinstance(first, Genesis):
            raise ValueError(  # noqa: TRY004 - the file is wrong, not a type
                f"{self._log.path} does not begin with a genesis"
            )
        self._genesis = first
        self._blocks = Blocks(first.secret, first.skip_one_in)
        self._clock = SlotClock(Era(0, first.at_ms, first.slot_ms))
        self._faucet = Keypair.from_seed(hashlib.sha256(b"faucet" + first.secret).digest())
        self._mint = mint_key(first.secret)
        last_slot = first.first_slot
        for record in records:
            match record:
                case Landing() | RentChange():
                    self._steps.append(record)
                    last_slot = record.slot if isinstance(record, Landing) else last_slot
                case ClockChange():
                    self._clock.begin(record.era())
                case Fork():
                    self._forget(set(record.vanished))
                    self._apply_fork(record)
                case Genesis():
                    raise ValueError(f"{self._log.path} has a second genesis")
        floor_ms = max(self._log.head_ms(), self._clock.time_of(last_slot), self._clock.era.at_ms)
        self._wall: Wall = ManualWall(floor_ms) if settings.manual else MachineWall(floor_ms)
        if self._clock.era.slot_ms != settings.slot_ms:
            self.set_slot_ms(settings.slot_ms)
        self._rebuild()

    def _rebuild(self) -> None:
        steps, self._steps = self._steps, []
        self.history = History()
        self._accounts = AccountHistory()
        self._lamports_per_byte = self._genesis.lamports_per_byte
        self._runtime = Runtime(self._lamports_per_byte)
        self._bench = None
        hoard = Account(self._genesis.faucet_lamports, b"", SYSTEM_PROGRAM)
        self._runtime.put(self._faucet.pubkey(), hoard)
        self._accounts.put(self._faucet.pubkey(), 0, hoard)
        for step in steps:
            match step:
                case RentChange():
                    self._apply_rent(step)
                case Landing():
                    transaction = VersionedTransaction.from_bytes(step.raw)
                    before, outcome = self._execute(transaction, step.slot)
                    if outcome.in_block:
                        self._note(step, transaction, before, outcome)

    def _forget(self, signatures: set[str]) -> None:
        self._steps = [
            step
            for step in self._steps
            if isinstance(step, RentChange)
            or str(VersionedTransaction.from_bytes(step.raw).signatures[0]) not in signatures
        ]

    def _apply_fork(self, fork: Fork) -> None:
        self._branches.append((fork.from_slot, fork.head_slot))
        self._hash_slots.clear()
        self._hashed_upto = -1
        self.forks += 1

    def _apply_rent(self, change: RentChange) -> None:
        self._steps.append(change)
        self._lamports_per_byte = change.lamports_per_byte
        self._runtime.set_rent(change.lamports_per_byte)
        # A new one is made, with this rent, when somebody simulates.
        self._bench = None

    def _change_clock(self, slots: int, slot_ms: int, *, running: bool) -> None:
        # Another slot begins, so that no block that is already seen gets another time.
        era = Era(self.now_slot() + slots, self._wall.now_ms(), slot_ms, running)
        self._log.append(ClockChange(era.slot, era.at_ms, era.slot_ms, era.running))
        self._clock.begin(era)

    def _land(self, raw: bytes) -> str | None:
        transaction = VersionedTransaction.from_bytes(raw)
        slot = self.heads().processed
        if not all(transaction.verify_with_results()):
            return "SignatureFailure"
        if not self.blockhash_valid(transaction.message.recent_blockhash, slot):
            return "BlockhashNotFound"
        if self.history.get(str(transaction.signatures[0])) is not None:
            return "AlreadyProcessed"
        before, outcome = self._execute(transaction, slot)
        if not outcome.in_block:
            return str(outcome.error)
        landing = Landing(slot, raw)
        try:
            self._log.append(landing)
        except OSError:
            # The runtime has done what the chain does not know: back to what is written.
            self._rebuild()
            raise
        self._note(landing, transaction, before, outcome)
        return None

    def _execute(self, transaction: VersionedTransaction, slot: int) -> tuple[_Before, Outcome]:
        self._runtime.set_block(slot, self.time_of_s(slot))
        keys = self._runtime.keys_of(transaction.message)
        lamports = tuple(self._runtime.lamports(address) for address in keys.all)
        before = _Before(keys, lamports, self._holdings(keys))
        return before, self._runtime.execute(transaction)

    def _holdings(self, keys: Keys) -> tuple[Holding, ...]:
        # A program that is called is named, so without one of these no token can move.
        if TOKEN_PROGRAMS.isdisjoint(keys.all):
            return ()
        found = {index: self._runtime.account(key) for index, key in enumerate(keys.all)}
        return holdings({index: account for index, account in found.items() if account})

    def _note(
        self,
        landing: Landing,
        transaction: VersionedTransaction,
        before: _Before,
        outcome: Outcome,
    ) -> None:
        keys = before.keys
        after: list[int] = []
        for address, writable, held in zip(keys.all, keys.writable, before.lamports, strict=True):
            if not writable:
                after.append(held)
                continue
            account = self._runtime.account(address)
            after.append(account.lamports if account else 0)
            self._accounts.put(address, landing.slot, account)
        tokens = self._holdings(keys)
        mints = {each.mint for each in (*before.tokens, *tokens)}
        last = self.history.newest()
        self._steps.append(landing)
        self.history.add(
            Landed(
                place=len(self.history),
                slot=landing.slot,
                index=last.index + 1 if last and last.slot == landing.slot else 0,
                signature=str(transaction.signatures[0]),
                raw=landing.raw,
                keys=keys,
                before=before.lamports,
                after=tuple(after),
                outcome=outcome,
                memo=memo_of(transaction),
                tokens_before=before.tokens,
                tokens_after=tokens,
                decimals={mint: decimals_of(self._runtime.account(mint)) for mint in mints},
            )
        )

    def _lay_out(self, bench: Runtime, address: Pubkey, head: int) -> None:
        if address in self._accounts:
            bench.put(address, self._accounts.at(address, head))

    def _slot_of_hash(self, blockhash: Hash) -> int | None:
        height = self._blocks.height(self.now_slot())
        oldest = height - BLOCKHASH_BLOCKS - LAG_SLOTS_MAX
        for at in range(max(self._hashed_upto + 1, oldest), height + 1):
            slot = self._blocks.slot_of(at)
            self._hash_slots[self.blockhash(slot)] = slot
        self._hashed_upto = height
        while len(self._hash_slots) > height - oldest + 1:
            del self._hash_slots[next(iter(self._hash_slots))]
        return self._hash_slots.get(blockhash)

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()
