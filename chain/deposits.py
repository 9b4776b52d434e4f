"""Deposits: lamports that came in by somebody else's hand, found by comparing balances.

In        what the ledger says lies at each address, how far each address was read, and which
          signatures are our own.
Out       one `Incoming` an address and signature; the new cursors; addresses that had to stop.
Promises  a cursor passes only slots that two providers have finalized and list alike; what cannot
          be read stops its address with a reason and is never skipped; saying it again is harmless,
          as an incoming's key is its signature and address.
Why       sockets and webhooks lose messages; a balance does not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from itertools import groupby

from chain.health import AGREEING_MIN
from chain.providers import Providers
from chain.reading import LandedTransaction
from chain.rpc import ACCOUNTS_MAX, SIGNATURES_MAX, Commitment, ListedSignature, Rpc
from chain.settings import DepositSettings
from chain.tokens import ACCOUNT_BYTES, Token, read_holding
from chain.trouble import NotKnown, UnknownVersion
from rooms.units import Address, Lamports, Signature, Slot, UnixMs

Ours = Callable[[Sequence[Signature]], Awaitable[AbstractSet[Signature]]]
"""Tell which of these signatures are our own attempts."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last transaction of an address that was read for good; with its whole slot."""

    signature: Signature
    slot: Slot


@dataclass(frozen=True, slots=True)
class Incoming:
    """Lamports that one strange transaction brought to one address.

    Attributes:
        lamports: by System transfers, all of them to this address in this transaction.
        other_lamports: that came along in any other way (a closed account's rent, say).
        finalized: said by two providers; until then a fork can take it back.
    """

    signature: Signature
    address: Address
    lamports: Lamports
    other_lamports: Lamports
    slot: Slot
    block_time: UnixMs
    finalized: bool


class Stop(IntEnum):
    """Why an address is read no further. Numbers are stored: append, never renumber."""

    NOT_KNOWN = 1  # Providers are silent, behind or at odds: the next sweep asks again.
    UNKNOWN_VERSION = 2  # A transaction that we cannot read: alarm.
    LEFT_BY_STRANGER = 3  # Lamports left by a signature that is not ours: alarm, pause.
    TOO_LONG = 4  # More history than a sweep may look over: alarm.


@dataclass(frozen=True, slots=True)
class Stopped:
    """An address that was not read to its end, and where it stopped, when that has a name."""

    address: Address
    stop: Stop
    why: str
    signature: Signature | None = None

    @property
    def alarms(self) -> bool:
        """Tell whether a person has to look."""
        return self.stop is not Stop.NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one look over balances found.

    Attributes:
        incoming: in the order in which the chain has them, address by address.
        cursors: where reading goes on; only of addresses that moved.
        stopped: addresses not read to their end, each with its reason.
        differing: addresses whose balance was not what the ledger says.
    """

    incoming: tuple[Incoming, ...]
    cursors: Mapping[Address, Cursor]
    stopped: tuple[Stopped, ...]
    differing: tuple[Address, ...]


def differing(
    expected: Mapping[Address, int],
    balances: Mapping[Address, int | None],
    moving: Mapping[Address, AbstractSet[int]] | None = None,
) -> tuple[Address, ...]:
    """List the addresses where something else lies than the ledger says; no account is nothing.

    ``moving`` says by how much our own transfers on their way may have changed an address: such a
    difference is looked at again when they have been posted.
    """
    return tuple(
        address
        for address, lamports in expected.items()
        if address in balances
        and (by := (balances[address] or 0) - lamports)
        and by not in (moving or {}).get(address, ())
    )


def agreed_history(
    histories: Sequence[Sequence[ListedSignature]], after: Slot | None
) -> tuple[tuple[ListedSignature, ...], bool]:
    """Give an address's transactions that all providers list alike, oldest first, after a slot.

    Providers may order a slot differently and end at different slots, so they are compared slot by
    slot, up to the first that differs. Also tells whether they were alike to the end.
    """
    assert len(histories) >= AGREEING_MIN, "agreement takes two"
    by_slot: list[dict[Slot, list[ListedSignature]]] = []
    for history in histories:
        slots: dict[Slot, list[ListedSignature]] = {}
        for listed in history:
            if after is None or listed.slot > after:
                slots.setdefault(listed.slot, []).append(listed)
        by_slot.append(slots)
    alike: list[ListedSignature] = []
    for slot in sorted({slot for slots in by_slot for slot in slots}):
        named = [
            {listed.signature: listed.error for listed in slots.get(slot, ())} for slots in by_slot
        ]
        if any(each != named[0] for each in named):
            return tuple(alike), False
        final = _all_final([slots[slot] for slots in by_slot])
        alike.extend(
            ListedSignature(
                listed.signature, slot, "finalized" if final else "confirmed", listed.error
            )
            # A node lists the newest first, also within a slot.
            for listed in reversed(by_slot[0][slot])
        )
    return tuple(alike), True


def _all_final(sides: Sequence[Sequence[ListedSignature]]) -> bool:
    return all(listed.commitment == "finalized" for side in sides for listed in side)


def incoming_of(
    address: Address, transaction: LandedTransaction, *, finalized: bool, token: Token | None = None
) -> Incoming | Stopped | None:
    """Say what a transaction that is not ours brought to an address; nothing when it brought none.

    With a ``token`` the address is an account for it. A stop when anything left the address: only
    we can sign for that.
    """
    assert transaction.block_time is not None, "an incoming has the time of its block"
    if token is None:
        change = transaction.change(address)
        lamports = transaction.received(address)
        left = transaction.sent(address)
    else:
        change = transaction.token_change(address, token.mint)
        lamports = Lamports(transaction.tokens_received(address))
        left = Lamports(transaction.tokens_sent(address))
    if address in transaction.signers or left > 0 or change < lamports:
        why = f"{transaction.signature} is not ours and acted for {address}"
        return Stopped(address, Stop.LEFT_BY_STRANGER, why, transaction.signature)
    if change == 0:
        return None
    return Incoming(
        signature=transaction.signature,
        address=address,
        lamports=lamports,
        other_lamports=Lamports(change - lamports),
        slot=transaction.slot,
        block_time=transaction.block_time,
        finalized=finalized,
    )


async def sweep(
    providers: Providers,
    expected: Mapping[Address, Lamports],
    cursors: Mapping[Address, Cursor],
    ours: Ours,
    settings: DepositSettings,
    in_any_case: AbstractSet[Address] = frozenset(),
    token: Token | None = None,
    moving: Mapping[Address, AbstractSet[int]] | None = None,
) -> Sweep:
    """Compare all balances with the ledger and read every address that differs.

    Those ``in_any_case`` are read even when they do not: something there is not final yet. Those
    that differ by what is ``moving`` are not read: a room that is being paid would have the whole
    history of each of its winners read for nothing. With a ``token`` the addresses are accounts for
    it, and everything is counted in its base units.

    What ``ours`` raises escapes (in an exception group); trouble with the chain is in `stopped`.
    """
    places = list(expected)
    changed: list[Address] = []
    stopped: list[Stopped] = []
    for start in range(0, len(places), ACCOUNTS_MAX):
        some = places[start : start + ACCOUNTS_MAX]
        said, failed = await providers.each(partial(balances_of, token, some, "confirmed"))
        here = {address: expected[address] for address in some}
        unequal = {each for answer in said for each in differing(here, answer.answer[1], moving)}
        changed.extend(
            address for address in some if address in unequal or (said and address in in_any_case)
        )
        if not said:
            why = "; ".join(str(trouble) for trouble in failed)
            stopped.extend(Stopped(address, Stop.NOT_KNOWN, why) for address in some)

    found: dict[Address, _Found] = {}
    turns = asyncio.Semaphore(settings.reads_at_once)

    async def read(address: Address) -> None:
        async with turns:
            found[address] = await _read(
                providers, address, cursors.get(address), ours, settings, token
            )

    async with asyncio.TaskGroup() as group:
        for address in changed:
            group.create_task(read(address))
    results = [found[address] for address in changed]
    return Sweep(
        incoming=tuple(each for result in results for each in result.incoming),
        cursors={result.address: result.cursor for result in results if result.cursor is not None},
        stopped=(*stopped, *(each.stopped for each in results if each.stopped is not None)),
        differing=tuple(changed),
    )


async def final_history(
    providers: Providers, address: Address, cursor: Cursor | None, settings: DepositSettings
) -> tuple[ListedSignature, ...]:
    """List what two providers have finalized of an address since a cursor, oldest first.

    Raises:
        NotKnown: when too few providers list it, or not alike.
    """
    said, failed = await providers.each(partial(_history, address, cursor, settings))
    if len(said) < AGREEING_MIN:
        why = "; ".join(("too few providers list its history", *(str(each) for each in failed)))
        raise NotKnown(why)
    history, alike = agreed_history(
        [each.answer for each in said], None if cursor is None else cursor.slot
    )
    if not alike:
        raise NotKnown("providers list its history differently")
    return tuple(each for each in history if each.commitment == "finalized")


@dataclass(frozen=True, slots=True)
class SecondHistory:
    """All that the second provider has finalized of an address.

    Attributes:
        since: the first slot that it still has; what was before it says nothing.
        until: a slot that two providers have finalized; what is after it may not be everywhere.
    """

    listed: tuple[ListedSignature, ...]
    since: Slot
    until: Slot


async def second_history(
    providers: Providers, address: Address, settings: DepositSettings
) -> SecondHistory:
    """List an address's whole history on the second provider, oldest first.

    Raises:
        NotKnown: when it does not answer, or lists more than may be looked over.
    """
    until = (await providers.final_moment()).slot
    since = await providers.second(lambda rpc: rpc.first_available_slot())
    listed = await providers.second(partial(_history, address, None, settings))
    return SecondHistory(
        tuple(
            each
            for each in reversed(listed)
            if each.slot <= until and each.commitment == "finalized"
        ),
        since,
        until,
    )


@dataclass(slots=True)
class _Found:
    address: Address
    incoming: list[Incoming]
    cursor: Cursor | None = None
    stopped: Stopped | None = None


async def balances_of(
    token: Token | None, addresses: Sequence[Address], commitment: Commitment, rpc: Rpc
) -> tuple[Slot, dict[Address, Lamports | None]]:
    """Ask what lies at addresses, and at which slot: lamports, or base units of a token."""
    if token is None:
        return await rpc.balances(addresses, commitment)
    slot, stored = await rpc.stored(addresses, commitment, ACCOUNT_BYTES + 1)
    held = {address: read_holding(account, token) for address, account in stored.items()}
    return slot, {
        address: None if holding is None else Lamports(holding.amount)
        for address, holding in held.items()
    }


async def _read(
    providers: Providers,
    address: Address,
    cursor: Cursor | None,
    ours: Ours,
    settings: DepositSettings,
    token: Token | None,
) -> _Found:
    found = _Found(address, [])
    said, failed = await providers.each(partial(_history, address, cursor, settings))
    for trouble in failed:
        if isinstance(trouble, _TooLong):
            found.stopped = Stopped(address, Stop.TOO_LONG, str(trouble))
            return found
    if len(said) < AGREEING_MIN:
        why = "; ".join(("too few providers list its history", *(str(each) for each in failed)))
        found.stopped = Stopped(address, Stop.NOT_KNOWN, why)
        return found
    history, alike = agreed_history(
        [each.answer for each in said], None if cursor is None else cursor.slot
    )
    known = await ours([listed.signature for listed in history]) if history else frozenset()
    final = True
    read = 0
    for slot, group in groupby(history, key=lambda listed: listed.slot):
        here = tuple(group)
        if read >= settings.transactions_max:
            return found
        for listed in here:
            if listed.error is None and listed.signature not in known:
                read += 1
                found.stopped = await _take(providers, found, listed, token)
                if found.stopped is not None:
                    return found
        final = final and all(listed.commitment == "finalized" for listed in here)
        if final:
            found.cursor = Cursor(here[-1].signature, slot)
    if not alike:
        found.stopped = Stopped(address, Stop.NOT_KNOWN, "providers list its history differently")
    return found


async def _take(
    providers: Providers, found: _Found, listed: ListedSignature, token: Token | None
) -> Stopped | None:
    try:
        transaction = await providers.agreed(
            lambda rpc: rpc.landed(listed.signature, listed.commitment)
        )
    except UnknownVersion as unknown:
        return Stopped(found.address, Stop.UNKNOWN_VERSION, str(unknown))
    except NotKnown as trouble:
        return Stopped(found.address, Stop.NOT_KNOWN, str(trouble))
    if transaction.slot != listed.slot or transaction.error is not None:
        why = f"{listed.signature} is not where it was listed"
        return Stopped(found.address, Stop.NOT_KNOWN, why)
    brought = incoming_of(
        found.address, transaction, finalized=listed.commitment == "finalized", token=token
    )
    if isinstance(brought, Stopped):
        return brought
    if brought is not None:
        found.incoming.append(brought)
    return None


async def _history(
    address: Address, cursor: Cursor | None, settings: DepositSettings, rpc: Rpc
) -> list[ListedSignature]:
    history: list[ListedSignature] = []
    for _ in range(settings.pages_max):
        page = await rpc.signatures_for(
            address,
            until=None if cursor is None else cursor.signature,
            before=history[-1].signature if history else None,
        )
        history.extend(page)
        if len(page) < SIGNATURES_MAX or (cursor is not None and page[-1].slot <= cursor.slot):
            return history
    raise _TooLong(f"{rpc.name} lists more than {len(history)} transactions since the cursor")


class _TooLong(NotKnown):
    """More history than may be looked over."""
