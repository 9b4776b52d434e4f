"""Fate: what became of a transaction that may or may not have been sent.

In        what each provider answered, asked in the right order: height first, then status.
Out       LANDED, REFUSED, LAPSED or UNKNOWN, with the reason and, in a block, where and when.
Promises  LAPSED is proved on two providers, whose history reaches back to before it could land;
          REFUSED and a final landing are said by two; UNKNOWN is everything else.
Why       read the other way round, a transaction that lands between the two reads looks absent and
          too late: it would be signed anew, and paid twice.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from chain.health import AGREEING_MIN
from chain.providers import Providers, Said
from chain.reading import LandedTransaction
from chain.rpc import STATUSES_MAX, Commitment, HeightAt, Rpc, SignatureStatus
from chain.trouble import NotKnown
from rooms.transfer import Fate
from rooms.units import BlockHeight, Lamports, Signature, Slot, UnixMs

LANDINGS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A signed transaction whose fate is asked: all of it was written down before the first send.

    Attributes:
        context_slot: of its blockhash; it can land only after this slot.
    """

    signature: Signature
    last_valid_height: BlockHeight
    context_slot: Slot


@dataclass(frozen=True, slots=True)
class Reading:
    """One provider's answers about one signature.

    Attributes:
        height: the finalized block height and its slot, read *before* the status was asked for.
        status: from the whole history; nothing when the provider does not know the signature.
        status_slot: at which the status was answered.
        history_from: the oldest slot that the provider still has; asked last, where it matters.
    """

    provider: str
    height: HeightAt
    status: SignatureStatus | None
    status_slot: Slot
    history_from: Slot | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fate with its reason; ``slot`` and ``error`` where the transaction is in a block."""

    fate: Fate
    why: str
    slot: Slot | None = None
    finalized: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Landing:
    """Where and when a transaction got into a block; usable when confirmed, for good when final."""

    slot: Slot
    finalized: bool
    block_time: UnixMs
    fee: Lamports


@dataclass(frozen=True, slots=True)
class FateReading:
    """A fate, and what belongs to it.

    Attributes:
        landing: for LANDED and REFUSED, always.
        transaction: what it did by instruction, for LANDED and REFUSED.
        error: for REFUSED, the runtime's own.
    """

    fate: Fate
    why: str
    landing: Landing | None = None
    transaction: LandedTransaction | None = None
    error: str | None = None


def fate(asked: Asked, readings: Sequence[Reading]) -> Verdict:
    """Judge a transaction from what providers answered; one that did not answer is not among them.

    Each reading's height must have been read before its status, and its history after it.
    """
    assert len({reading.provider for reading in readings}) == len(readings), "a provider reads once"
    seen = [reading.status for reading in readings if reading.status is not None]
    if not seen:
        return _absent(asked, readings)
    if len({(status.slot, status.error) for status in seen}) > 1:
        return Verdict(Fate.UNKNOWN, "providers place it differently")
    slot, error = seen[0].slot, seen[0].error
    if slot <= asked.context_slot:
        return Verdict(Fate.UNKNOWN, "a provider places it before its blockhash")
    finalized = sum(status.commitment == "finalized" for status in seen) >= AGREEING_MIN
    if error is not None:
        if finalized:
            return Verdict(Fate.REFUSED, "finalized with an error", slot, True, error)
        return Verdict(Fate.UNKNOWN, "failed in a block that is not final on two providers")
    if all(status.commitment == "processed" for status in seen):
        return Verdict(Fate.UNKNOWN, "in a block that is not confirmed")
    grade = "final on two providers" if finalized else "confirmed"
    return Verdict(Fate.LANDED, grade, slot, finalized)


def _absent(asked: Asked, readings: Sequence[Reading]) -> Verdict:
    if not any(_too_late(asked, reading) for reading in readings):
        return Verdict(Fate.UNKNOWN, "not seen, and it still may land")
    proofs = sum(_proves_lapse(asked, reading) for reading in readings)
    if proofs < AGREEING_MIN:
        return Verdict(Fate.UNKNOWN, f"not seen and too late, which {proofs} of 2 providers prove")
    return Verdict(Fate.LAPSED, "absent and too late on two providers")


def _too_late(asked: Asked, reading: Reading) -> bool:
    return reading.height.height > asked.last_valid_height


def _proves_lapse(asked: Asked, reading: Reading) -> bool:
    return (
        reading.status is None
        and _too_late(asked, reading)
        # Behind one address there may be several nodes: a status from one that has not reached
        # the height's slot says nothing about the blocks up to it.
        and reading.status_slot >= reading.height.slot
        # A node that has forgotten the blocks in which it could have landed does not know either.
        and reading.history_from is not None
        and reading.history_from <= asked.context_slot
    )


async def ask_fate(providers: Providers, asked: Asked) -> FateReading:
    """Ask what became of one transaction; trouble is UNKNOWN, never an exception."""
    return (await ask_fates(providers, [asked]))[asked.signature]


async def ask_fates(providers: Providers, asked: Sequence[Asked]) -> dict[Signature, FateReading]:
    """Ask what became of many transactions, 256 to a question; trouble is UNKNOWN."""
    fates: dict[Signature, FateReading] = {}
    turns = asyncio.Semaphore(LANDINGS_AT_ONCE)

    async def tell(each: Asked, verdict: Verdict) -> None:
        async with turns:
            fates[each.signature] = await _told(providers, each, verdict)

    for start in range(0, len(asked), STATUSES_MAX):
        some = asked[start : start + STATUSES_MAX]
        said, failed = await providers.each(partial(read_statuses, some))
        async with asyncio.TaskGroup() as group:
            for each in some:
                _compare(providers, said, each.signature)
                verdict = fate(each, [answers.answer[each.signature] for answers in said])
                if verdict.fate is Fate.UNKNOWN and failed:
                    why = "; ".join((verdict.why, *(str(trouble) for trouble in failed)))
                    verdict = Verdict(Fate.UNKNOWN, why)
                group.create_task(tell(each, verdict))
    return fates


def _compare(
    providers: Providers, said: Sequence[Said[dict[Signature, Reading]]], signature: Signature
) -> None:
    """Have it remembered who places a transaction in another block than two others do.

    Not to know it is no contradiction: whoever lags does not.
    """
    statuses = [(answers.provider, answers.answer[signature].status) for answers in said]
    providers.compare(
        [
            Said(provider, (status.slot, status.error))
            for provider, status in statuses
            if status is not None and status.commitment == "finalized"
        ]
    )


async def read_statuses(asked: Sequence[Asked], rpc: Rpc) -> dict[Signature, Reading]:
    """Ask one provider about up to 256 signatures, in the order on which the judging relies."""
    height = await rpc.block_height("finalized")
    status_slot, statuses = await rpc.signature_statuses([each.signature for each in asked])
    pairs = tuple(zip(asked, statuses, strict=True))
    history_from = None
    if any(status is None and height.height > each.last_valid_height for each, status in pairs):
        try:
            history_from = await rpc.first_available_slot()
        except NotKnown:
            # Without it nothing lapses; the landings in the same answer still count.
            history_from = None
    return {
        each.signature: Reading(rpc.name, height, status, status_slot, history_from)
        for each, status in pairs
    }


async def _told(providers: Providers, asked: Asked, verdict: Verdict) -> FateReading:
    if verdict.slot is None:
        return FateReading(verdict.fate, verdict.why)
    try:
        # A final landing decides money, so two say what happened; a confirmed one can be undone.
        read = providers.agreed if verdict.finalized else providers.first
        commitment: Commitment = "finalized" if verdict.finalized else "confirmed"
        transaction = await read(lambda rpc: rpc.landed(asked.signature, commitment))
    except NotKnown as trouble:
        return FateReading(Fate.UNKNOWN, f"{verdict.why}, and not readable: {trouble}")
    if (transaction.slot, transaction.error) != (verdict.slot, verdict.error):
        return FateReading(Fate.UNKNOWN, "its status and its block say different things")
    assert transaction.block_time is not None, "a landed transaction was read with its time"
    landing = Landing(transaction.slot, verdict.finalized, transaction.block_time, transaction.fee)
    return FateReading(verdict.fate, verdict.why, landing, transaction, verdict.error)
