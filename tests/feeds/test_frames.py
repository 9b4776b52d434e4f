"""Every venue's frames mean what its documents say; nothing else ever becomes a trade."""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.refusal import Impossible
from streams.feeds.poll import Poll
from streams.feeds.sources import SOURCES
from streams.feeds.venue import Accepted, Heard, Trade
from streams.feeds.wire import moment_from_rfc3339, plain_number
from tests.feeds.meanings import ASKED, BROKEN, MEANINGS, SUBSCRIBED, WRONG, read_again, same
from tests.feeds.recordings import CAPTURES, frames, needs_captures, recorded

venues = pytest.mark.parametrize("venue", sorted(SOURCES))


@venues
def test_each_recorded_frame_means_what_the_documents_say(venue: str) -> None:
    heard = [list(SOURCES[venue].parse(frame)) for frame in recorded(venue)]
    assert heard == MEANINGS[venue]


@venues
def test_a_request_is_written_as_the_source_reads_it(venue: str) -> None:
    source = SOURCES[venue]
    if isinstance(source, Poll):
        ask = source.ask(ASKED[venue])
        assert (ask.body or ask.path) == SUBSCRIBED[venue]
    else:
        assert source.subscribe(ASKED[venue], 7) == SUBSCRIBED[venue]


@venues
def test_every_beginning_of_a_frame_is_refused(venue: str) -> None:
    for frame in recorded(venue):
        for end in range(len(frame)):
            with pytest.raises(Impossible):
                SOURCES[venue].parse(frame[:end])


@venues
def test_the_frames_to_be_broken_are_whole(venue: str) -> None:
    heard = SOURCES[venue].parse(BROKEN[venue])
    assert Trade in {type(each) for each in heard}
    assert {type(each) for each in heard} <= {Trade, Accepted}


@pytest.mark.parametrize(("venue", "right", "wrong", "why"), WRONG)
def test_a_frame_with_one_thing_wrong_is_refused(
    venue: str, right: str, wrong: str, why: str
) -> None:
    assert right in BROKEN[venue], why
    with pytest.raises(Impossible):
        SOURCES[venue].parse(BROKEN[venue].replace(right, wrong))


@venues
@pytest.mark.parametrize(
    "frame", ["", " ", "[]", "1", "null", '"text"', "[" * 90_000, '{"x":' * 90_000, "\ud800"]
)
def test_what_is_no_object_says_nothing(venue: str, frame: str) -> None:
    try:
        assert not list(SOURCES[venue].parse(frame))
    except Impossible:
        return


ALPHABET = '0123456789.-+eE"{}[],:ntru \\aZ\u0660\u00e9'
BURST = 40


def spoilt(frame: str, draw: Random) -> str:
    """Change a frame in up to three places."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randint(0, len(frame))
        text = "".join(draw.choices(ALPHABET, k=draw.randint(0, 3)))
        frame = frame[:at] + text + frame[at + draw.randint(0, 3) :]
    return frame


@venues
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**64))
def test_a_spoilt_frame_is_refused_or_says_what_stands_in_it(venue: str, seed: int) -> None:
    draw, known = Random(seed), recorded(venue)
    for _ in range(BURST):
        frame = spoilt(draw.choice(known), draw)
        try:
            heard = SOURCES[venue].parse(frame)
        except Impossible:
            continue
        trades = [each for each in heard if isinstance(each, Trade)]
        if trades:
            told = [(each.symbol, same(each.price), each.sequence) for each in trades]
            assert told == read_again(venue, frame), frame


@venues
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    frame=st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "e",
                        "s",
                        "a",
                        "p",
                        "T",
                        "data",
                        "stream",
                        "id",
                        "code",
                        "result",
                        "type",
                        "channel",
                        "arg",
                        "event",
                        "op",
                        "success",
                        "topic",
                        "method",
                        "error",
                        "msg",
                        "i",
                        "ts",
                        "px",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ).map(json.dumps)
)
def test_no_text_breaks_a_parser(venue: str, frame: str) -> None:
    try:
        heard = SOURCES[venue].parse(frame)
    except Impossible:
        return
    assert all(isinstance(each, Heard) for each in heard)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", None),  # Before there were venues: a mistake.
        ("2021-04-17T16:43:30.244075Z", 1618677810244),
        ("2021-04-17T16:43:30.2Z", 1618677810200),
        ("2021-04-17T16:43:30Z", 1618677810000),
        ("2024-02-29T00:00:00.999999999Z", 1709164800999),
        ("2023-02-29T00:00:00Z", None),
        ("2021-04-17T16:43:60Z", None),
        ("2021-04-17T16:43:30+00:00", None),
        ("२०२१-04-17T16:43:30Z", None),
    ],
)
def test_moments_are_read_to_the_millisecond(text: str, ms: int | None) -> None:
    if ms is None:
        with pytest.raises(Impossible):
            moment_from_rfc3339(text)
    else:
        assert moment_from_rfc3339(text) == ms


@pytest.mark.parametrize(
    ("told", "plain"),
    [
        ("0", "0"),
        ("150.240", "150.240"),
        ("2.2e-05", "0.000022"),
        ("1.5E-7", "0.00000015"),
        ("12e3", "12000"),
        ("1.25e1", "12.5"),
        ("-3e2", "-300"),
        ("0.4056018512541055", "0.4056018512541055"),
        ("1e999", None),
        ("01", None),
        ("NaN", None),
        ('"1"', None),
        ("", None),
        ("1.", None),
    ],
)
def test_numbers_are_read_digit_by_digit(told: str, plain: str | None) -> None:
    if plain is None:
        with pytest.raises(Impossible):
            plain_number(told)
    else:
        assert plain_number(told) == plain


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,8})([.][0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
)
def test_a_plain_number_is_the_same_number(told: str) -> None:
    assert Fraction(plain_number(told)) == Fraction(told)


def count_of(kind: str) -> Callable[[str], int]:
    return lambda frame: len(re.findall(kind, frame))


@needs_captures
@pytest.mark.parametrize(
    ("file", "venue", "trades_in"),
    [
        ("binance.txt", "binance", count_of('"e":"aggTrade"')),
        ("coinbase.txt", "coinbase", count_of('"type":"(match|ticker)"')),
        ("okx.txt", "okx", count_of('"tradeId"')),
        ("kraken_v1_trades.txt", "kraken", count_of("no trade of the older protocol")),
        ("bitstamp.txt", "kraken", count_of("no trade of another venue")),
        ("bitstamp.txt", "bitstamp", count_of('"event":"trade"')),
    ],
)
def test_real_frames_parse(file: str, venue: str, trades_in: Callable[[str], int]) -> None:
    expected = total = refused = 0
    for at, frame in frames(CAPTURES / file):
        expected += trades_in(frame)
        try:
            trades = [each for each in SOURCES[venue].parse(frame) if isinstance(each, Trade)]
        except Impossible:
            refused += 1
            continue
        total += len(trades)
        # Frames told on subscribing are older; none is from the future.
        assert all((each.source_at or at) - at < 1_000 for each in trades)
    assert total == expected
    assert refused == 0 or file == "kraken_v1_trades.txt"
