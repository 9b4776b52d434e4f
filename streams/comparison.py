"""Comparison: what lies at each address by every provider, beside what the ledger says.

In        the finalized chain, asked of all providers; the ledger, a moment later; histories of the
          addresses that differ.
Out       a difference an address and provider, with what known signatures explain of it.
Promises  each address is compared at the slot at which the provider saw it: what the ledger posted
          of later blocks is taken out again, so that a provider which is behind differs in nothing;
          what a known signature did and nobody has posted yet is said to be waiting.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from chain.deposits import Cursor, Incoming, Stop, balances_of, sweep
from chain.health import AGREEING_MIN
from chain.providers import Providers
from chain.reading import LandedTransaction
from chain.rpc import ACCOUNTS_MAX, STATUSES_MAX, Rpc
from chain.settings import DepositSettings
from chain.tokens import Token
from chain.trouble import NotKnown, UnknownVersion
from rooms.asset import SOL
from rooms.audit import Breach, Difference, Effect, Lying, difference
from rooms.units import Address, Lamports, Signature, Slot
from storage import addresses, attempts, audit
from storage import deposits as deposit_rows
from storage.addresses import OwnAddress
from storage.connections import Connection, Connections
from streams.deposits import theft_of

READS_MAX = 100
"""More transactions of ours than this are never final and unposted; so many were not asked for."""
_READ_IN_ANY_CASE = Lamports(-1)
"""Lies nowhere, so that an address of which it is expected is read whatever lies there."""


@dataclass(frozen=True, slots=True)
class Compared:
    """All addresses, as far as they could be asked for.

    Attributes:
        owners: every address of ours that there was when the chain was asked.
        ledger: what the ledger says lies at each, now.
        differences: of each address, one a provider that told of it and could explain it.
        strangers: lamports that left an address of ours by a signature that is not ours.
        not_known: why some address or its history could not be read.
    """

    owners: Mapping[Address, OwnAddress]
    ledger: Mapping[Address, Lamports]
    differences: Mapping[Address, tuple[Difference, ...]]
    strangers: tuple[Breach, ...]
    not_known: tuple[str, ...]

    @property
    def unexplained(self) -> list[Difference]:
        """Return what nothing explains."""
        return [each for seen in self.differences.values() for each in seen if each.unexplained]


async def compare(
    connections: Connections,
    providers: Providers,
    settings: DepositSettings,
    token: Token | None = None,
) -> Compared:
    """Compare every address of ours, or every account for a token, with the finalized chain."""
    async with connections.acquire() as connection:
        places = [each.address for each in await _known(connection, token)]
    lying, not_known = await _lying(providers, places, token)
    oldest = min((each.slot for each in lying), default=Slot(0))
    books = await _read_books(connections, oldest, (), token)
    seen = [difference(each, books.ledger[each.address], books.posted, ()) for each in lying]
    doubtful = sorted({each.lying.address for each in seen if each.unexplained})
    if not doubtful:
        return Compared(books.only(places), books.ledger, _by_address(seen), (), tuple(not_known))

    landed, unread = await _landed(providers, books.live, token)
    incoming, strangers, stopped = await _incoming(
        connections, providers, doubtful, settings, token
    )
    # Read again, all at one moment: what was posted while the chain was asked waits no more.
    books = await _read_books(connections, oldest, incoming, token)
    judged: list[Difference] = []
    for each in seen:
        place = each.lying
        if place.address not in doubtful:
            judged.append(each)
        elif place.provider in landed and place.address not in stopped:
            waiting = [
                effect for signature, effect in landed[place.provider] if signature in books.live
            ] + [_brought(each) for each in incoming if _name(each) not in books.done]
            judged.append(difference(place, books.ledger[place.address], books.posted, waiting))
    return Compared(
        books.only(places),
        books.ledger,
        _by_address(judged),
        tuple(strangers),
        (*not_known, *unread, *stopped.values()),
    )


@dataclass(frozen=True, slots=True)
class _Books:
    """What the database knows at one moment.

    Attributes:
        posted: effects of signatures that are final after a slot and in the ledger.
        live: attempts whose fate is open.
        done: those of the deposits asked about that are posted.
    """

    owners: Mapping[Address, OwnAddress]
    ledger: Mapping[Address, Lamports]
    posted: Sequence[Effect]
    live: Sequence[Signature]
    done: AbstractSet[tuple[Signature, Address]]

    def only(self, places: Sequence[Address]) -> dict[Address, OwnAddress]:
        """Return the owners of what was asked about: an address made since then waits its turn."""
        return {address: self.owners[address] for address in places}


async def _known(connection: Connection, token: Token | None) -> dict[OwnAddress, Lamports]:
    if token is None:
        return await addresses.with_balances(connection)
    return await addresses.accounts_with_balances(connection, token.name)


async def _read_books(
    connections: Connections, oldest: Slot, incoming: Sequence[Incoming], token: Token | None
) -> _Books:
    async with (
        connections.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        known = await _known(connection, token)
        return _Books(
            owners={each.address: each for each in known},
            ledger={each.address: lamports for each, lamports in known.items()},
            posted=await audit.posted_after(
                connection, oldest, SOL.name if token is None else token.name
            ),
            live=await audit.live_attempts(connection),
            done=await audit.posted_deposits(connection, [_name(each) for each in incoming]),
        )


async def _lying(
    providers: Providers, places: Sequence[Address], token: Token | None
) -> tuple[list[Lying], list[str]]:
    lying: list[Lying] = []
    not_known: set[str] = set()
    for start in range(0, len(places), ACCOUNTS_MAX):
        said, failed = await providers.each(
            partial(_balances, token, places[start : start + ACCOUNTS_MAX])
        )
        lying += [each for answer in said for each in answer.answer]
        not_known |= {str(trouble) for trouble in failed}
    return lying, sorted(not_known)


async def _balances(token: Token | None, places: Sequence[Address], rpc: Rpc) -> list[Lying]:
    slot, there = await balances_of(token, places, "finalized", rpc)
    return [
        Lying(rpc.name, address, slot, lamports or Lamports(0))
        for address, lamports in there.items()
    ]


async def _landed(
    providers: Providers, live: Sequence[Signature], token: Token | None
) -> tuple[dict[str, list[tuple[Signature, Effect]]], list[str]]:
    """Return, by provider, what attempts whose fate is open to us have done for good."""
    try:
        said, failed = await providers.each(partial(_effects, token, live))
    except UnknownVersion as unknown:
        return {}, [str(unknown)]
    return {each.provider: each.answer for each in said}, [str(trouble) for trouble in failed]


async def _effects(
    token: Token | None, live: Sequence[Signature], rpc: Rpc
) -> list[tuple[Signature, Effect]]:
    final: list[Signature] = []
    for start in range(0, len(live), STATUSES_MAX):
        some = live[start : start + STATUSES_MAX]
        _, statuses = await rpc.signature_statuses(some)
        final += [
            signature
            for signature, status in zip(some, statuses, strict=True)
            if status is not None and status.commitment == "finalized"
        ]
    if len(final) > READS_MAX:
        raise NotKnown(f"{len(final)} attempts are final at {rpc.name} and not posted yet")
    landed = [await rpc.landed(signature, "finalized") for signature in final]
    return [
        (transaction.signature, Effect(address, transaction.slot, lamports))
        for transaction in landed
        for address, lamports in _changes(transaction, token)
    ]


def _changes(transaction: LandedTransaction, token: Token | None) -> Sequence[tuple[Address, int]]:
    if token is None:
        return transaction.changes
    return [
        (account, amount)
        for account, mint, amount in transaction.token_changes
        if mint == token.mint
    ]


async def _incoming(
    connections: Connections,
    providers: Providers,
    doubtful: Sequence[Address],
    settings: DepositSettings,
    token: Token | None,
) -> tuple[list[Incoming], list[Breach], dict[Address, str]]:
    """Return deposits that are final, thefts, and addresses that cannot be read."""

    async def ours(signatures: Sequence[Signature]) -> AbstractSet[Signature]:
        async with connections.acquire() as reader:
            return await attempts.are_ours(reader, signatures)

    async with connections.acquire() as connection:
        cursors = await deposit_rows.cursors(connection)
    found = await sweep(
        providers,
        dict.fromkeys(doubtful, _READ_IN_ANY_CASE),
        {address: Cursor(*position) for address, position in cursors.items()},
        ours,
        settings,
        token=token,
    )
    final = [each for each in found.incoming if each.finalized]
    strangers = [theft_of(each) for each in found.stopped if each.stop is Stop.LEFT_BY_STRANGER]
    stopped = {
        each.address: each.why for each in found.stopped if each.stop is not Stop.LEFT_BY_STRANGER
    }
    return final, strangers, stopped


def _name(incoming: Incoming) -> tuple[Signature, Address]:
    return incoming.signature, incoming.address


def _brought(incoming: Incoming) -> Effect:
    lamports = incoming.lamports + incoming.other_lamports
    return Effect(incoming.address, incoming.slot, lamports)


def _by_address(seen: Sequence[Difference]) -> dict[Address, tuple[Difference, ...]]:
    found: dict[Address, list[Difference]] = {}
    for each in seen:
        found.setdefault(each.lying.address, []).append(each)
    return {address: tuple(every) for address, every in found.items() if len(every) >= AGREEING_MIN}
