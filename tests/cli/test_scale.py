"""A stack runs as many of each process as it is asked for, and each is told apart."""

from dataclasses import fields
from pathlib import Path

import pytest

from cli.embedded import PROCESSES, SANDBOX, Stack
from cli.hearing import faults_of
from cli.ports import Ports
from cli.scale import BadScaleError, copies_of
from streams.frames import Happened


@pytest.mark.parametrize(
    ("said", "copies"),
    [
        ((), {}),
        (("worker=3",), {"worker": 3}),
        (("worker=3", "feeds=1", "worker=2"), {"worker": 2, "feeds": 1}),
    ],
)
def test_a_scale_is_read(said: tuple[str, ...], copies: dict[str, int]) -> None:
    assert copies_of(said) == copies


@pytest.mark.parametrize(
    "said", ["", "worker", "worker=", "worker=0", "worker=10", "wrker=2", "worker=²"]
)
def test_whatever_is_no_scale_is_refused_in_words(said: str) -> None:
    with pytest.raises(BadScaleError, match=r"worker=|how many"):
        copies_of([said])


def test_each_copy_has_a_name_the_role_of_its_process_and_its_own_port(tmp_path: Path) -> None:
    stack = Stack(
        folder=tmp_path, ports=Ports(*range(8700, 8700 + len(fields(Ports)))), venues=SANDBOX,
        copies={"gateway": 3, "custody": 2, "feeds": 2},
        more_ports={"gateway": (9001, 9002), "feeds": (9003,)},
    )  # fmt: skip
    children = {child.name: child for child in stack.processes()}
    assert set(children) == {*PROCESSES, "gateway-2", "gateway-3", "custody-2", "feeds-2"}
    ports = [children[name].environment["ROOMS_GATEWAY_PORT"] for name in stack.gateways]
    assert ports == ["8701", "9001", "9002"]
    assert list(stack.gateways.values())[1:] == ["ws://127.0.0.1:9001", "ws://127.0.0.1:9002"]
    assert children["feeds-2"].environment["ROOMS_PUSH_PORT"] == "9003"
    assert "rooms_custody@" in children["custody-2"].environment["ROOMS_DATABASE_URL"]
    holders = [
        name for name in children if "ROOMS_KEYSTORE_PASSPHRASE" in children[name].environment
    ]
    assert holders == ["custody", "custody-2"]


def happened(room: str, *kinds: str) -> list[Happened]:
    return [
        Happened(number, {"room": room, "kind": kind, "seq": number})
        for number, kind in enumerate(kinds, 1)
    ]


def test_what_a_gateway_left_out_or_told_twice_is_a_fault() -> None:
    whole = happened("7", "room.locked", "room.decided", "room.settled", "room.paid")
    assert faults_of("gateway", whole, 1) == []
    assert faults_of("gateway", whole[:3], 1) == ["gateway told of 0 rooms that are paid, not of 1"]
    assert faults_of("gateway", [whole[0], *whole[2:]], 1) != []
    assert faults_of("gateway", [whole[0], *whole], 1) != []
