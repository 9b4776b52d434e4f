"""Standing: is a transaction that was seen in a block still there, and is it there for good?

In        signatures that were believed at one confirmation, with the slot they were seen in.
Out       FINAL, WAITING or GONE, each proved on two providers or WAITING.
Why       a deposit is usable at one confirmation, so a fork can still take it back: what is GONE
          has to be undone. (A deposit has no last valid height that we know: GONE says that the
          finalized chain has passed its slot without it, not that it can never come again.)
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import partial

from chain.fate import Asked, Reading, read_statuses
from chain.health import AGREEING_MIN
from chain.providers import Providers
from chain.rpc import STATUSES_MAX
from rooms.units import BlockHeight, Signature, Slot


class Standing(IntEnum):
    """Where a transaction stands. Numbers are stored: append, never renumber."""

    FINAL = 1  # Finalized without an error, in the slot it was seen in.
    WAITING = 2  # Not known yet.
    GONE = 3  # The finalized chain has passed that slot, and it is nowhere or has failed.


def standing(seen_at: Slot, readings: Sequence[Reading]) -> Standing:
    """Judge one transaction; each reading's height was read before its status."""
    final = [
        reading
        for reading in readings
        if reading.status is not None
        and reading.status.commitment == "finalized"
        and reading.status.error is None
        and reading.status.slot == seen_at
    ]
    gone = [
        reading
        for reading in readings
        if _failed_for_good(reading)
        or (
            reading.status is None
            and reading.status_slot >= reading.height.slot > seen_at
            and reading.history_from is not None
            and reading.history_from <= seen_at
        )
    ]
    if len(final) >= AGREEING_MIN and not gone:
        return Standing.FINAL
    if len(gone) >= AGREEING_MIN and len(gone) == len(readings):
        return Standing.GONE
    return Standing.WAITING


def _failed_for_good(reading: Reading) -> bool:
    status = reading.status
    return status is not None and status.commitment == "finalized" and status.error is not None


async def ask_standings(
    providers: Providers, seen: Mapping[Signature, Slot]
) -> dict[Signature, Standing]:
    """Ask where transactions stand, 256 to a question; trouble is WAITING."""
    # Height 0 is always past, so that the providers' history is asked for whatever is absent.
    asked = [Asked(signature, BlockHeight(0), slot) for signature, slot in seen.items()]
    standings: dict[Signature, Standing] = {}
    for start in range(0, len(asked), STATUSES_MAX):
        some = asked[start : start + STATUSES_MAX]
        said, _ = await providers.each(partial(read_statuses, some))
        for each in some:
            readings = [answers.answer[each.signature] for answers in said]
            standings[each.signature] = standing(each.context_slot, readings)
    return standings
