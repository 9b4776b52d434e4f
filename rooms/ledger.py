"""Ledger: the accounts, and the entry that each fact about money makes.

In        facts: a deposit, a hold, a landed transfer, a settlement, a fee.
Out       entries: postings that happen together or not at all.
Promises  two books; in every entry the sum of *where* is the sum of *whose*; a key comes from what
          the thing is, so that the same fact twice is one entry; money is never made or lost here.
          An account counts one asset, and each asset of an entry balances by itself.
Why       *where* can be compared with the chain address by address, *whose* is what people own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rooms.asset import SOL
from rooms.refusal import must
from rooms.units import Address, Lamports, Signature


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """Name an account, such as ``available:4711``; `chain:` says where, all others whose."""

    name: str

    @property
    def is_where(self) -> bool:
        """Say whether this account is of the book *where*."""
        return self.name.startswith("chain:")

    @property
    def asset(self) -> str:
        """Return the name of the asset that it counts: SOL, unless one stands behind its own."""
        return self.name.partition("@")[2] or SOL.name

    def of(self, asset: str) -> "Account":
        """Return the same account of an asset: ``available:4711@USDC``."""
        return self if asset == SOL.name else Account(f"{self.name}@{asset}")


def chain(address: Address) -> Account:
    """Return what lies at an address of ours."""
    return Account(f"chain:{address}")


def available(user: int) -> Account:
    """Return what a person may bet or withdraw."""
    return Account(f"available:{user}")


def held(user: int) -> Account:
    """Return what is reserved for stakes and withdrawals that have not landed."""
    return Account(f"held:{user}")


def pool(room: int) -> Account:
    """Return a room's landed stakes, not divided yet."""
    return Account(f"pool:{room}")


def due(room: int) -> Account:
    """Return what is divided or to be given back, and still in the vault."""
    return Account(f"due:{room}")


def earned(user: int) -> Account:
    """Return a person's host and referral shares, which lie in the treasury."""
    return Account(f"earned:{user}")


def floor(address: Address) -> Account:
    """Return the operator's rent minimum under an address."""
    return Account(f"floor:{address}")


def stray(address: Address) -> Account:
    """Return what strangers sent where nothing should be sent, and dust."""
    return Account(f"stray:{address}")


HOUSE = Account("house")
"""The operator's own, in treasury and fee payer."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg of an entry: ``lamports`` more, or less, on ``account``."""

    account: Account
    lamports: int

    def __post_init__(self) -> None:
        must(self.lamports != 0, "a posting moves something")


@dataclass(frozen=True, slots=True)
class Entry:
    """Postings that happen together or not at all, named by what caused them."""

    key: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        must(bool(self.key), "an entry has a key")
        must(len(self.postings) >= 2, "money leaves one account and reaches another")
        accounts = [posting.account for posting in self.postings]
        must(len(set(accounts)) == len(accounts), "an entry has one posting an account")
        for asset in {account.asset for account in accounts}:
            legs = [posting for posting in self.postings if posting.account.asset == asset]
            where = sum(posting.lamports for posting in legs if posting.account.is_where)
            whose = sum(posting.lamports for posting in legs if not posting.account.is_where)
            must(where == whose, "what moves between places moves between owners")

    @property
    def kind(self) -> str:
        """Return the word before the first colon of the key."""
        return self.key.partition(":")[0]

    def of(self, asset: str) -> "Entry":
        """Return the same entry in an asset."""
        return Entry(
            self.key,
            tuple(Posting(each.account.of(asset), each.lamports) for each in self.postings),
        )


def deposit(signature: Signature, address: Address, lamports: Lamports, owner: Account) -> Entry:
    """Post lamports that came in from outside to ``owner``: a person, `stray` or the house."""
    return _entry(f"deposit:{signature}:{address}", [(chain(address), lamports), (owner, lamports)])


def hold(cause: str, user: int, lamports: Lamports) -> Entry:
    """Reserve lamports for ``cause``: ``stake:7`` or ``withdrawal:3``."""
    return _entry(f"hold:{cause}", [(available(user), -lamports), (held(user), lamports)])


def release(cause: str, user: int, lamports: Lamports) -> Entry:
    """Give back what was reserved for ``cause``."""
    return _entry(f"release:{cause}", [(held(user), -lamports), (available(user), lamports)])


def stake(
    stake_id: int, user: int, room: int, source: Address, vault: Address, lamports: Lamports,
    *, in_time: bool,
) -> Entry:  # fmt: skip
    """Post a landed stake: into the pool, or due back when it missed the cut."""
    return _entry(
        f"stake:{stake_id}",
        [
            (chain(source), -lamports),
            (chain(vault), lamports),
            (held(user), -lamports),
            (pool(room) if in_time else due(room), lamports),
        ],
    )


def settlement(room: int, lamports: Lamports) -> Entry:
    """Post a divided pool."""
    return _entry(f"settlement:{room}", [(pool(room), -lamports), (due(room), lamports)])


def payout(room: int, user: int, vault: Address, destination: Address, lamports: Lamports) -> Entry:
    """Post a landed payout."""
    return _from_vault(f"payout:{room}:{user}", room, vault, destination, [(user, lamports)])


def refund(
    stake_id: int, room: int, user: int, vault: Address, destination: Address, lamports: Lamports
) -> Entry:
    """Post a landed refund of one stake."""
    return _from_vault(f"refund:{stake_id}", room, vault, destination, [(user, lamports)])


def shares(
    room: int,
    vault: Address,
    treasury: Address,
    house: Lamports,
    earners: Sequence[tuple[int, Lamports]],
) -> Entry:
    """Post what reached the treasury from a room: the house's part and each earner's."""
    total = house + sum(lamports for _, lamports in earners)
    return _entry(
        f"shares:{room}",
        [
            (chain(vault), -total),
            (chain(treasury), total),
            (due(room), -total),
            (HOUSE, house),
            *((earned(user), lamports) for user, lamports in earners),
        ],
    )


def withdrawal(withdrawal_id: int, user: int, source: Address, lamports: Lamports) -> Entry:
    """Post a landed withdrawal."""
    return _entry(
        f"withdrawal:{withdrawal_id}", [(chain(source), -lamports), (held(user), -lamports)]
    )


def fee(signature: Signature, fee_payer: Address, lamports: Lamports) -> Entry:
    """Post a network fee: in a block, landed or refused."""
    return _entry(f"fee:{signature}", [(chain(fee_payer), -lamports), (HOUSE, -lamports)])


def floor_laid(
    signature: Signature, fee_payer: Address, address: Address, lamports: Lamports
) -> Entry:
    """Post a rent minimum, or a top-up of one, laid under an address."""
    return _entry(
        f"floor:{signature}:{address}",
        [
            (chain(fee_payer), -lamports),
            (chain(address), lamports),
            (HOUSE, -lamports),
            (floor(address), lamports),
        ],
    )


def floor_returned(name: str, address: Address, fee_payer: Address, lamports: Lamports) -> Entry:
    """Post a rent minimum that came back; ``name`` is the transfer's key."""
    return _entry(
        name,
        [
            (chain(address), -lamports),
            (chain(fee_payer), lamports),
            (floor(address), -lamports),
            (HOUSE, lamports),
        ],
    )


def earning(
    name: str, user: int, treasury: Address, destination: Address, lamports: Lamports
) -> Entry:
    """Post earned shares that reached a person's address; ``name`` is the transfer's key."""
    return _entry(
        name,
        [
            (chain(treasury), -lamports),
            (chain(destination), lamports),
            (earned(user), -lamports),
            (available(user), lamports),
        ],
    )


def undo(entry: Entry) -> Entry:
    """Post the exact negative of a fact that the finalized chain no longer has."""
    return Entry(
        f"undo:{entry.key}",
        tuple(Posting(posting.account, -posting.lamports) for posting in entry.postings),
    )


def balances(entries: Iterable[Entry]) -> dict[Account, int]:
    """Add up what entries leave on each account: the plain model that tests compare with."""
    totals: dict[Account, int] = {}
    for entry in entries:
        for posting in entry.postings:
            totals[posting.account] = totals.get(posting.account, 0) + posting.lamports
    return totals


def _from_vault(
    key: str, room: int, vault: Address, destination: Address, to: list[tuple[int, Lamports]]
) -> Entry:
    total = sum(lamports for _, lamports in to)
    return _entry(
        key,
        [
            (chain(vault), -total),
            (chain(destination), total),
            (due(room), -total),
            *((available(user), lamports) for user, lamports in to),
        ],
    )


def _entry(key: str, legs: Iterable[tuple[Account, int]]) -> Entry:
    return Entry(key, tuple(Posting(account, lamports) for account, lamports in legs if lamports))
