"""A delivery of Helius says where to look; what is none is refused whole."""

import json
from typing import Any

import pytest

from chain.trouble import Garbled
from chain.webhooks import DELIVERED_MAX, read_delivery

SIGNATURE = (
    "5nNtjezQMYBHvgSQmoRmJPiXGsPAWmJPoGSa64xanqrauogiVzFyGQhKeFataHGXq51jR2hjbzNTkPUpP787HAmL"
)
GIVER = "CKs1E69a2e9TmH4mKKLrXFF8kD3ZnwKjoEuXa6sz9WqX"
TAKER = "AAaTGaA3uVqikfVEwoSG7EwkCb4bBDsMEyueiVUS5CaU"
OTHER = "25DTUAd1roBFoUQaxJQByL6Qy2cKQCBp4bK9sgfy9UiM"


def enhanced(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - what a delivery holds
    """Write the documented form, shortened."""
    return {
        "accountData": [
            {"account": GIVER, "nativeBalanceChange": -72_938_049_280, "tokenBalanceChanges": []},
            {
                "account": OTHER,
                "nativeBalanceChange": 2_039_280,
                "tokenBalanceChanges": [
                    {
                        "mint": "FdsNQE5EeCe57tbEYCRV1JwW5dzNCof7MUTaGWhmzYqu",
                        "rawTokenAmount": {"decimals": 0, "tokenAmount": "-1"},
                        "tokenAccount": OTHER,
                        "userAccount": GIVER,
                    }
                ],
            },
        ],
        "description": "sold Fox #7637",
        "events": {},
        "fee": 10_000,
        "feePayer": GIVER,
        "nativeTransfers": [
            {"amount": 72_936_000_000, "fromUserAccount": GIVER, "toUserAccount": TAKER}
        ],
        "signature": SIGNATURE,
        "slot": 171_942_732,
        "source": "MAGIC_EDEN",
        "timestamp": 1_673_445_241,
        "tokenTransfers": [{"tokenAmount": 1.5}],
        "type": "NFT_SALE",
        **changes,
    }


def raw(**meta: Any) -> dict[str, Any]:  # noqa: ANN401 - what a delivery holds
    return {
        "blockTime": 1_673_445_241,
        "indexWithinBlock": 2_557,
        "meta": {
            "err": None,
            "fee": 10_000,
            "loadedAddresses": {"readonly": [], "writable": [OTHER]},
            "preBalances": [100, 5, 7],
            "postBalances": [80, 25, 7],
            **meta,
        },
        "slot": 171_942_732,
        "transaction": {
            "message": {"accountKeys": [GIVER, TAKER], "addressTableLookups": None},
            "signatures": [SIGNATURE],
        },
    }


@pytest.mark.parametrize(
    ("delivery", "addresses"),
    [
        ([enhanced()], [TAKER, OTHER]),
        ([enhanced(accountData=[])], [TAKER]),
        ([raw()], [TAKER]),
        ([raw(err={"InstructionError": [0, {"Custom": 1}]})], []),
        ([raw(), enhanced(), raw()], [TAKER, OTHER]),
        ([], []),
    ],
)
def test_it_says_who_gained(delivery: list[Any], addresses: list[str]) -> None:
    told = read_delivery(json.dumps(delivery).encode())
    assert told == [(SIGNATURE, address) for address in addresses]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[1]",
        b"[{}]",
        b"\xff",
        b"[" * 100_000,
        json.dumps(enhanced()).encode(),
        json.dumps([enhanced(signature="short")]).encode(),
        json.dumps([enhanced(signature=SIGNATURE + "'; DROP TABLE deposits")]).encode(),
        json.dumps([enhanced(nativeTransfers=[{"toUserAccount": "0" * 40}])]).encode(),
        json.dumps([enhanced(nativeTransfers=None)]).encode(),
        json.dumps([enhanced(), {"signature": 5}]).encode(),
        json.dumps([raw(postBalances=[1])]).encode(),
        json.dumps([raw(postBalances=[1, 2, -3])]).encode(),
        json.dumps([raw(postBalances=[1, 2, 3.5])]).encode(),
        json.dumps([{}] * (DELIVERED_MAX + 1)).encode(),
    ],
)
def test_anything_else_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Garbled, match="delivery"):
        read_delivery(body)
