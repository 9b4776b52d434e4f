"""Batches: what leaves one vault travels together, in whole transactions where more is due."""

from types import SimpleNamespace
from typing import cast

import pytest

from chain.settings import FeeSettings
from rooms.transfer import TransferKind
from rooms.units import Address, Lamports
from storage.attempts import DueTransfer, PlannedTransfer
from streams.batches import batches
from streams.custody import Custody

CUSTODY = cast(Custody, SimpleNamespace(transfers_max=3, fees=FeeSettings()))


def due(letters: str) -> list[DueTransfer]:
    """Give transfers in their order: a letter names the vault, a capital one is signed alone."""
    return [
        DueTransfer(
            key=f"{letter}{number}",
            transfer=PlannedTransfer(
                id=number,
                kind=TransferKind.PAYOUT,
                room=1,
                user=number,
                subject=None,
                source=Address(letter.lower()),
                destination=Address(f"to {number}"),
                lamports=Lamports(1),
                alone=letter.isupper(),
                refused_count=0,
            ),
            side=None,
            outcome=None,
            evidence_hash=None,
        )
        for number, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("letters", "more", "together"),
    [
        ("", False, ""),
        ("aaaaa", False, "aaa aa"),
        ("aaaaa", True, "aaa aa"),
        ("aabbbb", False, "aa bbb b"),
        ("aabbbb", True, "aa bbb"),
        ("aabb", True, "aa"),
        ("bbaaaa", True, "aaa bb"),
        ("Aaaaa", False, "A aaa a"),
        ("Aaaaa", True, "A aaa"),
        ("aaaaA", True, "A aaa"),
        ("aaA", True, "A"),
    ],
)
def test_a_batch_that_others_would_fill_waits_for_them(
    letters: str, *, more: bool, together: str
) -> None:
    found = batches(CUSTODY, due(letters), more=more)
    assert " ".join("".join(each.key[0] for each in batch) for batch in found) == together
