"""Batches: which planned transfers land together, and what such a transaction holds.

In        planned transfers; whose each address is; the rent that is missing under some of them.
Out       groups that fit a transaction; the batch that is signed for one.
Promises  what leaves one vault, or the treasury, goes together, in the order it is due; a token
          account is opened where its rent is laid, and tokens leave and reach accounts that follow
          from their owners.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from chain.tokens import Token, token_account
from chain.transactions import (
    TOKEN_TRANSFERS_MAX,
    Batch,
    TokenOpening,
    TokenTransfer,
    Transfer,
)
from rooms.transfer import TransferKind
from rooms.units import Address, Lamports
from storage.addresses import OwnAddress
from storage.attempts import DueTransfer, PlannedTransfer
from streams.custody import Custody

_SHARED = (
    TransferKind.PAYOUT,
    TransferKind.REFUND,
    TransferKind.SHARES,
    TransferKind.EARNING,
)


def batches(
    custody: Custody, due: Sequence[DueTransfer], *, more: bool = False
) -> Iterator[list[DueTransfer]]:
    """Put together what may land together: what leaves one vault, or the treasury, as it is due.

    With ``more`` there are others that are due. A batch cut short costs as much as a full one, so
    what would not fill the last one's last batch waits for them, while anything else is signed.
    """
    shared: list[DueTransfer] = []
    last = due[-1].transfer.source if due else None
    for each in due:
        if each.transfer.alone or each.transfer.kind not in _SHARED:
            yield [each]
        else:
            shared.append(each)
    shared.sort(key=lambda each: each.transfer.source)
    for _, group in groupby(shared, key=lambda each: each.transfer.source):
        waiting = list(group)
        most = custody.transfers_max
        if waiting[0].transfer.asset.is_token:
            most = min(most, TOKEN_TRANSFERS_MAX[custody.fees.version])
        if more and waiting[-1].transfer.source == last and len(waiting) < len(due):
            waiting = waiting[: len(waiting) - len(waiting) % most]
        for start in range(0, len(waiting), most):
            yield waiting[start : start + most]


def transfers_max(custody: Custody, token: Token | None) -> int:
    """Return how many transfers of lamports, or of a token, one transaction may hold."""
    if token is None:
        return custody.transfers_max
    return min(custody.transfers_max, TOKEN_TRANSFERS_MAX[custody.fees.version])


def ends_of(due: DueTransfer) -> tuple[Address, Address]:
    """Return where a transfer leaves and where it goes."""
    return due.transfer.source, due.transfer.destination


def stand_on_floors(due: DueTransfer) -> tuple[Address, ...]:
    """Return the addresses that need a rent minimum: not the one that gives its own back."""
    return () if due.transfer.kind is TransferKind.RETURN else ends_of(due)


def that_fit(
    together: Sequence[DueTransfer], lacks: Mapping[Address, Lamports], transfers_max: int
) -> list[DueTransfer]:
    """Take the first transfers that fit with the floors of what they touch; the rest waits."""
    fitting: list[DueTransfer] = []
    floors: set[Address] = set()
    for each in together:
        more = {address for address in ends_of(each) if address in lacks}
        if len(fitting) + 1 + len(floors | more) > transfers_max:
            break
        fitting.append(each)
        floors |= more
    return fitting


def batch_of(
    together: Sequence[DueTransfer],
    token: Token | None,
    owners: Mapping[Address, OwnAddress],
    lacking: Sequence[tuple[Address, Lamports]],
    memo: str,
    fee_payer: Address,
) -> Batch:
    """Return what is signed: the rent that is missing, the accounts it opens, the transfers.

    Args:
        together: what lands together: lamports, or one token.
        token: which; None for lamports.
        owners: whose the addresses are that are ours.
        lacking: addresses that rent is laid under; of a token, its accounts that are opened so.
        memo: what it is for.
        fee_payer: pays the fee and the rent.
    """
    moves = [each.transfer for each in together]
    floors = tuple(Transfer(fee_payer, address, lamports) for address, lamports in lacking)
    lamports = tuple(Transfer(each.source, each.destination, each.lamports) for each in moves)
    return Batch(
        transfers=(*floors, *(lamports if token is None else ())),
        memo=memo,
        owner=owners[moves[0].source].wallet,
        fee_payer=fee_payer,
        # A person with several refunds from one vault gets them in one transaction.
        may_repeat=True,
        openings=()
        if token is None
        else tuple(TokenOpening(token, owners[address].wallet) for address, _ in lacking),
        tokens=()
        if token is None
        else tuple(
            TokenTransfer(
                token,
                owners[each.source].wallet,
                each.source,
                destination_of(each, token),
                each.lamports,
            )
            for each in moves
        ),
    )


def destination_of(planned: PlannedTransfer, token: Token) -> Address:
    """Return the account that a token is sent to: a withdrawal names the wallet that has it."""
    if planned.kind is TransferKind.WITHDRAWAL:
        return token_account(planned.destination, token)
    return planned.destination
