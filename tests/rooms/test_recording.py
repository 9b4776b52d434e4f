"""What is recorded is what came: every message once, in segments named by their content."""

import contextlib
import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.canonical import canonical, content_hash, plain_of
from rooms.recorder import Place, Recorder, Stretch
from rooms.recording import Line, Segment, content_of, follows, hash_of, segment_of
from rooms.refusal import Impossible
from rooms.units import UnixMs

MINUTE = 60_000
START = 1_800_000_000_000
"""A minute's beginning."""


def segment(lines: Iterable[Line], **changes: object) -> Segment:
    given_: dict[str, object] = {
        "feed": "SOL/USD", "partition": 3, "rule": {"scale": 8}, "minute_at": UnixMs(START),
        "from_at": UnixMs(START), "to_at": UnixMs(START + 9), "after": None, "missed": None,
        "memory": None, "lines": tuple(lines),
    }  # fmt: skip
    return Segment(**{**given_, **changes})  # type: ignore[arg-type]


PAYLOADS = st.none() | st.binary(max_size=40) | st.text(max_size=40).map(str.encode)


@given(st.lists(PAYLOADS, min_size=1, max_size=8), st.integers(0, 2**60))
def test_a_segment_is_read_back_byte_for_byte(payloads: list[bytes | None], first: int) -> None:
    written = segment(
        Line(first + 2 * number, UnixMs(START + number), payload)
        for number, payload in enumerate(payloads)
    )
    content = content_of(written)
    assert segment_of(content) == written
    assert hash_of(segment_of(content)) == content_hash(content)


@given(st.data())
def test_content_with_one_byte_changed_is_another_segment_or_none(data: st.DataObject) -> None:
    content = content_of(segment([Line(7, UnixMs(START), b'{"kind":"ticks"}')]))
    at = data.draw(st.integers(0, len(content) - 1))
    spoilt = (
        content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    )
    with contextlib.suppress(Impossible):
        assert hash_of(segment_of(spoilt)) != content_hash(content)


def test_a_plain_value_has_one_text_and_no_float() -> None:
    assert canonical({"b": [1, None, True], "a": "é"}) == '{"a":"é","b":[1,null,true]}'
    for text in ('{"a":[{"b":1.0}]}', "[NaN]", '{"a":1,"a":2}', "{"):
        with pytest.raises(Impossible, match="not plain JSON"):
            plain_of(text)


Heard = tuple[int, str | None, int | None]
"""Offset, feed, time after START."""


def recorded(recorder: Recorder, heard: Iterable[Heard], partition: int = 0) -> list[Stretch]:
    """Let a recorder hear messages that were appended at their own time."""
    done: list[Stretch] = []
    last = 0
    for offset, feed, at in heard:
        last = last if at is None else at
        line = Line(offset, UnixMs(START + last), b"%d" % offset)
        time = None if at is None else UnixMs(START + at)
        done += recorder.hear(partition, line, feed, time)
    return done


def offsets(stretches: Iterable[Stretch]) -> list[list[int]]:
    return [[line.offset for line in each.lines] for each in stretches]


def test_a_minute_of_a_feed_is_a_stretch() -> None:
    recorder = Recorder({})
    recorder.begin(0, 0)
    done = recorded(
        recorder,
        [(0, "A", 10), (1, "B", 20), (2, "A", 59_999), (3, "A", MINUTE), (4, "A", MINUTE + 5)],
    )
    assert offsets(done) == [[0, 2]]
    assert (done[0].feed, done[0].minute_at, done[0].from_at, done[0].to_at, done[0].after) == (
        "A", START, START + 10, START + 59_999, None,
    )  # fmt: skip
    assert recorder.safe_offset(0) == 1  # B's minute is still open.
    done = recorded(recorder, [(5, "A", 2 * MINUTE)])
    assert offsets(done) == [[3, 4], [1]]  # B was quiet for long enough.
    assert done[0].after == 2
    assert recorder.safe_offset(0) == 5


def test_a_message_without_a_time_lies_where_the_log_is() -> None:
    recorder = Recorder({})
    recorder.begin(0, 0)
    assert (
        recorded(recorder, [(0, "A", 10), (1, "A", None), (2, "A", MINUTE), (3, "A", None)]) != []
    )
    (rest,) = recorder.cut("A", UnixMs(START + MINUTE))
    assert offsets([rest]) == [[2, 3]]


def test_a_stretch_is_cut_only_when_the_log_has_come_so_far() -> None:
    recorder = Recorder({})
    recorder.begin(0, 0)
    recorded(recorder, [(0, "A", 10), (1, "A", 20)])
    assert offsets(recorder.cut("A", UnixMs(START + 21))) == []
    assert offsets(recorder.cut("A", UnixMs(START + 20))) == [[0, 1]]
    assert recorded(recorder, [(2, "A", 30)]) == []
    assert recorder.safe_offset(0) == 2


@pytest.mark.parametrize(
    ("what", "before", "heard", "missed"),
    [
        ("nothing is missing", 9, [(10, "A", 10)], None),
        ("offsets were cut by retention", 9, [(15, "A", 10)], (10, 15)),
        ("the log began anew", 9, [(0, "A", 10)], (10, 0)),
        ("another feed's message shows it", 9, [(15, "B", 10), (16, "A", 20)], (10, 15)),
    ],
)
def test_what_was_missed_is_said(
    what: str, before: int, heard: list[Heard], missed: tuple[int, int] | None
) -> None:
    recorder = Recorder({"A": Place(0, UnixMs(START), before)})
    recorder.begin(0, before + 1)
    recorded(recorder, heard)
    (found,) = recorder.cut("A", UnixMs(START))
    assert (found.missed, found.after) == (missed, before), what


def test_a_log_that_began_anew_is_known_by_its_times_too() -> None:
    recorder = Recorder({"A": Place(0, UnixMs(START), 9)})
    recorder.begin(0, 3)
    recorded(recorder, [(3, "A", 10), (4, "A", None)])
    (found,) = recorder.cut("A", UnixMs(START))
    assert (offsets([found]), found.missed) == ([[3, 4]], (10, 3))


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 30_000)), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
)
def test_a_restart_loses_nothing_and_doubles_nothing(
    steps: list[tuple[str, int]], restarts: set[int]
) -> None:
    ats = itertools.accumulate(step for _, step in steps)
    heard: list[Heard] = [(n, feed, at) for n, ((feed, _), at) in enumerate(zip(steps, ats))]  # noqa: B905
    kept: list[Stretch] = []
    recorder = Recorder({})
    recorder.begin(0, 0)
    for offset, message in enumerate(heard):
        kept += recorded(recorder, [message])
        if offset in restarts:
            # It dies: what was kept is known by its rows, the rest is heard again.
            safe = recorder.safe_offset(0)
            recorder = Recorder(
                {each.feed: Place(0, each.to_at, each.lines[-1].offset) for each in kept}
            )
            recorder.begin(0, safe)
            kept += recorded(recorder, heard[safe : offset + 1])
    for feed in "AB":
        kept += recorder.cut(feed, UnixMs(0))
        chain = [each for each in kept if each.feed == feed]
        wanted = [offset for offset, of, _ in heard if of == feed]
        assert [line.offset for each in chain for line in each.lines] == wanted
        assert all(each.missed is None for each in chain)
        assert [each.after for each in chain[1:]] == [each.lines[-1].offset for each in chain[:-1]]


def test_segments_follow_one_another_when_nothing_is_missing() -> None:
    first = segment([Line(4, UnixMs(START), b"a")])
    after = segment([Line(6, UnixMs(START), b"b")], after=4)
    assert follows(after, first)
    assert not follows(segment([Line(6, UnixMs(START), b"b")], after=5), first)
    assert not follows(segment([Line(6, UnixMs(START), b"b")], after=4, missed=(5, 6)), first)
