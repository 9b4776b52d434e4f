"""What decides money is said by two; one provider's word, silence or lag decides nothing."""

import pytest

from chain.health import HealthSettings
from chain.providers import BLOCKHASH_BLOCKS, FinalMoment, Providers
from chain.settings import ChainSettings, Endpoint
from chain.trouble import Disagreement, UnknownVersion, Unreachable
from rooms.units import Signature, Slot, UnixMs
from tests.chain.world import (
    BORN_AT,
    CONFIRMED_BEHIND,
    FINALIZED_BEHIND,
    HEIGHT_BEHIND,
    Node,
    World,
    two_nodes,
)


def test_one_provider_is_not_enough_and_two_names_for_one_are_one() -> None:
    one = Endpoint("one", "http://127.0.0.1:1/a")
    for endpoints in ((one,), (one, one), (one, Endpoint("other", one.url))):
        with pytest.raises(ValueError, match="two"):
            Providers.of(ChainSettings(endpoints))


async def test_two_that_agree_are_believed_and_no_less() -> None:
    one, other, providers = two_nodes(World())

    async def agreed() -> Slot:
        return await providers.agreed(lambda rpc: rpc.slot("processed"))

    async with providers:
        assert await agreed() == 1_000
        other.behind = 1
        with pytest.raises(Disagreement, match="one and other answered differently"):
            await agreed()
        other.behind, other.trouble = 0, Unreachable("other is gone")
        with pytest.raises(Disagreement, match="1 of 2 providers answered; other is gone"):
            await agreed()
        assert await providers.first(lambda rpc: rpc.slot("processed")) == 1_000
        one.trouble = Unreachable("one is gone")
        with pytest.raises(Disagreement, match="one is gone; other is gone"):
            await providers.first(lambda rpc: rpc.slot("processed"))


async def test_of_three_two_are_enough_and_none_may_contradict() -> None:
    world = World()
    nodes = [Node(name, world) for name in ("one", "other", "third")]
    async with Providers(nodes) as providers:
        nodes[2].trouble = Unreachable("gone")
        assert await providers.agreed(lambda rpc: rpc.slot("processed")) == 1_000
        nodes[2].trouble, nodes[2].behind = None, 1
        with pytest.raises(Disagreement):
            await providers.agreed(lambda rpc: rpc.slot("processed"))


async def test_a_final_moment_is_one_that_two_have_reached() -> None:
    one, other, providers = two_nodes(World())

    def moment(behind: int) -> FinalMoment:
        slot = 1_000 - FINALIZED_BEHIND - behind
        return FinalMoment(Slot(slot), UnixMs((BORN_AT + slot) * 1_000))

    async with providers:
        assert await providers.final_moment() == moment(0)
        one.behind = 5
        assert await providers.final_moment() == moment(5)
        other.trouble = Unreachable("gone")
        with pytest.raises(Disagreement):
            await providers.final_moment()
        other.trouble = None
        other.lies["getBlockTime"] = lambda _: None
        with pytest.raises(Disagreement, match="does not know when"):
            await providers.final_moment()


NEWEST = 1_000 - CONFIRMED_BEHIND
LAST = NEWEST - HEIGHT_BEHIND + BLOCKHASH_BLOCKS
"""The last height at which what is built on the newest blockhash may land."""

LIES_ABOUT_A_BLOCKHASH: list[tuple[str, int, dict[str, int | str], int]] = [
    # what the first of three says, slots that it is behind, its lie, by how much LAST is passed
    ("the truth", 0, {}, 0),
    ("the truth, from behind", 7, {}, 0),
    ("a last height that is passed already", 0, {"last": 1}, 0),
    ("a last height that is ten too low", 0, {"last": LAST - 10}, 0),
    ("a last height in a thousand years", 0, {"last": 10**12}, BLOCKHASH_BLOCKS),
    ("a slot in a thousand years", 0, {"slot": 10**12}, 0),
    ("a blockhash that nobody else knows", 0, {"hash": "block 999999", "last": LAST + 5}, 5),
]


@pytest.mark.parametrize(
    ("behind", "lie", "later"),
    [case[1:] for case in LIES_ABOUT_A_BLOCKHASH],
    ids=[case[0] for case in LIES_ABOUT_A_BLOCKHASH],
)
async def test_no_provider_alone_says_until_when_a_payment_may_land(
    behind: int, lie: dict[str, int | str], later: int
) -> None:
    """F41: too low a height, and what can still land is signed anew; too high, and it never is."""
    world = World()
    nodes = [Node(name, world) for name in ("one", "other", "third")]
    nodes[0].behind = behind
    nodes[0].lies["getLatestBlockhash"] = lambda true: {
        "context": {"slot": lie.get("slot", true["context"]["slot"])},
        "value": {
            "blockhash": lie.get("hash", true["value"]["blockhash"]),
            "lastValidBlockHeight": lie.get("last", true["value"]["lastValidBlockHeight"]),
        },
    }
    async with Providers(nodes) as providers:
        recent = await providers.recent_blockhash()
    assert recent.blockhash == f"block {NEWEST}"
    assert recent.last_valid_height == LAST + later
    assert recent.context_slot <= NEWEST


async def test_a_blockhash_that_only_its_provider_knows_is_built_on_by_nobody() -> None:
    one, other, providers = two_nodes(World())
    one.lies["getLatestBlockhash"] = lambda true: {
        **true, "value": {"blockhash": "block 999999", "lastValidBlockHeight": LAST - 1}
    }  # fmt: skip
    one.lies["isBlockhashValid"] = lambda true: {**true, "value": True}
    async with providers:
        with pytest.raises(Disagreement, match="one provider alone"):
            await providers.recent_blockhash()
        one.lies.clear()
        other.trouble = Unreachable("other is gone")
        with pytest.raises(Disagreement, match="1 of 2 providers answered; other is gone"):
            await providers.recent_blockhash()


async def test_an_unknown_version_is_not_hidden_among_other_trouble() -> None:
    one, other, providers = two_nodes(World())
    one.trouble, other.trouble = UnknownVersion(Signature("s"), "2"), Unreachable("gone")
    async with providers:
        with pytest.raises(UnknownVersion):
            await providers.agreed(lambda rpc: rpc.slot("processed"))


async def test_sending_goes_to_all_and_says_what_each_did() -> None:
    one, other, providers = two_nodes(World())
    one.trouble, other.trouble = Unreachable("one is gone"), Unreachable("other is gone")
    async with providers:
        relays = await providers.send(b"raw")
    assert [(each.provider, each.refused) for each in relays] == [
        ("one", "one is gone"),
        ("other", "other is gone"),
    ]


async def test_a_third_that_keeps_contradicting_is_left_out_and_let_back() -> None:
    nodes = [Node(name, World()) for name in ("one", "other", "third")]
    now = 0
    async with Providers(nodes, HealthSettings(rest_ms=50), lambda: now) as providers:
        nodes[2].behind = 1
        for _ in range(3):
            with pytest.raises(Disagreement):
                await providers.agreed(lambda rpc: rpc.slot("processed"))
        assert await providers.agreed(lambda rpc: rpc.slot("processed")) == 1_000
        assert [each.name for each in await providers.examine() if each.why] == ["third"]
        now, nodes[2].behind = 50, 0
        assert await providers.agreed(lambda rpc: rpc.slot("processed")) == 1_000
        assert [each.name for each in await providers.examine() if each.why] == []


async def test_one_that_lags_is_left_out_until_it_has_caught_up() -> None:
    nodes = [Node(name, World()) for name in ("one", "other", "third")]
    async with Providers(nodes) as providers:
        nodes[0].behind = 100
        assert await providers.first(lambda rpc: rpc.slot("confirmed")) == 1_000 - 100 - 1
        standings = await providers.examine()
        assert [each.why for each in standings] == ["100 slots behind", "", ""]
        assert await providers.first(lambda rpc: rpc.slot("confirmed")) == 1_000 - 1
        nodes[0].behind = 0
        await providers.examine()
        assert len((await providers.each(lambda rpc: rpc.slot("confirmed")))[0]) == 3
