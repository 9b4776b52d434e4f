"""What custody says to a node's socket and understands of it: a hint, never a fact."""

import json

import pytest

from chain.hints import Denied, Kind, Said, Subscribed, Told, Topic, read, subscribe, unsubscribe
from chain.trouble import Garbled
from rooms.units import Address, Lamports, Signature

SIGNATURE = Signature("5h6xBEauJ3PK6SWCZ1PGjBvj8vDdWG3KpwATGy1ARAXFSDwt8GFXM7W5Ncn16wmqokg")
ADDRESS = Address("CM78CPUeXjn8o3yroDHxUtKsZZgoy4GPkPPXfouKNH12")


def test_what_is_asked_for_is_as_the_protocol_has_it() -> None:
    asked = [
        json.loads(subscribe(1, Topic.signature(SIGNATURE))),
        json.loads(subscribe(2, Topic.account(ADDRESS))),
        json.loads(unsubscribe(3, Kind.ACCOUNT, 0)),
    ]
    options = {"encoding": "base64", "dataSlice": {"offset": 0, "length": 0}}
    assert asked == [
        {
            "jsonrpc": "2.0", "id": 1, "method": "signatureSubscribe",
            "params": [SIGNATURE, {"commitment": "finalized",
                                   "enableReceivedNotification": False}],
        },
        {
            "jsonrpc": "2.0", "id": 2, "method": "accountSubscribe",
            "params": [ADDRESS, {"commitment": "confirmed", **options}],
        },
        {"jsonrpc": "2.0", "id": 3, "method": "accountUnsubscribe", "params": [0]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ('{"jsonrpc":"2.0","result":0,"id":1}', Subscribed(1, 0)),
        ('{"jsonrpc":"2.0","result":4743323479349712,"id":7}', Subscribed(7, 4743323479349712)),
        ('{"jsonrpc":"2.0","result":true,"id":2}', None),
        (
            '{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}',
            Denied(1, "Method not found"),
        ),
        (
            '{"jsonrpc":"2.0","method":"signatureNotification","params":{"result":{"context":'
            '{"slot":5207624},"value":{"err":null}},"subscription":24006}}',
            Told(24006, None),
        ),
        (
            '{"jsonrpc":"2.0","method":"signatureNotification","params":{"result":{"context":'
            '{"slot":5207624},"value":"receivedSignature"},"subscription":24006}}',
            Told(24006, None),
        ),
        (
            '{"jsonrpc":"2.0","method":"accountNotification","params":{"result":{"context":'
            '{"slot":5199307},"value":{"data":["11116bv5nS2h3y12kD1yUKeMZ","base58"],'
            '"executable":false,"lamports":33594,"owner":"11111111111111111111111111111111",'
            '"rentEpoch":18446744073709551615,"space":80}},"subscription":23784}}',
            Told(23784, Lamports(33_594)),
        ),
    ],
)
def test_recorded_frames_are_understood(frame: str, said: Said | None) -> None:
    assert read(frame.encode()) == said


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"jsonrpc":"1.0","result":0,"id":1}',
        b'{"jsonrpc":"2.0","result":"7","id":1}',
        b'{"jsonrpc":"2.0","result":-1,"id":1}',
        b'{"jsonrpc":"2.0","params":{"subscription":"1","result":{}}}',
        b'{"jsonrpc":"2.0","params":{"subscription":1,"result":{"context":{}}}}',
        b'{"jsonrpc":"2.0","params":{"subscription":1,"result":{"context":{"slot":1},'
        b'"value":{"lamports":-5}}}}',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_garbled(frame: bytes) -> None:
    with pytest.raises(Garbled):
        read(frame)
