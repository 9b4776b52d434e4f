"""Whatever goes wrong, every seed ends with every lamport where it belongs, and replays exactly.

Each seed is a story of people, rooms, forks, crashes and liars over the product's own code; a
failure names its seed: ``rooms simulate --seeds N..N --tell`` plays it again, line for line.
"""

import os
from collections.abc import Iterator

import pytest

from tests.simulation.played import Played
from tests.simulation.players import Players, players

SEEDS = int(os.environ.get("ROOMS_TEST_SEEDS", "60"))
CHUNK = 20
JOBS = 2
REPLAYED = tuple(seed for seed in (7, 20, 31) if seed <= SEEDS)


class Stage:
    """Two players, and what they have played."""

    def __init__(self, opened: Players) -> None:
        self._opened = opened
        self._played: dict[int, Played] = {}

    def play(self, seeds: range) -> list[Played]:
        """Play those seeds that were not played yet; give what became of all."""
        fresh = [seed for seed in seeds if seed not in self._played]
        self._played |= {each.seed: each for each in self._opened.play(fresh)}
        return [self._played[seed] for seed in seeds]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with players(JOBS) as opened:
        yield Stage(opened)


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
@pytest.mark.timeout(600)
def test_every_lamport_is_where_it_belongs_whatever_goes_wrong(stage: Stage, first: int) -> None:
    seeds = range(first, min(first + CHUNK, SEEDS + 1))
    assert {each.seed: each.faults for each in stage.play(seeds) if each.faults} == {}


def test_a_seed_replays_exactly_alone_and_among_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    among = {each.seed: each.digest for each in stage.play(range(1, max(REPLAYED) + 1))}
    # Another process, whose sets of text have another order.
    monkeypatch.setenv("PYTHONHASHSEED", "4711")
    with players(1) as alone:
        assert {each.seed: each.digest for each in alone.play(REPLAYED)} == {
            seed: among[seed] for seed in REPLAYED
        }
