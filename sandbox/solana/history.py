"""history: what landed, in order, and what every account held while that can still matter.

In        landed transactions with their outcomes; accounts as they were left.
Out       a transaction by signature, an address's transactions, an account as of a slot.
Promises  an account is known as of every slot back to the farthest lag of a provider.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from sandbox.solana.runtime import Keys, Outcome
from sandbox.solana.settings import LAG_SLOTS_MAX
from sandbox.solana.tokens import Holding

MEMO_PROGRAMS = frozenset(
    {
        Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
        Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
    }
)


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction in a block: where it is, what it was and what it did."""

    place: int
    slot: int
    index: int
    signature: str
    raw: bytes
    keys: Keys
    before: tuple[int, ...]
    after: tuple[int, ...]
    outcome: Outcome
    memo: str | None
    tokens_before: tuple[Holding, ...] = ()
    tokens_after: tuple[Holding, ...] = ()
    decimals: Mapping[Pubkey, int] = field(default_factory=dict)

    def transaction(self) -> VersionedTransaction:
        """Read the transaction from its bytes."""
        return VersionedTransaction.from_bytes(self.raw)


def memo_of(transaction: VersionedTransaction) -> str | None:
    """Join a transaction's memos the way a node shows them: ``[5] hello; [2] ho``."""
    keys = transaction.message.account_keys
    parts: list[str] = []
    for instruction in transaction.message.instructions:
        if keys[instruction.program_id_index] in MEMO_PROGRAMS:
            try:
                text = instruction.data.decode()
            except UnicodeDecodeError:
                text = "(unparseable)"
            parts.append(f"[{len(instruction.data)}] {text}")
    return "; ".join(parts) or None


class History:
    """Hold what landed, by place, signature and address."""

    def __init__(self) -> None:
        self._landed: list[Landed] = []
        self._by_signature: dict[str, Landed] = {}
        self._by_address: defaultdict[Pubkey, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        """Count what landed."""
        return len(self._landed)

    def add(self, landed: Landed) -> None:
        """Put a transaction behind the others."""
        assert landed.place == len(self._landed), "what landed keeps its place"
        self._landed.append(landed)
        self._by_signature[landed.signature] = landed
        for address in dict.fromkeys(landed.keys.all):
            self._by_address[address].append(landed.place)

    def newest(self) -> Landed | None:
        """Return the last that landed."""
        return self._landed[-1] if self._landed else None

    def get(self, signature: str) -> Landed | None:
        """Find a transaction by its first signature."""
        return self._by_signature.get(signature)

    def count_upto(self, slot: int) -> int:
        """Count what landed at or before this slot."""
        return bisect_right(self._landed, slot, key=_slot)

    def between(self, first: int, end: int) -> list[Landed]:
        """Return the transactions at these places."""
        return self._landed[first:end]

    def of_address(self, address: Pubkey, end: int) -> Iterator[Landed]:
        """Walk an address's transactions at places before ``end``, newest first."""
        places = self._by_address.get(address, [])
        for at in range(bisect_right(places, end - 1) - 1, -1, -1):
            yield self._landed[places[at]]


class AccountHistory:
    """Hold every changed account's versions by slot, as far back as a provider may lag."""

    def __init__(self) -> None:
        self._versions: dict[Pubkey, list[tuple[int, Account | None]]] = {}

    def __contains__(self, address: object) -> bool:
        """Say whether this address was ever changed."""
        return address in self._versions

    def put(self, address: Pubkey, slot: int, account: Account | None) -> None:
        """Note how an account was left in this slot."""
        versions = self._versions.setdefault(address, [])
        if versions and versions[-1][0] == slot:
            versions[-1] = (slot, account)
        else:
            versions.append((slot, account))
        horizon = slot - 2 * LAG_SLOTS_MAX
        while len(versions) > 1 and versions[1][0] <= horizon:
            del versions[0]

    def at(self, address: Pubkey, slot: int) -> Account | None:
        """Return the account as the block of this slot left it."""
        versions = self._versions.get(address, [])
        place = bisect_right(versions, slot, key=_version_slot)
        return versions[place - 1][1] if place else None


def _slot(landed: Landed) -> int:
    return landed.slot


def _version_slot(version: tuple[int, Account | None]) -> int:
    return version[0]
