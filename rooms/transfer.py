"""Transfer: lamports that must move on chain, and what follows from each fate.

In        a kind of transfer, the fate of its attempt, whether it may still be signed anew.
Out       one of four things to do.
Promises  only what can never land is signed anew; what is unknown waits.
"""

from enum import IntEnum, StrEnum


class TransferKind(StrEnum):
    """Name why lamports move."""

    STAKE = "stake"
    PAYOUT = "payout"
    REFUND = "refund"
    SHARES = "shares"
    WITHDRAWAL = "withdrawal"
    RETURN = "return"
    """The operator's rent minimum, back from an address where nothing happens any more."""
    EARNING = "earning"
    """A person's host and referral shares, out of the treasury."""


class Fate(IntEnum):
    """What became of an attempt. Numbers are stored: append, never renumber."""

    LANDED = 1
    """In a finalized block without error."""
    REFUSED = 2
    """Finalized with an error, fee taken: it moved nothing and never will."""
    LAPSED = 3
    """Proved that it can never land."""
    UNKNOWN = 4
    """Everything else."""


class Next(StrEnum):
    """What to do with a transfer after its attempt's fate is known."""

    POST = "post"
    RELEASE = "release"
    SIGN_ANEW = "sign_anew"
    WAIT = "wait"


_GIVEN_UP = frozenset({TransferKind.STAKE, TransferKind.WITHDRAWAL, TransferKind.RETURN})
"""What the chain refused of these is not asked of it again."""


def next_step(kind: TransferKind, fate: Fate, *, may_sign: bool) -> Next:
    """Say what follows. ``may_sign`` is whether the transfer's last moment for signing is ahead."""
    match fate:
        case Fate.LANDED:
            return Next.POST
        case Fate.UNKNOWN:
            return Next.WAIT
        case Fate.REFUSED:
            return Next.RELEASE if kind in _GIVEN_UP else Next.SIGN_ANEW
        case Fate.LAPSED:
            if kind is TransferKind.WITHDRAWAL:
                return Next.RELEASE
            if kind is TransferKind.STAKE:
                return Next.SIGN_ANEW if may_sign else Next.RELEASE
            return Next.SIGN_ANEW
